//! Masquerading: packets that a pod sends beyond its own subnet leave with the host's address.
//!
//! By default through nftables over netlink: one table, one rule per pod subnet, and per pod
//! nothing but set elements whose comment names the owner, so that the cost of a packet and of an
//! ADD does not grow with the number of pods. Through iptables when the network configuration
//! asks for it by name. Removal also takes away what the reference plugins left with either
//! backend, which is what makes replacing them on a live node safe; it runs no program unless
//! iptables-legacy has to be cleaned.
//!
//! What [`Masquerading::set_up`] masquerades is remembered ([`record`]). An ADD that finds the table flushed puts the
//! elements of all living attachments into it before it writes the rules that use them; GC looks at each.

mod iptables;
mod legacy;
mod native;
mod owner;
mod reference;
mod restore;
mod table;
mod wanted;

use std::str::FromStr;

use ipnetwork::IpNetwork;
use kernel::{
    Family,
    iptables::Iptables,
    nft::{
        Nft,
        ruleset::{ATTEMPTS, change_what_is_there},
    },
};
use serde::{Deserialize, Serialize};

pub use restore::{Masquerade, Wanted};
pub use wanted::Masquerading;

use crate::{Identity, record};

/// `ipMasqBackend` of the network configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// `nftables`
    Nftables,
    /// `iptables`
    Iptables,
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "nftables" => Ok(Self::Nftables),
            "iptables" => Ok(Self::Iptables),
            other => Err(Error::UnknownBackend(other.to_owned())),
        }
    }
}

/// Why masquerading could not be set up, removed or confirmed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ipMasqBackend` is neither `nftables` nor `iptables`.
    #[error("unknown ipmasq backend {0:?}")]
    UnknownBackend(String),
    /// The kernel refused an nftables request.
    #[error(transparent)]
    Nftables(#[from] kernel::Error),
    /// iptables is not there or refused.
    #[error(transparent)]
    Iptables(#[from] kernel::iptables::Error),
    /// What is remembered cannot be read.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// CHECK: our rules are there, and no packet comes to them.
    #[error("nothing is masqueraded: nftables {0}")]
    Inactive(String),
    /// CHECK: packets of a pod's address are not masqueraded.
    #[error(
        "no masquerade of {address} for network {network:?}, container {container_id:?}, \
         interface {ifname:?} in nftables or iptables"
    )]
    Missing {
        /// The address with its subnet's prefix length.
        address: IpNetwork,
        /// The network's name.
        network: String,
        /// The container.
        container_id: String,
        /// The container's interface.
        ifname: String,
    },
}

/// Masquerades what `owner` sends from `addresses` beyond their subnets.
///
/// `None` is nftables; where the kernel lacks it, iptables, with a warning. An address that still
/// carries another owner's element is taken over: the IPAM plugin says who has it now.
///
/// # Errors
/// What the kernel or iptables refuses. Nothing of this call is left then for nftables and, of
/// one address family, for iptables; [`remove`] clears the rest.
pub fn add(
    backend: Option<Backend>,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<(), Error> {
    if add_one(backend, owner, addresses)? {
        record::restore_and_log::<Masquerade>();
    }
    Ok(())
}

/// [`add`] without a look at others; says whether it found that somebody flushed their rules.
fn add_one(
    backend: Option<Backend>,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<bool, Error> {
    match backend {
        Some(Backend::Nftables) => Ok(native::add(&mut Nft::open()?, owner, addresses)?),
        Some(Backend::Iptables) => iptables::add(owner, addresses),
        None => match Nft::open().and_then(|mut nft| native::add(&mut nft, owner, addresses)) {
            Err(error) if Nft::is_unsupported(&error) => {
                tracing::warn!(
                    "no nftables in this kernel, masquerading with iptables: {error}: {}",
                    error.source
                );
                iptables::add(owner, addresses)
            }
            result => Ok(result?),
        },
    }
}

/// Removes all masquerading of `owner`: ours and the reference plugins', with either backend.
///
/// `addresses`, and those that are remembered, make it cheaper and, where several interfaces of a container
/// share an iptables chain, keep the others'; without them everything of the container on this network
/// goes. An address that has another owner by now stays masqueraded. Nothing there is success.
///
/// # Errors
/// What the kernel or iptables refuses; every backend is tried before the first failure is
/// returned.
pub fn remove(owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<(), Error> {
    record::forget::<Masquerade, _>(*owner, |remembered| {
        let addresses = record::with_remembered(addresses, remembered.records);
        remove_rules(owner, &addresses)
    })
}

fn remove_rules(owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<(), Error> {
    let native = change_what_is_there(|nft, transaction| {
        let transaction = native::removal(nft, transaction, owner, addresses)?;
        let transaction = reference::removal(nft, transaction, owner)?;
        iptables::removal(nft, transaction, owner, addresses)
    });
    let legacy = legacy::remove(owner, addresses);
    native.map_err(Error::from).and(legacy)
}

/// Whether packets from each of `addresses` are masqueraded for `owner`, by our rules or by the
/// reference plugins', whatever backend they were made with; `backend` only says where to look
/// first.
///
/// # Errors
/// [`Error::Missing`] for the first address that is not, [`Error::Inactive`] when our rules for it
/// see no packets; what the kernel or iptables refuses.
pub fn check(
    backend: Option<Backend>,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<(), Error> {
    let by_nft = |address: &IpNetwork| -> Result<bool, Error> {
        let mut nft = Nft::open()?;
        Ok(native::has(&mut nft, owner, address)? || reference::has(&mut nft, owner, address)?)
    };
    let by_iptables = |address: &IpNetwork| iptables::has(owner, address);
    for address in addresses {
        let present = match backend {
            Some(Backend::Iptables) => by_iptables(address)? || by_nft(address)?,
            _ => by_nft(address)? || by_iptables(address)?,
        };
        if !present {
            return Err(owner.missing(*address));
        }
    }
    Ok(())
}

/// Removes all masquerading of `network`, ours and the reference plugins', except that of the
/// attachments in `valid` (container ID, interface), and the sets that are empty then.
///
/// # Errors
/// As [`remove`].
pub fn gc(network: &str, valid: &[(&str, &str)]) -> Result<(), Error> {
    record::forget_others::<Masquerade, _>(network, valid, |_| collect(network, valid))
}

fn collect(network: &str, valid: &[(&str, &str)]) -> Result<(), Error> {
    let mut native = Ok(true);
    while let Ok(true) = native {
        native = change_what_is_there(|nft, transaction| {
            let transaction = native::garbage(nft, transaction, network, valid)?;
            let transaction = reference::garbage(nft, transaction, network, valid)?;
            iptables::garbage(nft, transaction, network, valid)
        });
    }
    let legacy = legacy::gc(network, valid);
    native.map_err(Error::from).and(legacy)
}

/// Whether [`add`] with `backend` can work here: the kernel answers nftables requests, iptables is
/// in PATH. Changes nothing and runs nothing.
///
/// # Errors
/// Why it cannot.
pub fn usable(backend: Option<Backend>) -> Result<(), Error> {
    let nftables = || Nft::open().and_then(|mut nft| nft.generation());
    let iptables = || Iptables::new(Family::V4);
    match backend {
        Some(Backend::Nftables) => nftables().map(drop)?,
        Some(Backend::Iptables) => iptables().map(drop)?,
        None => match nftables() {
            Err(error) if Nft::is_unsupported(&error) => iptables().map(drop)?,
            answer => answer.map(drop)?,
        },
    }
    Ok(())
}

//! Changes to kernel objects, applied many per send.
//!
//! Needs CAP_NET_ADMIN.

use std::fmt;
use std::io;

use ipnetwork::IpNetwork;
use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_wireguard::WireguardMessage;

use crate::netlink::{Done, Request, is_overrun};
use crate::{
    BridgeFdbEntry, FdbEntry, LinkIndex, Neighbour, Netlink, PublicKey, Result, Route,
    WireguardPeer, address, link, neighbour, route, wireguard,
};

/// Messages per send. Should all be refused, the answers wait in the socket's receive buffer, 212,992
/// bytes unless the machine is set otherwise, where each takes less than 1 KiB.
const BATCH: usize = 128;

/// One change to one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// `ip address add`
    AddAddress(LinkIndex, IpNetwork),
    /// `ip address add … nodad`, see [`Netlink::add_address_nodad`]
    AddAddressNoDad(LinkIndex, IpNetwork),
    /// `ip address delete`
    DeleteAddress(LinkIndex, IpNetwork),
    /// `ip link set up`
    SetUp(LinkIndex),
    /// `ip route prepend`, see [`Netlink::add_route`]
    AddRoute(Route),
    /// `ip route replace`
    ReplaceRoute(Route),
    /// `ip route delete`
    DeleteRoute(Route),
    /// `ip neighbour replace … nud permanent`
    ReplaceNeighbour(Neighbour),
    /// `ip neighbour replace … nud permanent protocol N`: marked as whose it is
    ReplaceNeighbourBy(Neighbour, u8),
    /// `ip neighbour delete`
    DeleteNeighbour(Neighbour),
    /// `bridge fdb replace … self permanent`
    ReplaceFdb(FdbEntry),
    /// `bridge fdb replace … master static sticky`
    ReplaceBridgeFdb(BridgeFdbEntry),
    /// `bridge fdb delete … self`
    DeleteFdb(FdbEntry),
    /// `wg set … peer …`: the peer has exactly these allowed addresses then
    SetWireguardPeer(LinkIndex, WireguardPeer),
    /// `wg set … peer … remove`
    RemoveWireguardPeer(LinkIndex, PublicKey),
}

impl Change {
    /// What is done, as in an error: `replace route`.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::AddAddress(..) | Self::AddAddressNoDad(..) => "add address",
            Self::DeleteAddress(..) => "delete address",
            Self::SetUp(_) => "set up link",
            Self::AddRoute(_) => "add route",
            Self::ReplaceRoute(_) => "replace route",
            Self::DeleteRoute(_) => "delete route",
            Self::ReplaceNeighbour(_) | Self::ReplaceNeighbourBy(..) => "replace neighbour",
            Self::DeleteNeighbour(_) => "delete neighbour",
            Self::ReplaceFdb(_) | Self::ReplaceBridgeFdb(_) => "replace FDB entry",
            Self::DeleteFdb(_) => "delete FDB entry",
            Self::SetWireguardPeer(..) => "set wireguard peer",
            Self::RemoveWireguardPeer(..) => "remove wireguard peer",
        }
    }

    /// To what it is done, as in an error: `10.1.0.0/24 via 10.0.0.1 dev 5`.
    pub fn object(&self) -> impl fmt::Display + '_ {
        Object(self)
    }

    /// `None` for what is no matter of route netlink.
    fn request(&self) -> Option<Request> {
        let (message, flags) = match self {
            Self::AddAddress(link, address) => {
                let message = address::add_message(*link, *address, AddressHeaderFlags::empty());
                (message, address::ADD_FLAGS)
            }
            Self::AddAddressNoDad(link, address) => {
                let message = address::add_message(*link, *address, AddressHeaderFlags::Nodad);
                (message, address::ADD_FLAGS)
            }
            Self::DeleteAddress(link, address) => (address::delete_message(*link, *address), 0),
            Self::SetUp(link) => (link::up_message(*link), 0),
            Self::AddRoute(route) => (route::new_message(route), route::ADD_FLAGS),
            Self::ReplaceRoute(route) => (route::new_message(route), route::REPLACE_FLAGS),
            Self::DeleteRoute(route) => (route::delete_message(route), 0),
            Self::ReplaceNeighbour(entry) => (entry.replace_message(), neighbour::REPLACE_FLAGS),
            Self::ReplaceNeighbourBy(entry, protocol) => (
                entry.replace_message_by(*protocol),
                neighbour::REPLACE_FLAGS,
            ),
            Self::DeleteNeighbour(entry) => (entry.delete_message(), 0),
            Self::ReplaceFdb(entry) => (entry.replace_message(), neighbour::REPLACE_FLAGS),
            Self::ReplaceBridgeFdb(entry) => (entry.replace_message(), neighbour::REPLACE_FLAGS),
            Self::DeleteFdb(entry) => (entry.delete_message(), 0),
            Self::SetWireguardPeer(..) | Self::RemoveWireguardPeer(..) => return None,
        };
        Some(Request { message, flags })
    }

    /// `None` for what is a matter of route netlink.
    fn wireguard_message(&self) -> Option<WireguardMessage> {
        match self {
            Self::SetWireguardPeer(link, peer) => Some(wireguard::set_peer_message(*link, peer)),
            Self::RemoveWireguardPeer(link, key) => {
                Some(wireguard::remove_peer_message(*link, *key))
            }
            _ => None,
        }
    }

    fn is_of_wireguard(&self) -> bool {
        matches!(
            self,
            Self::SetWireguardPeer(..) | Self::RemoveWireguardPeer(..)
        )
    }

    fn is_delete(&self) -> bool {
        use Change::{DeleteAddress, DeleteFdb, DeleteNeighbour, DeleteRoute, RemoveWireguardPeer};
        matches!(
            self,
            DeleteAddress(..)
                | DeleteRoute(_)
                | DeleteNeighbour(_)
                | DeleteFdb(_)
                | RemoveWireguardPeer(..)
        )
    }

    /// Accepts that what is to be deleted is gone, and that what is to be added is there when
    /// the request was sent `twice`.
    fn outcome(&self, done: Done, twice: bool) -> Result<()> {
        let Err(refusal) = done else { return Ok(()) };
        match refusal.into_error(self.operation(), self.object()) {
            error if self.is_delete() && error.is_gone() => Ok(()),
            error if twice && error.is_exists() => Ok(()),
            error => Err(error),
        }
    }
}

struct Object<'a>(&'a Change);

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::AddAddress(link, address) | Change::AddAddressNoDad(link, address) => {
                write!(f, "{address} to {link}")
            }
            Change::DeleteAddress(link, address) => write!(f, "{address} from {link}"),
            Change::SetUp(link) => link.fmt(f),
            Change::AddRoute(route) | Change::ReplaceRoute(route) | Change::DeleteRoute(route) => {
                route.fmt(f)
            }
            Change::ReplaceNeighbour(entry)
            | Change::ReplaceNeighbourBy(entry, _)
            | Change::DeleteNeighbour(entry) => entry.fmt(f),
            Change::ReplaceBridgeFdb(entry) => entry.fmt(f),
            Change::ReplaceFdb(entry) | Change::DeleteFdb(entry) => entry.fmt(f),
            Change::SetWireguardPeer(link, peer) => write!(f, "{} of {link}", peer.public_key),
            Change::RemoveWireguardPeer(link, key) => write!(f, "{key} of {link}"),
        }
    }
}

/// In a line: `replace route 10.1.0.0/24 via 10.0.0.1 dev 5`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation(), self.object())
    }
}

impl Netlink {
    /// Applies changes in order, many messages per send, and returns one outcome for each. One
    /// that fails does not stop the rest. Deleting what is gone succeeds.
    ///
    /// # Errors
    /// Nothing more could be sent. The outcomes are lost then: read the state again.
    pub fn apply(&self, changes: &[Change]) -> Result<Vec<Result<()>>> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for run in changes.chunk_by(|a, b| a.is_of_wireguard() == b.is_of_wireguard()) {
            for batch in run.chunks(BATCH) {
                outcomes.extend(self.apply_batch(batch)?);
            }
        }
        Ok(outcomes)
    }

    /// Changes of one protocol.
    fn apply_batch(&self, batch: &[Change]) -> Result<Vec<Result<()>>> {
        if batch.iter().any(Change::is_of_wireguard) {
            return self.with_generic(|generic| {
                apply_with(batch, |changes| {
                    generic.order(changes.iter().filter_map(Change::wireguard_message))
                })
            });
        }
        let mut connection = self.lock();
        apply_with(batch, |changes| {
            let requests: Vec<Request> = changes.iter().filter_map(Change::request).collect();
            connection.order(&requests)
        })
    }
}

/// `order` sends changes together and gives what became of each.
fn apply_with(
    batch: &[Change],
    mut order: impl FnMut(&[Change]) -> io::Result<Vec<Done>>,
) -> Result<Vec<Result<()>>> {
    let done = match order(batch) {
        // A machine with a smaller receive buffer than usual. Nobody knows which changes were
        // made, but each can be made twice.
        Err(error) if is_overrun(&error) => return one_by_one(batch, order),
        Err(source) => return Err(failed(batch, source)),
        Ok(done) => done,
    };
    let pairs = batch.iter().zip(done);
    Ok(pairs
        .map(|(change, done)| change.outcome(done, false))
        .collect())
}

fn one_by_one(
    batch: &[Change],
    mut order: impl FnMut(&[Change]) -> io::Result<Vec<Done>>,
) -> Result<Vec<Result<()>>> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for change in batch {
        let change = std::slice::from_ref(change);
        let done = order(change).map_err(|source| failed(change, source))?;
        let pairs = change.iter().zip(done);
        outcomes.extend(pairs.map(|(change, done)| change.outcome(done, true)));
    }
    Ok(outcomes)
}

fn failed(batch: &[Change], source: io::Error) -> crate::Error {
    let first = batch.first().map(ToString::to_string).unwrap_or_default();
    crate::Error::new(
        "apply",
        format_args!("{} changes from {first:?}", batch.len()),
        source,
    )
}

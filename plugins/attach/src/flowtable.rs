//! Flowtables: long connections between pods and the outside bypass the rules (`flowtableUplinks`).
//!
//! One flowtable for all networks, which looks at the packets of uplinks and of the links that pods are behind: a
//! bridge, the gateway of a VLAN, the host end of a pair. What the filters have let pass comes to a rule that hands the
//! connection to it, once it is established and a packet is larger than single ones are: streams are taken, and
//! connections that are over with a few packets, where it would cost more than it saves, are not.
//!
//! The kernel ends an entry with its connection: when that is closed or reset, when nothing came for half a minute,
//! when its conntrack entry is deleted, and when one of the links goes. So there is nothing to do for a pod that goes,
//! but for the name of a link of its own.
//!
//! What is set up is remembered ([`record`]), so that it comes back when somebody flushed it.

mod restore;
mod table;

use cni::{AddResult, Call};
use ipnetwork::IpNetwork;
use kernel::{
    IfName, Link, Netlink, Undo,
    nft::{
        Nft,
        ruleset::{change, change_what_is_there},
    },
};

use serde::Deserialize;

pub use restore::{Flowtable, Wanted};
use table::Ways;

use crate::{
    Attaching, Identity,
    record::{self, Rules as _},
    status::not_available,
};

/// Links by which the node's packets come and go: one at least, each once, none of them `lo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplinks(Vec<IfName>);

/// What pods are behind, seen from the host.
#[derive(Clone, Copy, Debug)]
pub enum Behind<'a> {
    /// A link that they share, and that stays.
    Shared(&'a IfName),
    /// The host end of the pod's own pair.
    Own(&'a IfName),
}

impl<'a> Behind<'a> {
    fn link(self) -> &'a IfName {
        match self {
            Self::Shared(link) | Self::Own(link) => link,
        }
    }
}

/// Why connections do not bypass the rules.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No link can have this name.
    #[error("invalid flowtableUplinks: {0:?} is no name of a link")]
    Name(String),
    /// A name is there twice.
    #[error("invalid flowtableUplinks: {0:?} is there twice")]
    Twice(String),
    /// What pods are behind leads nowhere else.
    #[error(
        "invalid flowtableUplinks: pods are behind {0:?}; name links by which packets leave the node"
    )]
    PodsSide(String),
    /// Packets of the host to itself.
    #[error(
        "invalid flowtableUplinks: no packet leaves the node by {0:?}; name links by which packets do"
    )]
    Loopback(String),
    /// The host has no such link.
    #[error("invalid flowtableUplinks: this host has no link {0:?}")]
    NoLink(String),
    /// Rules and flowtables know a link by its name alone.
    #[error("invalid flowtableUplinks: {name:?} is another name of {link:?}; name that")]
    Alternative {
        /// What is asked for.
        name: String,
        /// The link's name.
        link: String,
    },
    /// Packets are routed to a bridge, not to its ports.
    #[error(
        "invalid flowtableUplinks: {0:?} is a port; name the bridge, bond or VRF that it is one of"
    )]
    Port(String),
    /// The kernel lacks what it takes.
    #[error(
        "flowtableUplinks: this kernel has no flowtables, or no rules that fill them \
         (nf_flow_table_inet, nft_flow_offload); leave the key out"
    )]
    Unsupported(#[source] kernel::Error),
    /// Something is not as ADD leaves it.
    #[error("connections by {link:?} do not bypass the rules: {what}")]
    Lacking {
        /// The link that pods are behind.
        link: String,
        /// What there is not, in the words of nft(8).
        what: String,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Unsupported(_) | Error::Lacking { .. } | Error::Kernel(_) => {
                Self::internal(error)
            }
            wrong => Self::new(cni::code::INVALID_CONFIG, wrong.to_string()),
        }
    }
}

impl Uplinks {
    /// What the configuration asks for; no names ask for nothing.
    ///
    /// # Errors
    /// A name that cannot be meant.
    pub fn read(names: &[String]) -> Result<Option<Self>, Error> {
        let mut uplinks: Vec<IfName> = Vec::with_capacity(names.len());
        for name in names {
            let uplink: IfName = name.parse().map_err(|_| Error::Name(name.clone()))?;
            if uplink.as_str() == "lo" {
                return Err(Error::Loopback(name.clone()));
            }
            if uplinks.contains(&uplink) {
                return Err(Error::Twice(name.clone()));
            }
            uplinks.push(uplink);
        }
        Ok((!uplinks.is_empty()).then_some(Self(uplinks)))
    }

    /// Pods are behind none of them.
    ///
    /// # Errors
    /// They are behind `link`, which is one.
    pub fn do_not_have(&self, link: &IfName) -> Result<(), Error> {
        match self.0.contains(link) {
            true => Err(Error::PodsSide(link.to_string())),
            false => Ok(()),
        }
    }

    /// The host has all of them, and packets can be routed to each.
    ///
    /// # Errors
    /// The first to which that does not apply.
    pub fn are_there(&self, host: &Netlink) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|name| is_uplink(name, host.link(name)?.as_ref()))
    }

    /// Has long connections between `behind` and the uplinks bypass the rules, and remembers that; the inverse goes
    /// onto `undo` before. Changes nothing where they do already. What all pods share stays until [`collect`] takes it
    /// away; where somebody flushed it, that of all pods comes back.
    ///
    /// # Errors
    /// The kernel cannot do that, or refuses.
    pub fn set_up<'a>(
        &self,
        base: &'a Attaching<'_>,
        result: &AddResult,
        behind: Behind<'_>,
        undo: &mut Undo<'a>,
    ) -> Result<(), cni::Error> {
        let addresses: Vec<IpNetwork> = result.ips.iter().map(|ip| ip.address).collect();
        let wanted = self.wanted(behind);
        let own = wanted.own_link().map(str::to_owned);
        let earlier = record::keep::<Flowtable>(base.pod(), &addresses, wanted);
        undo.push("flowtable", move || {
            let removed = take_out(own.as_slice());
            let back = earlier.come_back();
            removed?;
            Ok(back?)
        })
        .map_err(crate::Error::from)?;
        if self.join(&base.host, behind.link())? {
            record::restore_and_log::<Flowtable>();
        }
        Ok(())
    }

    /// Adds what is not there. Says whether that was the rule, which is for all pods.
    fn join(&self, host: &Netlink, link: &IfName) -> Result<bool, Error> {
        let ways = self.ways(link);
        let mut nft = Nft::open().map_err(unsupported)?;
        let mut lacked_rule = false;
        let changed = change(&mut nft, |nft, transaction| {
            let (transaction, lacks_rule) = ways.add(nft, transaction)?;
            lacked_rule |= lacks_rule;
            Ok(transaction)
        });
        match changed {
            Ok(false) => {}
            // A kernel older than 5.8 adds no link to a flowtable that is there, and says nothing.
            Ok(true) => self.are_joined(&mut nft, link)?,
            Err(error) => {
                // A link that is gone meanwhile gets the same answer as a kernel that lacks flowtables.
                self.are_there(host)?;
                return Err(unsupported(error));
            }
        }
        Ok(lacked_rule)
    }

    /// CHECK: all that [`set_up`](Self::set_up) makes is there.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self, host: &Netlink, link: &IfName) -> Result<(), Error> {
        self.are_there(host)?;
        self.are_joined(&mut Nft::open()?, link)
    }

    fn are_joined(&self, nft: &mut Nft, link: &IfName) -> Result<(), Error> {
        match self.ways(link).lacking(nft)? {
            None => Ok(()),
            Some(what) => Err(Error::Lacking {
                link: link.to_string(),
                what,
            }),
        }
    }

    fn ways<'a>(&'a self, link: &'a IfName) -> Ways<'a> {
        Ways {
            uplinks: &self.0,
            link,
        }
    }
}

/// STATUS: the uplinks are there, and this kernel has flowtables, which is tried out in a network namespace of its own.
/// Names that ADD refuses are not judged here, as other values are not.
///
/// # Errors
/// Code 50.
pub fn is_usable(names: &[String]) -> Result<(), cni::Error> {
    let Ok(Some(uplinks)) = Uplinks::read(names) else {
        return Ok(());
    };
    let host = Netlink::open().map_err(crate::Error::from)?;
    uplinks.are_there(&host).map_err(not_available)?;
    let tried = kernel::netns::in_new_namespace(|| {
        let mut nft = Nft::open()?;
        nft.commit(table::of_loopback())
    });
    tried
        .and_then(|outcome| outcome)
        .map_err(|error| not_available(unsupported(error)))
}

/// Whether the configuration names uplinks, as far as the key by itself says. Unreadable is as good as yes: what is not
/// there is removed already.
fn is_wanted(call: &Call<'_>) -> bool {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Conf {
        flowtable_uplinks: Vec<String>,
    }
    let conf: Result<Conf, _> = call.config();
    conf.map_or(true, |conf| !conf.flowtable_uplinks.is_empty())
}

/// DEL: what is the attachment's own goes, and is forgotten. A pair whose host end is no port has its name among those
/// that connections are taken between; what others are behind as well stays for them. The key may have been left out
/// since ADD: then what is remembered tells.
///
/// # Errors
/// What the kernel refuses; what is remembered cannot be read.
pub fn forget(call: &Call<'_>, identity: Identity<'_>) -> Result<(), cni::Error> {
    if !is_wanted(call) && !record::is_kept::<Flowtable>(identity) {
        return Ok(());
    }
    record::forget::<Flowtable, _>(identity, |remembered| {
        Flowtable::remove(identity, remembered)
    })
}

fn take_out(links: &[String]) -> kernel::Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let goes = |name: &str| links.iter().any(|link| link == name);
    change_what_is_there(|nft, transaction| table::without(nft, transaction, goes)).map(drop)
}

/// GC: the names of links that are gone go, and the table with the last of them; what is remembered of attachments of
/// `network` that are not in `valid` (container ID, interface) is forgotten.
///
/// # Errors
/// What the kernel refuses; what is remembered cannot be read.
pub fn collect(network: &str, valid: &[(&str, &str)]) -> Result<(), cni::Error> {
    record::forget_others::<Flowtable, _>(network, valid, |_| {
        let collected = change_what_is_there(table::garbage);
        collected.map(drop).map_err(cni::Error::internal)
    })
}

fn is_uplink(name: &IfName, link: Option<&Link>) -> Result<(), Error> {
    let name = name.to_string();
    match link {
        None => Err(Error::NoLink(name)),
        // The kernel finds links by their alternative names as well.
        Some(link) if link.name.as_str() != name => Err(Error::Alternative {
            name,
            link: link.name.to_string(),
        }),
        Some(link) if link.loopback => Err(Error::Loopback(name)),
        Some(link) if link.master.is_some() => Err(Error::Port(name)),
        Some(_) => Ok(()),
    }
}

/// Where the kernel lacks kinds of objects or expressions, it has not heard of them (ENOENT).
fn unsupported(error: kernel::Error) -> Error {
    let lacks = matches!(error.operation, "add flowtable" | "add rule to") && error.is_gone();
    match lacks || Nft::is_unsupported(&error) {
        true => Error::Unsupported(error),
        false => Error::Kernel(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &[&str]) -> Result<Option<Uplinks>, String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Uplinks::read(&names).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_cannot_be_meant_are_refused() {
        assert_eq!(read(&[]), Ok(None));
        let two = ["eth0", "eth1"].map(|name| name.parse().unwrap());
        assert_eq!(read(&["eth0", "eth1"]), Ok(Some(Uplinks(two.to_vec()))));
        for (names, error) in [
            (&["eth0", "eth0"][..], "\"eth0\" is there twice"),
            (
                &["a-name-too-long-"],
                "\"a-name-too-long-\" is no name of a link",
            ),
            (&[""], "\"\" is no name of a link"),
            (
                &["eth0", "lo"],
                "no packet leaves the node by \"lo\"; name links by which packets do",
            ),
        ] {
            let expected = format!("invalid flowtableUplinks: {error}");
            assert_eq!(read(names), Err(expected), "{names:?}");
        }
    }

    #[test]
    fn pods_are_behind_another_link() {
        let uplinks = read(&["eth0", "cni0"]).unwrap().unwrap();
        let behind = |name: &str| uplinks.do_not_have(&name.parse().unwrap());
        behind("cni1").unwrap();
        let error = cni::Error::from(behind("cni0").unwrap_err());
        assert_eq!(error.code, cni::code::INVALID_CONFIG);
        assert_eq!(
            error.msg,
            "invalid flowtableUplinks: pods are behind \"cni0\"; name links by which packets leave the node"
        );
    }
}

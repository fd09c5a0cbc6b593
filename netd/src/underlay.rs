//! The external interface while netd runs: it gets another address, another name or MTU, or is made
//! anew, and netd follows instead of asking for a restart.
//!
//! As long as the link of the chosen index has the chosen addresses, nothing was chosen wrongly,
//! whatever it is called. Otherwise the choice is made again, by the rules of the start. Addresses
//! come and go together when a lease of DHCP is renewed, so another address is taken only when it has
//! stood for [`SETTLE`]; the same one on a link made anew, at once.

use std::net::IpAddr;
use std::time::Duration;

use backend::{Family, Underlay};
use kernel::{Link, Netlink};
use tokio::time::Instant;

use crate::facts;
use crate::interface::{self, External, InterfaceError};
use crate::options::Options;

/// How long another address must stand before the lease moves to it.
pub const SETTLE: Duration = Duration::from_secs(2);

/// Why there is no external interface at the moment.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The kernel does not answer.
    #[error("the external interface cannot be looked at")]
    Kernel(#[from] kernel::Error),
    /// Link or address are gone, and nothing takes their place.
    #[error("the external interface {0} is gone")]
    Gone(String, #[source] Box<InterfaceError>),
    /// Something takes their place, but not for long enough yet.
    #[error("the external interface {0} is gone; {1} takes its place if it stays")]
    Settling(String, String),
}

fn described(external: &External) -> String {
    let addresses: Vec<String> = addresses(external).map(|ip| ip.to_string()).collect();
    format!("{} with {}", external.name, addresses.join(" and "))
}

fn addresses(external: &External) -> impl Iterator<Item = IpAddr> {
    let v4 = external.address.map(IpAddr::V4);
    v4.into_iter().chain(external.v6_address.map(IpAddr::V6))
}

/// What a look at the external interface shows.
#[derive(Debug)]
pub struct Sight {
    /// The interface as it is now; routes left out.
    pub underlay: Underlay,
    /// It is not what the last look showed; for the log.
    pub change: Option<String>,
}

/// Follows the external interface.
#[derive(Debug)]
pub struct Follower {
    options: Options,
    families: Vec<Family>,
    external: External,
    /// It takes router advertisements, also while the node forwards: so must what takes its place.
    hears_routers: bool,
    /// What would take its place, and since when.
    coming: Option<(External, Instant)>,
}

impl Follower {
    /// From the choice of the start on.
    pub fn new(options: &Options, families: &[Family], external: External) -> Self {
        let hears_routers = families.contains(&Family::V6) && facts::hears_routers(&external.name);
        Self {
            options: options.clone(),
            families: families.to_vec(),
            external,
            hears_routers,
            coming: None,
        }
    }

    /// The interface as it was seen last.
    pub fn external(&self) -> &External {
        &self.external
    }

    /// Looks at the interface, and moves to what has taken its place.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn look(&mut self, netlink: &Netlink) -> Result<Sight, Missing> {
        if let Some(link) = self.still_there(netlink)? {
            self.coming = None;
            let change = (link.name != self.external.name)
                .then(|| format!("{} is called {} now", self.external.name, link.name));
            self.external.name = link.name.clone();
            return Ok(self.sight(&link, change));
        }
        if self.hears_routers {
            // One that is made anew by this name: its address may come by advertisement.
            facts::hear_routers(&self.external.name);
        }
        let facts = facts::gather(netlink, self.options.iface_can_reach)?;
        let chosen = match interface::choose(&self.options, &self.families, &facts) {
            Ok(chosen) => chosen,
            Err(why) => {
                self.coming = None;
                return Err(self.gone(why));
            }
        };
        if !self.is_settled(&chosen, Instant::now()) {
            return Err(Missing::Settling(
                described(&self.external),
                described(&chosen),
            ));
        }
        self.coming = None;
        if self.hears_routers {
            facts::hear_routers(&chosen.name);
        }
        let change = format!(
            "{} in place of {}",
            described(&chosen),
            described(&self.external)
        );
        self.external = chosen;
        let link = facts
            .links
            .into_iter()
            .find(|link| link.index == self.external.link);
        match link {
            Some(link) => Ok(self.sight(&link, Some(change))),
            None => Err(self.gone(InterfaceError::NoLink(self.external.name.to_string()))),
        }
    }

    fn gone(&self, why: InterfaceError) -> Missing {
        Missing::Gone(described(&self.external), Box::new(why))
    }

    fn sight(&self, link: &Link, change: Option<String>) -> Sight {
        Sight {
            underlay: self.external.underlay(link),
            change,
        }
    }

    /// The link, if it has all its addresses.
    fn still_there(&self, netlink: &Netlink) -> Result<Option<Link>, Missing> {
        let Some(link) = netlink.link_by_index(self.external.link)? else {
            return Ok(None);
        };
        let seen = netlink.addresses(Some(link.index))?;
        let has = |ip| seen.iter().any(|seen| seen.address.ip() == ip);
        Ok(addresses(&self.external).all(has).then_some(link))
    }

    /// Whether the node may move to `chosen`.
    fn is_settled(&mut self, chosen: &External, now: Instant) -> bool {
        if addresses(chosen).eq(addresses(&self.external)) {
            return true;
        }
        match &self.coming {
            Some((coming, since)) if coming == chosen => now - *since >= SETTLE,
            _ => {
                self.coming = Some((chosen.clone(), now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external(address: &str) -> External {
        External {
            name: "eth0".parse().unwrap(),
            link: kernel::LinkIndex(2),
            mtu: 1500,
            address: Some(address.parse().unwrap()),
            v6_address: None,
            public_ip: Some(address.parse().unwrap()),
            public_ipv6: None,
            because: "-iface eth0".to_owned(),
        }
    }

    fn follower() -> Follower {
        Follower::new(&Options::blank(), &[Family::V4], external("192.0.2.1"))
    }

    #[test]
    fn another_address_must_stand_for_a_while() {
        let mut follower = follower();
        let start = Instant::now();
        let other = external("192.0.2.77");
        for (after, settled) in [(0, false), (1999, false), (2000, true)] {
            let now = start + Duration::from_millis(after);
            assert_eq!(follower.is_settled(&other, now), settled, "{after} ms");
        }
        // A third one begins anew.
        let third = external("192.0.2.78");
        assert!(!follower.is_settled(&third, start + SETTLE));
    }

    #[test]
    fn the_same_address_on_a_link_made_anew_is_taken_at_once() {
        let anew = External {
            link: kernel::LinkIndex(9),
            ..external("192.0.2.1")
        };
        assert!(follower().is_settled(&anew, Instant::now()));
    }
}

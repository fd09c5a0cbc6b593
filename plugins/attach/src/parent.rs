//! The link that a pod's link is on (macvlan, ipvlan, vlan): `master` of the configuration.

use kernel::{Link, LinkKind, Netlink, RouteKind, route::RouteFilter};

use crate::{Error, Result, route::TABLE_MAIN};

/// A parent that is there.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The link.
    pub link: Link,
    /// It is in the container's namespace, not the host's.
    pub inside: bool,
}

/// What the configuration says of it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// `master`; empty: the link of the default route.
    pub master: &'a str,
    /// `linkInContainer`
    pub inside: bool,
}

impl Named<'_> {
    /// Looks for it by a socket of its namespace.
    ///
    /// # Errors
    /// There is none; it cannot be looked up.
    pub fn find(&self, netlink: &Netlink) -> Result<Parent> {
        let link = match self.master {
            "" => of_default_route(netlink),
            name => by_name(netlink, name),
        }?;
        let inside = self.inside;
        Ok(Parent { link, inside })
    }
}

fn by_name(netlink: &Netlink, name: &str) -> Result<Link> {
    let missing = || Error::NoMaster {
        name: name.to_owned(),
    };
    let valid = name.parse().map_err(|_| missing())?;
    let link = netlink.link(&valid).map_err(|source| Error::Master {
        name: name.to_owned(),
        source: source.into(),
    })?;
    link.ok_or_else(missing)
}

/// The first default route's, of either family; a route that leads nowhere has none.
fn of_default_route(netlink: &Netlink) -> Result<Link> {
    let main = RouteFilter {
        table: Some(TABLE_MAIN),
        ..RouteFilter::default()
    };
    let routes = netlink.routes_by_next_hop(&main)?;
    let mut defaults = routes
        .iter()
        .filter(|route| route.dst.prefix() == 0 && leads_on(route.kind));
    let index = defaults.find_map(|route| route.link);
    match index
        .map(|index| netlink.link_by_index(index))
        .transpose()?
    {
        Some(Some(link)) => Ok(link),
        _ => Err(Error::NoDefaultRoute),
    }
}

fn leads_on(kind: RouteKind) -> bool {
    matches!(kind, RouteKind::Unicast | RouteKind::Multipath)
}

impl Parent {
    /// The configured MTU in bytes, which this parent must be able to carry; 0 means the parent's.
    ///
    /// # Errors
    /// Negative, or more than the parent has.
    pub fn mtu(&self, configured: i64) -> Result<Option<u32>> {
        let most = self.link.mtu;
        match u32::try_from(configured) {
            Ok(0) => Ok(None),
            Ok(mtu) if mtu <= most => Ok(Some(mtu)),
            _ => Err(Error::MtuRange { configured, most }),
        }
    }

    /// Whether a link of the container is on this one. The kernel puts a macvlan or an ipvlan that is
    /// asked for on another one on that one's parent.
    pub(crate) fn carries(&self, link: &Link) -> bool {
        let skipped = matches!(
            (&link.kind, &self.link.kind),
            (LinkKind::Macvlan(_), LinkKind::Macvlan(_))
                | (LinkKind::Ipvlan(_), LinkKind::Ipvlan(_))
        );
        let (lower, elsewhere) = match skipped {
            true => (self.link.peer, self.link.peer_elsewhere),
            false => (Some(self.link.index), false),
        };
        link.peer == lower && link.peer_elsewhere == (elsewhere || !self.inside)
    }
}

//! Making a link in the container's namespace, all of it: macvlan, ipvlan, vlan, dummy, tap.

use kernel::{
    IfName, Link, LinkChange, LinkIndex, MacAddr, Netlink, NewKind, NewLink, Undo, link::Place,
};

use super::{PodLink, delete, look_up};
use crate::{Attaching, Error, Result, netns, parent::Parent};

/// A link to be in the container's namespace, without an end on the host.
#[derive(Clone, Debug)]
pub struct NewPodLink<'a> {
    /// Its kind, with the kind's own options.
    pub kind: NewKind<'a>,
    /// The link that it is on, if its kind needs one.
    pub parent: Option<&'a Parent>,
    /// In bytes; the kernel's default (the parent's, if there is one) if none.
    pub mtu: Option<u32>,
    /// Its hardware address; the kernel's choice if none.
    pub mac: Option<MacAddr>,
}

impl Attaching<'_> {
    /// Makes the link, down, directly in the container's namespace, with the attachment's alias.
    /// Its deletion goes onto `undo`.
    ///
    /// # Errors
    /// The container has an interface of this name; the kernel refuses.
    pub fn make_link<'u>(
        &'u self,
        wanted: &NewPodLink<'_>,
        undo: &mut Undo<'u>,
    ) -> Result<PodLink> {
        let making = Making {
            base: self,
            there: netns::socket(&self.container)?,
            name: netns::interface_name(self.identity.ifname)?,
            wanted,
        };
        let link = match wanted.parent {
            Some(parent) if !parent.inside => making.on_link_of_host(parent.link.index),
            parent => making.inside(parent.map(|parent| parent.link.index)),
        }?;
        let made = PodLink::from(&link);
        undo.push("delete link", move || Ok(self.delete_link(&link)?))?;
        Ok(made)
    }

    fn delete_link(&self, link: &Link) -> Result<()> {
        let place = Place {
            ns: Some(&self.container),
            index: link.index,
        };
        delete(&link.name, place, None)
    }
}

/// One link on its way.
struct Making<'a> {
    base: &'a Attaching<'a>,
    /// Socket in the container's namespace.
    there: Netlink,
    name: IfName,
    wanted: &'a NewPodLink<'a>,
}

impl Making<'_> {
    fn new_link<'l>(&'l self, name: &'l IfName, lower: Option<LinkIndex>) -> NewLink<'l> {
        NewLink {
            lower,
            mtu: self.wanted.mtu,
            mac: self.wanted.mac,
            ..NewLink::new(name, self.wanted.kind.clone())
        }
    }

    /// Nothing of the host's is needed: made under its own name.
    fn inside(&self, lower: Option<LinkIndex>) -> Result<Link> {
        let alias = self.base.identity.alias();
        // No matter of netlink: without a namespace a tap would come where this thread is.
        let is_tap = matches!(self.wanted.kind, NewKind::Tap(_) | NewKind::LabelledTap(..));
        let link = NewLink {
            alias: Some(&alias),
            ns: is_tap.then_some(&self.base.container),
            ..self.new_link(&self.name, lower)
        };
        match self.there.add_link(&link) {
            Err(error) if error.is_exists() && self.is_taken(&self.name)? => {
                Err(Error::NameTaken {
                    kind: self.wanted.kind.name(),
                    name: self.name.to_string(),
                })
            }
            made => made.map_err(|source| self.refused(source)),
        }
    }

    /// The parent's index means something only to a socket of its namespace, and there the kernel
    /// takes the name of a link to be for that of a link of the host (before Linux 6.15). So it is
    /// made under a name that the host does not have, and gets its own, with the alias, inside.
    fn on_link_of_host(&self, lower: LinkIndex) -> Result<Link> {
        let link = self.unnamed(lower)?;
        let alias = self.base.identity.alias();
        let named = LinkChange {
            name: Some(self.name.clone()),
            alias: Some(alias.clone()),
            ..LinkChange::default()
        };
        if let Err(source) = self.there.set_link(link.index, &named) {
            // The first failure is the one to report.
            let _ = self.base.delete_link(&link);
            return Err(Error::RenameLink {
                kind: self.wanted.kind.name(),
                name: self.name.to_string(),
                source: source.into(),
            });
        }
        Ok(Link {
            name: self.name.clone(),
            alias: Some(alias),
            ..link
        })
    }

    fn unnamed(&self, lower: LinkIndex) -> Result<Link> {
        let names = self.base.identity.host_veth_names();
        for name in &names {
            let link = NewLink {
                ns: Some(&self.base.container),
                ..self.new_link(name, Some(lower))
            };
            match self.base.host.add_link(&link) {
                // What exists may be something else: the parent's device for the same VLAN.
                Err(error) if error.is_exists() && self.is_taken(name)? => {}
                made => return made.map_err(|source| self.refused(source)),
            }
        }
        Err(Error::NoUnusedName {
            kind: self.wanted.kind.name(),
        })
    }

    fn is_taken(&self, name: &IfName) -> Result<bool> {
        for netlink in [&self.there, &self.base.host] {
            let link = netlink.link(name).map_err(|source| look_up(name, source))?;
            if link.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn refused(&self, source: kernel::Error) -> Error {
        Error::MakeLink {
            kind: self.wanted.kind.name(),
            source: source.into(),
        }
    }
}

//! The VRF.

use kernel::{IfName, Link, LinkKind, Netlink, NewKind, NewLink};

use crate::error::Error;

/// Tables that are the kernel's own (linux/rtnetlink.h: `default`, `main`, `local`).
const KERNELS_TABLES: std::ops::RangeInclusive<u32> = 253..=255;

/// A VRF in the pod.
#[derive(Debug)]
pub(crate) struct Device {
    pub link: Link,
    pub table: u32,
}

impl Device {
    /// The VRF of this name; `None` if there is no link of that name.
    ///
    /// # Errors
    /// The link is something else.
    pub(crate) fn find(pod: &Netlink, name: &str) -> Result<Option<Self>, Error> {
        // A name that the kernel does not know is no link's.
        let Ok(valid) = name.parse::<IfName>() else {
            return Ok(None);
        };
        match pod.link(&valid)? {
            None => Ok(None),
            Some(link) => match link.kind {
                LinkKind::Vrf { table } => Ok(Some(Self { link, table })),
                _ => Err(Error::NotAVrf(name.to_owned())),
            },
        }
    }

    /// Makes one, up, with the table or with one of its own.
    ///
    /// # Errors
    /// No name for a link; the kernel refuses.
    pub(crate) fn make(pod: &Netlink, name: &str, table: Option<u32>) -> Result<Self, Error> {
        let valid: IfName = name.parse().map_err(|source| Error::VrfName {
            name: name.to_owned(),
            source,
        })?;
        let table = match table {
            Some(table) => table,
            None => free_table(&pod.links()?),
        };
        let new = NewLink {
            up: true,
            ..NewLink::new(&valid, NewKind::Vrf { table })
        };
        let link = pod.add_link(&new).map_err(|source| Error::MakeVrf {
            name: name.to_owned(),
            source: source.into(),
        })?;
        Ok(Self { link, table })
    }

    /// Whether the link is in the VRF.
    pub(crate) fn has(&self, link: &Link) -> bool {
        link.master == Some(self.link.index)
    }
}

/// The lowest table from 1 on that no VRF has; routes that are in it already are not asked for, as in
/// the reference plugin.
fn free_table(links: &[Link]) -> u32 {
    let is_used = |table: &u32| {
        KERNELS_TABLES.contains(table)
            || links
                .iter()
                .any(|link| link.kind == LinkKind::Vrf { table: *table })
    };
    // There are more tables than links.
    (1..=u32::MAX)
        .find(|table| !is_used(table))
        .unwrap_or(u32::MAX)
}

//! Whether an attachment that is remembered is still there.

use ipnetwork::IpNetwork;
use kernel::{LinkIndex, NetNs, NetNsError, NetNsId, Netlink, if_there};

use super::{Record, sight::Instead};

/// What became of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its interface is in its namespace with one of its addresses.
    Living,
    /// Its namespace is gone.
    Gone,
    /// Its namespace is there, without its interface or addresses: another plugin's DEL was here, or somebody
    /// changes them.
    Detached,
    /// It lives, and its rules are another network namespace's.
    Elsewhere,
    /// The path does not lead to its namespace here, and it may well where ADD saw it.
    Unseen,
}

/// Looks at the attachment.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn of<W>(record: &Record<W>) -> crate::Result<Life> {
    use NetNsError::{Missing, NotANamespace, OtherKind};
    let instead = match NetNs::open(&record.netns) {
        // The kernel gives the numbers of namespaces that are gone to new ones.
        Ok(namespace) if namespace.id()? == record.namespace => {
            return Ok(match has_interface(&namespace, record)? {
                false => Life::Detached,
                true if NetNsId::current()? == record.host => Life::Living,
                true => Life::Elsewhere,
            });
        }
        Err(Missing { .. }) => Instead::Nothing,
        Ok(_) | Err(NotANamespace { .. } | OtherKind { .. }) => Instead::Another,
        Err(source) => {
            let path = record.netns.clone();
            return Err(crate::Error::OpenNetNs { path, source });
        }
    };
    let sight = record.sight.as_ref();
    Ok(
        match sight.is_some_and(|sight| sight.proves_gone(&record.netns, instead)) {
            true => Life::Gone,
            false => Life::Unseen,
        },
    )
}

fn has_interface<W>(namespace: &NetNs, record: &Record<W>) -> crate::Result<bool> {
    let Ok(name) = record.ifname.parse() else {
        return Ok(false);
    };
    let netlink = Netlink::open_in(namespace)?;
    let Some(link) = netlink.link(&name)? else {
        return Ok(false);
    };
    has_one_of(&netlink, link.index, &record.addresses)
}

/// Whether the link is there, with one of the addresses, if there are any.
fn has_one_of(netlink: &Netlink, link: LinkIndex, wanted: &[IpNetwork]) -> crate::Result<bool> {
    let Some(seen) = if_there(netlink.addresses(Some(link)))? else {
        return Ok(false);
    };
    let has = |wanted: &IpNetwork| seen.iter().any(|seen| seen.address.ip() == wanted.ip());
    Ok(wanted.is_empty() || wanted.iter().any(has))
}

#[cfg(test)]
mod tests {
    use kernel::testing::{World, link_that_went};

    use super::*;

    #[test]
    fn an_interface_that_went_is_not_there() {
        let Some(_world) = World::new() else { return };
        let netlink = Netlink::open().unwrap();
        let link = link_that_went(&netlink);
        assert!(!has_one_of(&netlink, link.index, &[]).unwrap());
    }
}

//! Whether an attachment that is remembered is still there.

use kernel::{NetNs, NetNsError, NetNsId, Netlink};

use super::Record;

/// What became of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its interface is in its namespace with one of its addresses.
    Living,
    /// Its namespace, its interface or its addresses are gone.
    Gone,
    /// It lives, and its rules are another network namespace's.
    Elsewhere,
}

/// Looks at the attachment.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn of<W>(record: &Record<W>) -> crate::Result<Life> {
    Ok(match is_there(record)? {
        false => Life::Gone,
        true if NetNsId::current()? == record.host => Life::Living,
        true => Life::Elsewhere,
    })
}

fn is_there<W>(record: &Record<W>) -> crate::Result<bool> {
    use NetNsError::{Missing, NotANamespace, OtherKind};
    let namespace = match NetNs::open(&record.netns) {
        Ok(namespace) => namespace,
        Err(Missing { .. } | NotANamespace { .. } | OtherKind { .. }) => return Ok(false),
        Err(source) => {
            let path = record.netns.clone();
            return Err(crate::Error::OpenNetNs { path, source });
        }
    };
    // The kernel gives the numbers of namespaces that are gone to new ones.
    Ok(namespace.id()? == record.namespace && has_interface(&namespace, record)?)
}

fn has_interface<W>(namespace: &NetNs, record: &Record<W>) -> crate::Result<bool> {
    let Ok(name) = record.ifname.parse() else {
        return Ok(false);
    };
    let netlink = Netlink::open_in(namespace)?;
    let Some(link) = netlink.link(&name)? else {
        return Ok(false);
    };
    let seen = netlink.addresses(Some(link.index))?;
    let has = |wanted: &ipnetwork::IpNetwork| {
        seen.iter()
            .any(|address| address.address.ip() == wanted.ip())
    };
    Ok(record.addresses.is_empty() || record.addresses.iter().any(has))
}

//! Chained plugins: they work on what the plugins before them in the list made.

use cni::{AddResult, Call};
use kernel::{Link, LinkKind, Netlink};

use crate::{Identity, check::Mismatch};

/// Where a chained plugin is called without a previous result: what would be right.
pub const REMEDY: &str =
    "it belongs into the plugins of a list (.conflist), behind one that makes the pod's interface";

/// The result of the plugins before this one, which must be there.
///
/// # Errors
/// There is none; it cannot be read.
pub fn previous(call: &Call<'_>) -> Result<AddResult, cni::Error> {
    let previous = call.prev_result()?;
    previous.ok_or_else(|| cni::Error::internal(Mismatch::NoPrevResult))
}

/// ADD of a chained plugin: does its work on the previous result and passes that on unchanged.
///
/// # Errors
/// As [`previous`]; those of the work.
pub fn pass_on(
    call: &Call<'_>,
    work: impl FnOnce(&AddResult) -> Result<(), cni::Error>,
) -> Result<AddResult, cni::Error> {
    let previous = previous(call)?;
    work(&previous)?;
    Ok(previous)
}

/// The host's end of the pod's pair: the other end of `end` that the previous result lists as a
/// link of the host. `None` where `end` is no veth, or its other end is somewhere else.
///
/// # Errors
/// The host's links cannot be read.
pub fn host_end(host: &Netlink, end: &Link, previous: &AddResult) -> crate::Result<Option<Link>> {
    let Some(index) = end.peer else {
        return Ok(None);
    };
    let is_listed = |link: &Link| {
        previous.interfaces.iter().any(|interface| {
            interface.name == link.name.as_str()
                && interface.sandbox.as_deref().unwrap_or_default().is_empty()
        })
    };
    let link = host.link_by_index(index)?;
    Ok(link.filter(|link| is_other_end(link, end) && is_listed(link)))
}

/// Whether the pod's link is known to be another attachment's: its alias says so, or that of its other end
/// on the host. A path that was recycled leads to another pod's, which the log tells.
///
/// # Errors
/// The host's links cannot be read.
pub fn is_anothers(host: &Netlink, link: &Link, identity: Identity<'_>) -> crate::Result<bool> {
    let end = match link.peer.filter(|_| link.peer_elsewhere) {
        Some(index) => host.link_by_index(index)?,
        None => None,
    };
    let end = end.filter(|end| is_other_end(end, link));
    let is_anothers =
        identity.is_anothers(link) || end.is_some_and(|end| identity.is_anothers(&end));
    if is_anothers {
        tracing::warn!(link = %link.name, "is another pod's by now, and stays as it is");
    }
    Ok(is_anothers)
}

/// Whether two links in different namespaces are the ends of one pair. Indexes are a namespace's
/// own: that both namespaces are the right ones must be known otherwise.
pub fn is_other_end(link: &Link, end: &Link) -> bool {
    let is_end = |one: &Link, other: &Link| {
        one.kind == LinkKind::Veth && one.peer_elsewhere && one.peer == Some(other.index)
    };
    is_end(link, end) && is_end(end, link)
}

#[cfg(test)]
mod tests {
    use cni::{SpecVersion, invocation::Env};

    use super::*;

    fn with_call<T>(stdin: &str, f: impl FnOnce(&Call<'_>) -> T) -> T {
        let env = Env::new();
        f(&Call {
            network: "net".parse().unwrap(),
            version: SpecVersion::V1_0_0,
            stdin: stdin.as_bytes(),
            env: &env,
            registry: &[],
        })
    }

    #[test]
    fn a_previous_result_is_demanded_before_the_work() {
        for stdin in ["{}", r#"{"prevResult": null}"#] {
            let error = with_call(stdin, |call| pass_on(call, |_| panic!("no work"))).unwrap_err();
            assert_eq!(
                (error.code, error.msg.as_str()),
                (999, "Required prevResult missing")
            );
        }
        let unreadable = r#"{"prevResult": {"ips": [{"address": "bad"}]}}"#;
        let error = with_call(unreadable, |call| pass_on(call, |_| Ok(()))).unwrap_err();
        assert!(
            error.msg.contains("invalid CIDR address: bad"),
            "{}",
            error.msg
        );
    }

    #[test]
    fn the_previous_result_is_passed_on_unchanged_unless_the_work_fails() {
        let stdin = r#"{"prevResult": {"interfaces": [{"name": "eth0", "sandbox": "/x"}],
            "ips": [{"address": "10.0.0.2/8", "gateway": "10.0.0.1", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.0.0.1"]}}}"#;
        let given = with_call(stdin, |call| call.prev_result().unwrap().unwrap());
        let mut seen = None;
        let passed = with_call(stdin, |call| {
            pass_on(call, |previous| {
                seen = Some(previous.clone());
                Ok(())
            })
        });
        assert_eq!((seen, passed.unwrap()), (Some(given.clone()), given));
        let failing = |_: &AddResult| Err(cni::Error::msg("no"));
        assert_eq!(
            with_call(stdin, |call| pass_on(call, failing))
                .unwrap_err()
                .msg,
            "no"
        );
    }
}

//! BIG TCP and tunnels: what the pod's link takes and the tunnel does not, the processor cuts into
//! single packets (measured on Linux 6.18: 0.4 Gbit/s where 25 went before).

use cni::{Error, code};
use serde_json::{Map, Value};

/// What every link takes (`GSO_LEGACY_MAX_SIZE` of linux/netdevice.h), in bytes.
const EVERYWHERE: i64 = 65_536;

/// A delegate with larger segments needs a pod network without a tunnel.
///
/// # Errors
/// Code 7: the node has a tunnel of flannel's backends. The links cannot be read.
pub(super) fn require_no_tunnel(netconf: &Map<String, Value>) -> Result<(), Error> {
    let Some(size) = wanted(netconf) else {
        return Ok(());
    };
    let links = kernel::Netlink::open()
        .and_then(|netlink| netlink.links())
        .map_err(Error::internal)?;
    let is_tunnel =
        |link: &&kernel::Link| link.up && cluster::is_backend_device(link.name.as_str());
    match links.iter().find(is_tunnel) {
        None => Ok(()),
        Some(tunnel) => Err(Error::new(
            code::INVALID_CONFIG,
            format!(
                "delegate.gsoMaxSize {size} needs a pod network without a tunnel, such as host-gw's: \
                 {} takes {EVERYWHERE} bytes at once; leave the key out",
                tunnel.name
            ),
        )),
    }
}

/// The delegate finds its key without regard to case.
fn wanted(netconf: &Map<String, Value>) -> Option<i64> {
    let mut values = netconf.iter();
    let (_, value) = values.find(|(key, _)| key.eq_ignore_ascii_case("gsoMaxSize"))?;
    value.as_i64().filter(|size| *size > EVERYWHERE)
}

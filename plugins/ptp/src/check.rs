//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::check::{Checking, Mismatch, have_gso_max_size, own_addresses};
use cni::{Attachment, Call, IpConfig};
use kernel::{Link, route::RouteFilter};

use crate::{config::Config, error::Error, host};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    let end = checking.pod_end()?;
    let host_end = checking.host_end(&end, None, config.mtu)?;
    let host_end = host_end.ok_or_else(|| Mismatch::NoPeer(end.name.to_string()))?;
    have_gso_max_size([&host_end, &end], config.gso_max_size)?;
    checking.addresses_and_routes(&end)?;
    let own = own_addresses(end.name.as_str(), &checking.added);
    let ips: Vec<IpConfig> = own.cloned().collect();
    checking.gateways(&host_end, &host::gateways(&ips)?)?;
    host_routes(&checking, &host_end, &ips)?;
    checking.masquerading(config.masquerading)?;
    checking.flowtable(config.uplinks.as_ref(), &host_end.name)
}

/// The host reaches each address of the pod.
fn host_routes(checking: &Checking<'_>, end: &Link, ips: &[IpConfig]) -> Result<(), cni::Error> {
    let seen = checking.host.routes(&RouteFilter::default());
    let seen = seen.map_err(Error::from)?;
    let wanted = host::routes(ips, end);
    // One that was there before is as good: ADD of the reference plugin leaves it.
    let lacking = wanted.iter().find(|wanted| {
        !seen
            .iter()
            .any(|there| there.dst == wanted.dst && there.table == wanted.table)
    });
    match lacking {
        Some(route) => Err(Mismatch::HostRoute {
            address: route.dst,
            interface: end.name.to_string(),
        }
        .into()),
        None => Ok(()),
    }
}

//! ADD: `lo` up, and its addresses.
use cni::{AddResult, Attachment, Call, Interface, IpConfig};
use kernel::NetNs;

use crate::{Lo, config, error::Error};

/// Sets `lo` up. A result of an earlier plugin is passed on; else the first address of each
/// family is reported.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    config::check(call)?;
    let earlier = call
        .prev_result()
        .map_err(|error| error.context("failed to parse prevResult"))?;
    let path = &attachment.netns;
    let report = set_up(path)?;
    Ok(earlier.unwrap_or(report))
}

fn set_up(path: &str) -> Result<AddResult, Error> {
    let ns = NetNs::open(path)?;
    let lo = Lo::find(&ns)?;
    lo.set_up()?;
    let ips = loopback_addresses(&lo)?;
    let interface = Interface {
        name: lo.link.name.to_string(),
        mac: lo.link.mac.map(|mac| mac.to_string()),
        sandbox: Some(path.to_owned()),
        ..Interface::default()
    };
    Ok(AddResult {
        interfaces: vec![interface],
        ips,
        ..AddResult::default()
    })
}

/// The first address of each family. The kernel gives `lo` its own when it comes up, where the
/// family is enabled; an address of another kind means that something else uses the interface.
fn loopback_addresses(lo: &Lo) -> Result<Vec<IpConfig>, Error> {
    let mut first: Vec<IpConfig> = Vec::new();
    for address in lo.netlink.addresses(Some(lo.link.index))? {
        let address = address.address;
        if !address.ip().is_loopback() {
            return Err(Error::ForeignAddress(address.ip()));
        }
        if !first
            .iter()
            .any(|other| other.address.is_ipv4() == address.is_ipv4())
        {
            first.push(IpConfig {
                address,
                gateway: None,
                interface: Some(0),
            });
        }
    }
    first.sort_by_key(|one| one.address.is_ipv6());
    Ok(first)
}

//! ADD: looks at everything, keeps what is there, then changes one thing after the other.

use std::collections::BTreeMap;

use attach::{apply::IPV6_MIN_MTU, chained, check::own_addresses, netns};
use cni::{AddResult, Attachment, Call};
use kernel::{Link, MacAddr, Netlink, Undo};

use crate::{
    allow_list,
    attributes::Attributes,
    config::Config,
    error::Error,
    kept::{HostEnd, Kept, KeptFile, Own},
    pod::{self, Pod},
    sysctl::{self, Setting},
};

/// Changes the pod's interface and sysctls. A failure leaves both as they were.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call, attachment.ifname.as_str())?;
    allow_list::check(&config.sysctls)?;
    let previous = chained::previous(call)?;
    keeps_ipv6(&config, &previous, attachment.ifname.as_str())?;
    let pod = Pod::new(netns::open(&attachment.netns)?, attachment.ifname.as_str())?;
    let before = Before::look(&config, &previous, &pod)?;
    let mut undo = Undo::new();
    keep(call, attachment, &config, &before, &pod, &mut undo)?;
    let (behind_mtu, others) = config.sysctls_by_mtu();
    set_sysctls(&others, &before, &pod, &mut undo)?;
    give_back_later(&behind_mtu, &before, &pod, &mut undo)?;
    set_attributes(&config, &before, &pod, &mut undo)?;
    for Setting { file, value, .. } in behind_mtu {
        sysctl::write(&pod.ns, file, value)?;
    }
    undo.commit();
    Ok(with_mac(previous, pod.name(), config.link.mac))
}

/// Refuses an MTU with which the kernel takes the interface's IPv6 addresses away.
fn keeps_ipv6(config: &Config, previous: &AddResult, ifname: &str) -> Result<(), Error> {
    let Some(mtu) = config.link.mtu.filter(|mtu| *mtu < IPV6_MIN_MTU) else {
        return Ok(());
    };
    let own = own_addresses(ifname, previous).map(|ip| ip.address);
    let addresses = own.filter(|address| address.is_ipv6());
    let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
    match addresses.is_empty() {
        true => Ok(()),
        false => Err(Error::MtuTooSmallForIpv6 {
            mtu,
            interface: ifname.to_owned(),
            addresses,
        }),
    }
}

/// What ADD finds of what it shall change.
struct Before {
    /// The pod's interface, if it shall be changed.
    link: Option<Link>,
    /// The other end of a pair whose MTU shall be changed.
    host_end: Option<(Netlink, Link)>,
    /// Sysctls with another value than they shall have; `None` where that cannot be read.
    sysctl: BTreeMap<String, Option<String>>,
}

impl Before {
    fn look(config: &Config, previous: &AddResult, pod: &Pod) -> Result<Self, Error> {
        let mut before = Self {
            link: None,
            host_end: None,
            sysctl: other_values(config, pod)?,
        };
        if config.link.is_empty() {
            return Ok(before);
        }
        let link = pod.link()?;
        let link = link.ok_or_else(|| Error::NoLink(pod.name().to_owned()))?;
        if config.link.mtu.is_some() {
            let host = Netlink::open()?;
            let end = chained::host_end(&host, &link, previous)?;
            before.host_end = end.map(|end| (host, end));
        }
        before.link = Some(link);
        Ok(before)
    }

    /// What DEL shall give back.
    fn kept(&self, wanted: &Attributes, network: &str, pod: &Pod) -> Result<Kept, Error> {
        let readable = |(file, value): (&String, &Option<String>)| {
            value.as_ref().map(|value| (file.clone(), value.clone()))
        };
        let host_end = self.host_end.as_ref().map(|(_, end)| HostEnd {
            name: end.name.to_string(),
            mtu: end.mtu,
        });
        let link = self.link.as_ref().map(|link| wanted.of(link));
        Ok(Kept {
            link: link.unwrap_or_default(),
            podwire: Some(Own {
                network: network.to_owned(),
                netns: pod.ns.cookie()?,
                host_end,
                sysctl: self.sysctl.iter().filter_map(readable).collect(),
            }),
        })
    }
}

/// A value that the MTU resets is another one as soon as that is set.
fn other_values(config: &Config, pod: &Pod) -> Result<BTreeMap<String, Option<String>>, Error> {
    let (behind_mtu, _) = config.sysctls_by_mtu();
    let mut others = BTreeMap::new();
    for setting in &config.sysctls {
        let Setting { file, value, .. } = setting;
        let seen = sysctl::read(&pod.ns, file)?;
        let is_there = seen
            .as_ref()
            .is_some_and(|seen| sysctl::is_same(file, seen, value));
        if !is_there || behind_mtu.contains(&setting) {
            others.insert(file.clone(), seen);
        }
    }
    Ok(others)
}

/// Writes down what is there, beside what an earlier ADD of this attachment found.
fn keep(
    call: &Call<'_>,
    attachment: &Attachment,
    config: &Config,
    before: &Before,
    pod: &Pod,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    if before.link.is_none() && before.sysctl.is_empty() {
        return Ok(());
    }
    let now = before.kept(&config.link, call.network.as_str(), pod)?;
    let file = KeptFile::of(&config.data_dir, attachment);
    let earlier = file.read()?;
    let kept = match &earlier {
        Some(first) if first.is_of(&pod.ns)? => first.clone().or(now),
        _ => now,
    };
    file.write(&kept)?;
    undo.push("keep what was there before", move || {
        match earlier {
            Some(earlier) => file.write(&earlier)?,
            None => file.remove()?,
        }
        Ok(())
    })?;
    Ok(())
}

fn set_sysctls<'a>(
    settings: &[&Setting],
    before: &Before,
    pod: &'a Pod,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    for Setting { file, value, .. } in settings {
        if before.sysctl.contains_key(file) {
            sysctl::write(&pod.ns, file, value)?;
            undo_sysctl(file, before, pod, undo)?;
        }
    }
    Ok(())
}

/// Undone behind the MTU, too.
fn give_back_later<'a>(
    settings: &[&Setting],
    before: &Before,
    pod: &'a Pod,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    for Setting { file, .. } in settings {
        undo_sysctl(file, before, pod, undo)?;
    }
    Ok(())
}

fn undo_sysctl<'a>(
    file: &str,
    before: &Before,
    pod: &'a Pod,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let seen = before.sysctl.get(file).cloned().flatten();
    let file = file.to_owned();
    undo.push("set sysctl", move || match seen {
        Some(seen) => Ok(sysctl::write(&pod.ns, &file, &seen)?),
        None => Ok(()),
    })?;
    Ok(())
}

fn set_attributes<'a>(
    config: &Config,
    before: &Before,
    pod: &'a Pod,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    if let Some(link) = &before.link {
        for one in config.link.each() {
            set(&pod.netlink, link, &one, undo)?;
        }
    }
    if let (Some((host, end)), Some(mtu)) = (&before.host_end, config.link.mtu) {
        set(host, end, &pod::host_end_mtu(end, mtu), undo)?;
    }
    Ok(())
}

fn set(
    netlink: &Netlink,
    link: &Link,
    wanted: &Attributes,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    wanted.set(netlink, link.index, link.name.as_str())?;
    let (netlink, index, name) = (netlink.clone(), link.index, link.name.clone());
    let seen = wanted.of(link);
    undo.push("set link attribute", move || {
        Ok(seen.set(&netlink, index, name.as_str())?)
    })?;
    Ok(())
}

/// The result with the pod's interface's new address: that of this name in a sandbox, or where the
/// result names no sandbox, of this name.
fn with_mac(mut result: AddResult, ifname: &str, mac: Option<MacAddr>) -> AddResult {
    let Some(mac) = mac else { return result };
    let mut named: Vec<_> = result
        .interfaces
        .iter_mut()
        .filter(|interface| interface.name == ifname)
        .collect();
    if named.iter().any(|interface| interface.sandbox.is_some()) {
        named.retain(|interface| interface.sandbox.is_some());
    }
    for interface in named {
        interface.mac = Some(mac.to_string());
    }
    result
}

#[cfg(test)]
mod tests {
    use cni::Interface;

    use super::*;

    #[test]
    fn the_host_has_no_interface_of_the_pods() {
        let interface = |name: &str, sandbox: Option<&str>| Interface {
            name: name.to_owned(),
            sandbox: sandbox.map(str::to_owned),
            ..Interface::default()
        };
        let macs = |interfaces: Vec<Interface>| -> Vec<bool> {
            let result = AddResult {
                interfaces,
                ..AddResult::default()
            };
            let mac = Some(MacAddr([2, 0, 0, 0, 0, 1]));
            let changed = with_mac(result, "eth0", mac).interfaces;
            changed.iter().map(|one| one.mac.is_some()).collect()
        };
        let host_has_one_too = vec![
            interface("eth0", None),
            interface("eth0", Some("/x")),
            interface("net1", Some("/x")),
        ];
        assert_eq!(macs(host_has_one_too), [false, true, false]);
        let no_sandbox = vec![interface("cni0", None), interface("eth0", None)];
        assert_eq!(macs(no_sandbox), [false, true]);
    }
}

//! Keys that interface plugins share. A plugin's configuration has them as fields, because the
//! reader of configurations matches keys without regard to case, field by field.

use std::ops::RangeInclusive;

use cni::{AddResult, Call, SpecVersion, code};
use kernel::{MacAddr, link::VETH_MTU};
use schemars::JsonSchema;
use serde::Deserialize;

/// `ipam`; the rest of it is the IPAM plugin's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IpamConf {
    /// Name of the IPAM plugin; without it the attachment gets no addresses.
    #[schemars(extend("examples" = ["host-local"]))]
    #[serde(rename = "type")]
    pub plugin_type: String,
}

impl IpamConf {
    /// Of a configuration that cannot be read as a whole, for what must be released nevertheless. One
    /// that cannot be read itself is none.
    pub fn by_itself(call: &Call<'_>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Conf {
            ipam: IpamConf,
        }
        let read: Result<Conf, _> = call.config();
        read.unwrap_or_default().ipam
    }

    /// Whether a server leases the addresses, and must be told over the link that it can have
    /// them back.
    pub fn is_leased(&self) -> bool {
        self.plugin_type == "dhcp"
    }

    /// Whether the IPAM plugin may speak over the pod's link: a server's leases are asked for there, and
    /// what a plugin from elsewhere does is not known.
    pub fn may_use_link(&self) -> bool {
        !matches!(self.plugin_type.as_str(), "" | "host-local" | "static")
    }

    /// Whether the attachment has no addresses.
    pub fn is_none(&self) -> bool {
        self.plugin_type.is_empty()
    }

    /// Whether the version can say what ADD will have made: before 0.3.0 results hold nothing but
    /// addresses.
    ///
    /// # Errors
    /// There will be none.
    pub fn is_told(&self, version: SpecVersion) -> Result<(), cni::Error> {
        if self.is_none() && version < SpecVersion::V0_3_0 {
            AddResult::default().to_value(version)?;
        }
        Ok(())
    }
}

/// `args`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Args {
    /// Hints in the form that the conventions of CNI give them.
    pub cni: MacConf,
}

/// `args.cni` and `runtimeConfig`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MacConf {
    /// Hardware address of the interface in the pod, in any textual form; without one it is
    /// random. `runtimeConfig` comes before `args`, and that before `MAC` of `CNI_ARGS`.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    pub mac: String,
}

/// The hardware address that is asked for: by `runtimeConfig`, else by `args.cni`, else by `MAC`
/// of `CNI_ARGS`. `None`: a random one.
///
/// # Errors
/// `CNI_ARGS` has other keys; not a hardware address of Ethernet.
pub fn requested_mac(
    call: &Call<'_>,
    runtime_config: &MacConf,
    args: &Args,
) -> Result<Option<MacAddr>, cni::Error> {
    let cni_args = call.cni_args(&["MAC"])?;
    let from_args = cni_args.get("MAC").unwrap_or_default();
    let mac = [&runtime_config.mac, &args.cni.mac, from_args]
        .into_iter()
        .find(|mac| !mac.is_empty())
        .unwrap_or_default();
    crate::mac::parse(mac).map_err(cni::Error::internal)
}

/// The hardware address that is asked for of a plugin with a key of its own for it: by
/// `runtimeConfig`, else by `MAC` of `CNI_ARGS`, else by the key. `None`: the kernel's choice.
///
/// # Errors
/// `CNI_ARGS` has other keys; not a hardware address of Ethernet.
pub fn configured_mac(
    call: &Call<'_>,
    runtime_config: &MacConf,
    configured: &str,
) -> Result<Option<MacAddr>, cni::Error> {
    let cni_args = call.cni_args(&["MAC"])?;
    let from_args = cni_args.get("MAC").unwrap_or_default();
    let mac = [&runtime_config.mac, from_args, configured]
        .into_iter()
        .find(|mac| !mac.is_empty());
    mac.map(|mac| {
        let invalid = |_| crate::Error::MacArgument(mac.to_owned()).into();
        mac.parse().map_err(invalid)
    })
    .transpose()
}

/// An MTU in bytes. Zero and less mean the kernel's default, as in the reference plugins.
///
/// # Errors
/// More than the kernel can be told.
pub fn mtu(mtu: i64) -> crate::Result<Option<u32>> {
    match mtu {
        ..=0 => Ok(None),
        _ => match u32::try_from(mtu) {
            Ok(mtu) => Ok(Some(mtu)),
            Err(_) => Err(crate::Error::Mtu(mtu)),
        },
    }
}

/// The same of a veth pair.
///
/// # Errors
/// Less or more than the kernel takes for one.
pub fn veth_mtu(bytes: i64) -> crate::Result<Option<u32>> {
    match mtu(bytes)? {
        Some(mtu) if !VETH_MTU.contains(&mtu) => Err(crate::Error::VethMtu(mtu)),
        mtu => Ok(mtu),
    }
}

/// What the kernel takes as the largest segment of a veth, in bytes: what it is without being told
/// (`GSO_LEGACY_MAX_SIZE` of linux/netdevice.h), up to what a socket buffer holds (`GSO_MAX_SIZE`).
pub const GSO_MAX_SIZES: RangeInclusive<i64> = 65_536..=524_280;

/// The largest TCP segment that a pair takes at once, in bytes. Zero means the kernel's default.
///
/// # Errors
/// Code 7: less than the default, or more than the kernel takes.
pub fn gso_max_size(bytes: i64) -> Result<Option<u32>, cni::Error> {
    if bytes == 0 {
        return Ok(None);
    }
    let size = u32::try_from(bytes).ok();
    match size.filter(|_| GSO_MAX_SIZES.contains(&bytes)) {
        Some(size) => Ok(Some(size)),
        None => Err(cni::Error::new(
            code::INVALID_CONFIG,
            format!(
                "invalid gsoMaxSize {bytes} (must be 0 or from {} to {} bytes)",
                GSO_MAX_SIZES.start(),
                GSO_MAX_SIZES.end()
            ),
        )),
    }
}

/// Whether iptables takes it as the name of a chain (XT_EXTENSION_MAXNAMELEN): 1 to 28 bytes that a script and a
/// listing can hold, not `-` or `!` at first.
pub fn is_chain_name(name: &str) -> bool {
    (1..=28).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"')
        && !name.starts_with(['-', '!'])
}

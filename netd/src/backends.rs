//! The backends that netd has, by the `Type` of the network config.

use backend::Backend;
use cluster::{
    BackendError, ExtensionOptions, IpipOptions, NetworkConfig, UdpOptions, WireguardOptions,
};
use kernel::{IfNameError, Netlink, NewKind};

use crate::extension::Extension;
use crate::options::Options;
use crate::wireguard_key::{self, KeyError};

/// What a backend is opened with.
struct Opening<'a> {
    config: &'a NetworkConfig,
    options: &'a Options,
    /// What the backend extension's command printed.
    printed: Option<String>,
}

/// A backend that netd has.
struct Entry {
    /// As the network config names it.
    name: &'static str,
    /// Whether its options are right, wherever it runs. Pure.
    check: fn(&NetworkConfig) -> Result<(), OpenError>,
    /// Opens it, with what it needs of this node.
    open: fn(Opening<'_>) -> Result<Box<dyn Backend>, OpenError>,
}

/// Every backend.
const BACKENDS: &[Entry] = &[
    Entry {
        name: "alloc",
        check: |_| Ok(()),
        open: |_| Ok(Box::new(backend::Alloc)),
    },
    Entry {
        name: "extension",
        check: |config| Ok(ExtensionOptions::parse(&config.backend).map(drop)?),
        open: |opening| Ok(Box::new(Extension::new(opening.printed))),
    },
    Entry {
        name: "host-gw",
        check: |_| Ok(()),
        open: |_| Ok(Box::new(host_gw_backend::HostGw)),
    },
    Entry {
        name: "ipip",
        check: |config| Ok(IpipOptions::parse(config).map(drop)?),
        open: |opening| {
            let options = IpipOptions::parse(opening.config)?;
            Ok(Box::new(ipip_backend::Ipip::new(options)?))
        },
    },
    Entry {
        name: "udp",
        check: |config| Ok(UdpOptions::parse(config).map(drop)?),
        open: |opening| {
            let options = UdpOptions::parse(opening.config)?;
            Ok(Box::new(udp_backend::Udp::new(options)?))
        },
    },
    Entry {
        name: "vxlan",
        check: |config| Ok(vxlan_backend::Vxlan::new(config).map(drop)?),
        open: |opening| {
            let backend = vxlan_backend::Vxlan::new(opening.config)?;
            let offload = opening.options.vxlan_checksum_offload;
            Ok(Box::new(backend.with_checksum_offload(offload)))
        },
    },
    Entry {
        name: "wireguard",
        check: |config| Ok(WireguardOptions::parse(config).map(drop)?),
        open: wireguard,
    },
];

/// Flannel's others are known by name, so that the error can say what is the matter.
const NOT_YET: &[&str] = &["ipsec", "tencent-vpc"];

/// Why a backend cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such backend.
    #[error("unknown backend type {0:?}: give {list}", list = listed())]
    Unknown(String),
    /// Flannel has it, netd does not yet.
    #[error("not supported yet: backend {0}; use {list}", list = listed())]
    NotYet(String),
    /// The options of vxlan are wrong.
    #[error("the backend vxlan cannot be set up")]
    Vxlan(#[from] vxlan_backend::OptionsError),
    /// The options of another are wrong, or it has no IPv6 and the cluster has.
    #[error("the backend cannot be set up")]
    Options(#[from] BackendError),
    /// The kernel has no WireGuard.
    #[error(
        "this kernel has no WireGuard links (module wireguard): load it with `modprobe wireguard`, \
         run a kernel that has it (Debian's linux-image-amd64; Linux 5.6 or newer with \
         CONFIG_WIREGUARD), or use the backend vxlan"
    )]
    NoWireguard,
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A device's name is none.
    #[error("a device's name is refused")]
    Name(#[from] IfNameError),
    /// The kernel does not answer.
    #[error("the kernel cannot be asked")]
    Kernel(#[from] kernel::Error),
}

/// `alloc, extension, host-gw, ipip, udp, vxlan or wireguard`
fn listed() -> String {
    let names: Vec<&str> = BACKENDS.iter().map(|entry| entry.name).collect();
    match names.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Whether the network config names a backend that netd has, with options that are right.
///
/// # Errors
/// There is none of that name, or its options are wrong.
pub fn check(config: &NetworkConfig) -> Result<(), OpenError> {
    (entry(config)?.check)(config)
}

/// The backend that the network config names, with what it needs of this node. `printed` is what the
/// backend extension's command printed.
///
/// # Errors
/// As [`check`], or the node lacks what it needs.
pub fn open(
    config: &NetworkConfig,
    options: &Options,
    printed: Option<String>,
) -> Result<Box<dyn Backend>, OpenError> {
    (entry(config)?.open)(Opening {
        config,
        options,
        printed,
    })
}

fn entry(config: &NetworkConfig) -> Result<&'static Entry, OpenError> {
    let kind = config.backend.kind.as_str();
    match BACKENDS.iter().find(|entry| entry.name == kind) {
        Some(entry) => Ok(entry),
        None if NOT_YET.contains(&kind) => Err(OpenError::NotYet(kind.to_owned())),
        None => Err(OpenError::Unknown(kind.to_owned())),
    }
}

/// Nothing is written before everything else is known to be right.
fn wireguard(opening: Opening<'_>) -> Result<Box<dyn Backend>, OpenError> {
    let Opening {
        config, options, ..
    } = opening;
    let mut wanted = WireguardOptions::parse(config)?;
    if let Some(path) = &options.wireguard_psk_file {
        wanted.psk = Some(wireguard_key::shared(path)?);
    }
    let netlink = Netlink::open()?;
    if !netlink.has_link_kind(&NewKind::Wireguard)? {
        return Err(OpenError::NoWireguard);
    }
    let key = wireguard_key::obtain(&options.wireguard_key_file, &netlink)?;
    let backend = wireguard_backend::Wireguard::new(config, wanted, key)?;
    Ok(Box::new(backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(backend: &str) -> String {
        let text = format!(r#"{{"Network":"10.5.0.0/16"{backend}}}"#);
        let config = NetworkConfig::parse(text.as_bytes()).expect("config");
        let checked = check(&config).expect_err("refused").to_string();
        match open(&config, &Options::blank(), None) {
            Ok(_) => panic!("{backend} was opened"),
            Err(error) => assert_eq!(error.to_string(), checked),
        }
        checked
    }

    #[test]
    fn a_backend_that_is_not_there_is_told_with_those_that_are() {
        let known = "alloc, extension, host-gw, ipip, udp, vxlan or wireguard";
        for (backend, message) in [
            (
                r#","Backend":{"Type":"IPSEC"}"#,
                format!("not supported yet: backend ipsec; use {known}"),
            ),
            (
                r#","Backend":{}"#,
                format!(r#"unknown backend type "": give {known}"#),
            ),
            (
                r#","Backend":{"Type":"wirguard"}"#,
                format!(r#"unknown backend type "wirguard": give {known}"#),
            ),
        ] {
            assert_eq!(refused(backend), message);
        }
    }
}

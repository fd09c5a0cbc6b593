//! The `Backend` object of the network configuration.

use std::fmt;

use serde_json::Value;

use crate::object::{JsonError, Object};

/// The largest VNI whose device name `flannel.<VNI>` fits the kernel's 15 bytes.
pub const MAX_VNI_V4: u32 = 9_999_999;
/// The largest VNI whose device name `flannel-v6.<VNI>` fits.
pub const MAX_VNI_V6: u32 = 9_999;
/// The largest VNI: 24 bits (RFC 7348).
const MAX_VNI: u32 = (1 << 24) - 1;
/// The smallest MTU of a tunnel device: what the kernel wants for IPv4, and RFC 8200 for IPv6.
const MIN_MTU: [u32; 2] = [68, 1280];
/// Bytes that VXLAN adds to a packet over IPv4 and over IPv6 (RFC 7348): outer IP 20 or 40, UDP 8, VXLAN 8,
/// inner Ethernet 14.
pub const VXLAN_OVERHEAD: [u32; 2] = [50, 70];

/// Which backend joins the nodes, and its options. Its `Debug` does not show those: a key may be
/// among them.
#[derive(Clone, PartialEq)]
pub struct Backend {
    /// `Type` in lower case; `udp` when the configuration has no `Backend`, empty when it has one
    /// without `Type` (no backend has that name).
    pub kind: String,
    /// The whole object; an empty one when absent.
    pub options: Value,
}

/// Options that a backend cannot run with.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Wrong JSON types.
    #[error("the backend options cannot be read")]
    Json(#[from] JsonError),
    /// A VNI that is none.
    #[error("VNI {0} is out of range: give 0 to 16777215")]
    Vni(i64),
    /// A VNI that makes a device's name longer than the kernel's 15 bytes.
    #[error("VNI {vni} is too long for the name of the device {device}N: give 0 to {max}")]
    VniName {
        /// What the configuration says.
        vni: u32,
        /// The device's name without the VNI.
        device: &'static str,
        /// The largest that fits.
        max: u32,
    },
    /// A port that is none.
    #[error("Port {0} is out of range: give 1 to 65535, or leave it out for the kernel's 8472")]
    Port(i64),
    /// IPv6 with a backend that cannot carry it.
    #[error(
        "the backend {0} carries IPv4 only, and EnableIPv6 is true: leave IPv6 out of the network \
         config (IPv4 needs a Network), or use the backend vxlan or host-gw"
    )]
    Ipv4Only(&'static str),
    /// An MTU no tunnel fits into.
    #[error("MTU {mtu} is out of range: give {min} to 65535, or leave it out")]
    Mtu {
        /// What the configuration says.
        mtu: i64,
        /// The smallest that is possible.
        min: u32,
    },
    /// A port that a WireGuard device cannot listen on.
    #[error("{key} {port} is out of range: give 1 to 65535, or leave it out")]
    ListenPort {
        /// The key.
        key: &'static str,
        /// Its value.
        port: i64,
    },
    /// Two devices on one port.
    #[error(
        "ListenPort and ListenPortV6 are both {0}: give each device its own, or a Mode with one device"
    )]
    OnePort(u16),
    /// An interval that is none.
    #[error("PersistentKeepaliveInterval {0} is out of range: give 0 to 65535 seconds")]
    Keepalive(i64),
    /// No such mode.
    #[error("Mode {0:?} is unknown: give separate, auto, ipv4 or ipv6")]
    Mode(String),
    /// A mode for addresses that the nodes do not publish.
    #[error("Mode {mode:?} needs {key}, which is off: no node would have an address for it")]
    ModeFamily {
        /// The mode.
        mode: String,
        /// The key that is off.
        key: &'static str,
    },
    /// A shared key that is none; it is not shown.
    #[error("PSK is not 32 bytes in base64: give what `wg genpsk` prints, or leave it out")]
    Psk,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Backend");
        text.field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Backend {
    /// Reads the `Backend` key; `None` is the absent key.
    ///
    /// # Errors
    /// It is neither an object nor `null`, or its `Type` is not a string.
    pub fn parse(value: Option<&Value>) -> Result<Self, JsonError> {
        let Some(value) = value else {
            return Ok(Self {
                kind: "udp".to_owned(),
                options: Value::Object(Default::default()),
            });
        };
        let object = match value {
            Value::Null => Object::default(),
            value => Object::try_from(value).map_err(|()| JsonError::Type {
                key: "Backend",
                wanted: "an object",
                found: match value {
                    Value::Array(_) => "an array".to_owned(),
                    value => value.to_string(),
                },
            })?,
        };
        let kind = object.str("Type")?.unwrap_or_default().to_lowercase();
        Ok(Self {
            kind,
            options: value.clone(),
        })
    }

    /// The options, keys in any case.
    pub fn object(&self) -> Object {
        Object::try_from(&self.options).unwrap_or_default()
    }
}

/// Options of the vxlan backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanOptions {
    /// VXLAN network identifier; 1 unless given.
    pub vni: u32,
    /// UDP port; 0 means the kernel's default, 8472.
    pub port: u16,
    /// MTU of the underlay in bytes; the external interface's when absent.
    pub mtu: Option<u32>,
    /// Group based policy extension.
    pub gbp: bool,
    /// The device learns from the packets it receives.
    pub learning: bool,
    /// Routes directly to nodes on the same link.
    pub direct_routing: bool,
}

impl VxlanOptions {
    /// Reads the options. `ipv6` says whether the cluster has IPv6 (alone or not), which needs a
    /// device with a longer name and a larger MTU.
    ///
    /// A port or an MTU of 0 means "not given", as in flannel. Other numbers that no device can
    /// have are refused; flannel takes a port modulo 65,536, and publishes a negative MTU.
    ///
    /// # Errors
    /// Wrong types, or a VNI, port or MTU out of range.
    pub fn parse(backend: &Backend, ipv6: bool) -> Result<Self, BackendError> {
        let object = backend.object();
        Ok(Self {
            vni: vni(object.integer("VNI")?.unwrap_or(1), ipv6)?,
            port: port(object.integer("Port")?.unwrap_or(0))?,
            mtu: underlay_mtu(&object, ipv6, VXLAN_OVERHEAD)?,
            gbp: object.bool("GBP")?.unwrap_or(false),
            learning: object.bool("Learning")?.unwrap_or(false),
            direct_routing: object.bool("DirectRouting")?.unwrap_or(false),
        })
    }
}

/// Options of the backend extension: commands, each empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionOptions {
    /// Before the lease is taken; what it prints is published.
    pub pre_startup: String,
    /// When the lease is there.
    pub post_startup: String,
    /// For each node that comes or publishes something else.
    pub subnet_add: String,
    /// For each node that goes.
    pub subnet_remove: String,
}

impl ExtensionOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// One is no string.
    pub fn parse(backend: &Backend) -> Result<Self, BackendError> {
        let object = backend.object();
        let text = |key| Ok::<_, BackendError>(object.str(key)?.unwrap_or_default().to_owned());
        Ok(Self {
            pre_startup: text("PreStartupCommand")?,
            post_startup: text("PostStartupCommand")?,
            subnet_add: text("SubnetAddCommand")?,
            subnet_remove: text("SubnetRemoveCommand")?,
        })
    }
}

fn vni(vni: i64, ipv6: bool) -> Result<u32, BackendError> {
    let valid = u32::try_from(vni)
        .ok()
        .filter(|vni| *vni <= MAX_VNI)
        .ok_or(BackendError::Vni(vni))?;
    let (device, max) = match ipv6 {
        true => ("flannel-v6.", MAX_VNI_V6),
        false => ("flannel.", MAX_VNI_V4),
    };
    match valid <= max {
        true => Ok(valid),
        false => Err(BackendError::VniName {
            vni: valid,
            device,
            max,
        }),
    }
}

fn port(port: i64) -> Result<u16, BackendError> {
    u16::try_from(port).map_err(|_| BackendError::Port(port))
}

/// `MTU`, of the underlay: 0 is not given. `overhead` is what the tunnel adds over IPv4 and over IPv6.
pub(crate) fn underlay_mtu(
    object: &Object,
    ipv6: bool,
    overhead: [u32; 2],
) -> Result<Option<u32>, BackendError> {
    let mtu = object.integer("MTU")?.unwrap_or(0);
    let family = usize::from(ipv6);
    let min = MIN_MTU[family] + overhead[family];
    match u32::try_from(mtu) {
        Ok(0) => Ok(None),
        Ok(fit) if (min..=65_535).contains(&fit) => Ok(Some(fit)),
        _ => Err(BackendError::Mtu { mtu, min }),
    }
}

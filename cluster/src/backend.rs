//! The `Backend` object of the network configuration.

use serde_json::Value;

use crate::object::{JsonError, Object};

/// The largest VNI whose device name `flannel.<VNI>` fits the kernel's 15 bytes.
pub const MAX_VNI_V4: u32 = 9_999_999;
/// The largest VNI whose device name `flannel-v6.<VNI>` fits.
pub const MAX_VNI_V6: u32 = 9_999;
/// The largest VNI: 24 bits (RFC 7348).
const MAX_VNI: u32 = (1 << 24) - 1;
/// The smallest MTU of an underlay: the kernel wants 68 bytes on the tunnel device, and the
/// encapsulation takes 50 more.
const MIN_MTU_V4: u32 = 68 + 50;
/// The same for IPv6, which needs 1280 bytes (RFC 8200) and has 20 more to carry.
const MIN_MTU_V6: u32 = 1280 + 70;

/// Which backend joins the nodes, and its options.
#[derive(Clone, Debug, PartialEq)]
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
    /// An MTU no tunnel fits into.
    #[error("MTU {mtu} is out of range: give {min} to 65535, or leave it out")]
    Mtu {
        /// What the configuration says.
        mtu: i64,
        /// The smallest that is possible.
        min: u32,
    },
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
                found: value.to_string(),
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
            mtu: mtu(object.integer("MTU")?.unwrap_or(0), ipv6)?,
            gbp: object.bool("GBP")?.unwrap_or(false),
            learning: object.bool("Learning")?.unwrap_or(false),
            direct_routing: object.bool("DirectRouting")?.unwrap_or(false),
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

fn mtu(mtu: i64, ipv6: bool) -> Result<Option<u32>, BackendError> {
    let min = if ipv6 { MIN_MTU_V6 } else { MIN_MTU_V4 };
    match u32::try_from(mtu) {
        Ok(0) => Ok(None),
        Ok(fit) if (min..=65_535).contains(&fit) => Ok(Some(fit)),
        _ => Err(BackendError::Mtu { mtu, min }),
    }
}

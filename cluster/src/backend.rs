//! The `Backend` object of the network configuration.

use serde_json::Value;

use crate::object::{JsonError, Object};

/// The largest VNI whose device name `flannel.<VNI>` fits the kernel's 15 bytes.
pub const MAX_VNI_V4: u32 = 9_999_999;
/// The largest VNI whose device name `flannel-v6.<VNI>` fits.
pub const MAX_VNI_DUAL: u32 = 9_999;

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
    /// A VNI beyond what a device name or the protocol can carry.
    #[error("VNI {vni} is out of range: from 0 to {max} (the device name holds it)")]
    Vni {
        /// What the configuration says.
        vni: i64,
        /// The largest that is possible.
        max: u32,
    },
    /// An MTU no tunnel fits into.
    #[error("MTU {0} is out of range: from 118 to 65535")]
    Mtu(i64),
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
    /// Reads the options. `dual` says whether the cluster has both families, which shortens the VNI.
    ///
    /// A port is taken modulo 65,536 and a negative one means the default, as in flannel. An MTU of
    /// 0 means unset; other numbers that no link has are refused (flannel would publish a negative
    /// MTU to the pods).
    ///
    /// # Errors
    /// Wrong types, or a VNI or MTU out of range.
    pub fn parse(backend: &Backend, dual: bool) -> Result<Self, BackendError> {
        let object = backend.object();
        let max = if dual { MAX_VNI_DUAL } else { MAX_VNI_V4 };
        let vni = object.integer("VNI")?.unwrap_or(1);
        let fitting = u32::try_from(vni).ok().filter(|vni| *vni <= max);
        Ok(Self {
            vni: fitting.ok_or(BackendError::Vni { vni, max })?,
            port: port(object.integer("Port")?.unwrap_or(0)),
            mtu: object.integer("MTU")?.map_or(Ok(None), mtu)?,
            gbp: object.bool("GBP")?.unwrap_or(false),
            learning: object.bool("Learning")?.unwrap_or(false),
            direct_routing: object.bool("DirectRouting")?.unwrap_or(false),
        })
    }
}

fn port(port: i64) -> u16 {
    if port <= 0 {
        return 0;
    }
    let [.., high, low] = port.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// The kernel wants at least 68 bytes on the tunnel device, the encapsulation takes 50 more.
fn mtu(mtu: i64) -> Result<Option<u32>, BackendError> {
    match u32::try_from(mtu) {
        Ok(0) => Ok(None),
        Ok(fit @ 118..=65_535) => Ok(Some(fit)),
        _ => Err(BackendError::Mtu(mtu)),
    }
}

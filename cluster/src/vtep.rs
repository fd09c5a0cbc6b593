//! What a node with the vxlan backend publishes about its tunnel end.

use std::fmt;

use crate::attrs::RawJson;
use crate::object::{JsonError, Object};

/// `BackendData` and `BackendV6Data` of the vxlan backend: `{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VtepData {
    /// The VXLAN network identifier; informational, and absent in leases of old daemons.
    pub vni: Option<u32>,
    /// The MAC address of the VXLAN device.
    pub mac: [u8; 6],
}

/// The device of the vxlan backend for IPv4 or IPv6: `flannel.<VNI>`, `flannel-v6.<VNI>`.
pub fn vxlan_device(vni: u32, ipv6: bool) -> String {
    format!("{}{vni}", DEVICE_PREFIXES[usize::from(ipv6)])
}

/// Whether a device is called as the vxlan backend calls its own.
pub fn is_vxlan_device(name: &str) -> bool {
    let vni = DEVICE_PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    vni.is_some_and(|vni| !vni.is_empty() && vni.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Of the IPv4 and of the IPv6 device.
const DEVICE_PREFIXES: [&str; 2] = ["flannel.", "flannel-v6."];

/// Backend data that is no VTEP's.
#[derive(Debug, thiserror::Error)]
pub enum VtepError {
    /// Not the right JSON.
    #[error("the vxlan backend data cannot be read")]
    Json(#[source] JsonError),
    /// `VtepMAC` is missing.
    #[error("the vxlan backend data has no VtepMAC")]
    NoMac,
    /// `VtepMAC` is not an address of six bytes.
    #[error("VtepMAC {0:?} is not a MAC address of six bytes")]
    Mac(String),
}

impl VtepData {
    /// Reads the data of a lease.
    ///
    /// # Errors
    /// It is not an object, or its MAC is missing or not one of six bytes.
    pub fn parse(data: &RawJson) -> Result<Self, VtepError> {
        let object =
            Object::parse("BackendData", data.as_str().as_bytes()).map_err(VtepError::Json)?;
        let vni = object.unsigned("VNI").map_err(VtepError::Json)?;
        let mac = object
            .str("VtepMAC")
            .map_err(VtepError::Json)?
            .ok_or(VtepError::NoMac)?;
        Ok(Self {
            vni: vni.and_then(|vni| u32::try_from(vni).ok()),
            mac: parse_mac(mac).ok_or_else(|| VtepError::Mac(mac.to_owned()))?,
        })
    }

    /// The text that a node publishes: no spaces, VNI first, lower case.
    pub fn to_json(&self) -> RawJson {
        RawJson::from_trusted(self.to_string())
    }
}

impl fmt::Display for VtepData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.mac;
        f.write_str("{")?;
        if let Some(vni) = self.vni {
            write!(f, "\"VNI\":{vni},")?;
        }
        write!(
            f,
            "\"VtepMAC\":\"{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}\"}}"
        )
    }
}

/// The spellings that peers use: `02:00:00:00:00:01`, `02-00-…`, `0200.0000.0001`, any case.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let separator = text.bytes().find(|b| !b.is_ascii_hexdigit())?;
    let width = match separator {
        b':' | b'-' => 2,
        b'.' => 4,
        _ => return None,
    };
    let groups: Vec<&str> = text.split(char::from(separator)).collect();
    let wellformed = |g: &&str| g.len() == width && g.bytes().all(|b| b.is_ascii_hexdigit());
    if groups.len() * width != 12 || !groups.iter().all(wellformed) {
        return None;
    }
    let number = u64::from_str_radix(&groups.concat(), 16).ok()?;
    let [_, _, mac @ ..] = number.to_be_bytes();
    Some(mac)
}

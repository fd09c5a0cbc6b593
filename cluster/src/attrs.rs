//! The value of a lease: who holds a subnet and how to reach that node.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::object::{JsonError, Object};
use crate::subnets::Subnets;

/// A lease: subnets and the attributes of the node that holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub subnets: Subnets,
    /// Who leases it.
    pub attrs: LeaseAttrs,
}

/// What a node publishes with its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseAttrs {
    /// The node's identity and the end of its tunnels; 0.0.0.0 when the node has no IPv4.
    pub public_ip: Ipv4Addr,
    /// The same for IPv6.
    pub public_ipv6: Option<Ipv6Addr>,
    /// `vxlan`, `host-gw`, …, byte for byte as published; empty for udp, alloc and reservations.
    pub backend_type: Cow<'static, str>,
    /// The backend's data for the IPv4 overlay (see `VtepData` for vxlan).
    pub backend_data: Option<RawJson>,
    /// The backend's data for the IPv6 overlay.
    pub backend_v6_data: Option<RawJson>,
}

/// A JSON value kept as compact text: a table of thousands of leases stays small this way.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Box<str>);

/// A lease value that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AttrsError {
    /// Not the right JSON.
    #[error("the lease cannot be read")]
    Json(#[from] JsonError),
    /// An address key holds something else.
    #[error("{key} must be an address, not {found}")]
    Address {
        /// `PublicIP` or `PublicIPv6`.
        key: &'static str,
        /// What stands there.
        found: String,
    },
}

impl LeaseAttrs {
    /// The attributes of a node, not yet of any backend.
    pub fn new(public_ip: Ipv4Addr, public_ipv6: Option<Ipv6Addr>) -> Self {
        Self {
            public_ip,
            public_ipv6,
            backend_type: Cow::Borrowed(""),
            backend_data: None,
            backend_v6_data: None,
        }
    }

    /// Reads a lease's value: keys in any case, unknown keys ignored. `PublicIP` may be absent
    /// (0.0.0.0) but not `null`; for the other keys `null` means absent.
    ///
    /// # Errors
    /// The value is not JSON or a key has a value of the wrong type.
    pub fn parse(value: &[u8]) -> Result<Self, AttrsError> {
        let object = Object::parse("a lease", value)?;
        Ok(Self {
            public_ip: public_ip(&object)?,
            public_ipv6: public_ipv6(&object)?,
            backend_type: interned(object.str("BackendType")?.unwrap_or_default()),
            backend_data: RawJson::of(object.get("BackendData")),
            backend_v6_data: RawJson::of(object.get("BackendV6Data")),
        })
    }

    /// Prints the value byte for byte as flannel does: compact, keys in its order, `PublicIPv6`
    /// always, the backend's keys only when set.
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"PublicIP\":\"{}\",\"PublicIPv6\":", self.public_ip);
        match self.public_ipv6 {
            Some(ip) => out.push_str(&format!("\"{ip}\"")),
            None => out.push_str("null"),
        }
        if !self.backend_type.is_empty() {
            let quoted = Value::from(self.backend_type.as_ref());
            out.push_str(&format!(",\"BackendType\":{quoted}"));
        }
        for (key, data) in [
            ("BackendData", &self.backend_data),
            ("BackendV6Data", &self.backend_v6_data),
        ] {
            if let Some(data) = data {
                out.push_str(&format!(",\"{key}\":{data}"));
            }
        }
        out.push('}');
        out
    }
}

impl RawJson {
    /// The value as compact text with its keys sorted, so that equal values are equal texts.
    pub fn new(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// Text that this crate printed itself.
    pub(crate) fn from_trusted(text: String) -> Self {
        Self(text.into())
    }

    fn of(value: Option<&Value>) -> Option<Self> {
        value.filter(|value| !value.is_null()).map(Self::new)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The backend types that fill whole clusters cost no allocation.
pub(crate) fn interned(kind: &str) -> Cow<'static, str> {
    for known in [
        "",
        "vxlan",
        "host-gw",
        "wireguard",
        "ipip",
        "ipsec",
        "extension",
    ] {
        if kind == known {
            return Cow::Borrowed(known);
        }
    }
    Cow::Owned(kind.to_owned())
}

fn public_ip(object: &Object) -> Result<Ipv4Addr, AttrsError> {
    let Some(value) = object.get("PublicIP") else {
        return Ok(Ipv4Addr::UNSPECIFIED);
    };
    match value.as_str().and_then(|text| text.parse().ok()) {
        Some(IpAddr::V4(ip)) => Ok(ip),
        Some(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Ok(ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
        _ => Err(AttrsError::Address {
            key: "PublicIP",
            found: value.to_string(),
        }),
    }
}

fn public_ipv6(object: &Object) -> Result<Option<Ipv6Addr>, AttrsError> {
    match object.get("PublicIPv6") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_str().and_then(|text| text.parse().ok()) {
            Some(IpAddr::V6(ip)) => Ok(Some(ip)),
            Some(IpAddr::V4(ip)) => Ok(Some(ip.to_ipv6_mapped())),
            None => Err(AttrsError::Address {
                key: "PublicIPv6",
                found: value.to_string(),
            }),
        },
    }
}

//! JSON read and printed as the reference plugins do it, whose users depend on it: keys match
//! without regard to case, the last of duplicates wins, `null` leaves the default, unknown keys
//! pass, wrong types fail.
//!
//! A configuration type derives `Deserialize` with `#[serde(default)]` on the struct:
//!
//! ```
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default)]
//! struct Config {
//!     mtu: u32,
//!     #[serde(rename = "isGateway")]
//!     is_gateway: bool,
//!     #[serde(with = "cni::json::ip")]
//!     gateway: Option<std::net::IpAddr>,
//! }
//! let config: Config =
//!     cni::json::from_slice(br#"{"MTU": 1400, "isgateway": true, "gateway": ""}"#).unwrap();
//! assert!(config.mtu == 1400 && config.is_gateway && config.gateway.is_none());
//! ```
//!
//! IP addresses and CIDRs: [`ip`] and [`cidr`] for `Option` fields, [`Ip`] and [`Cidr`] as
//! elements. `#[serde(flatten)]` is not supported: it hides the field names that keys are
//! matched with.

mod address;
mod node;
pub(crate) mod print;
mod reader;
mod surrogates;

use serde::de::DeserializeOwned;

pub use address::{Cidr, Ip, cidr, cidr_as_written, ip, parse_cidr, parse_ip};
pub(crate) use node::{Node, flag};

/// Reads one document.
///
/// # Errors
/// Invalid JSON, an empty input, anything after the document, and a value of the wrong type;
/// that text names the key, what was found and what is wanted.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    reader::read(&Node::parse(bytes)?)
}

/// The same from a value that was kept raw inside another document.
///
/// # Errors
/// A value of the wrong type.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, JsonError> {
    reader::read(&Node::from(value))
}

/// The same from a parsed document.
pub(crate) fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, JsonError> {
    reader::read(node)
}

/// Prints with 4-space indent, `<`, `>` and `&` escaped, in the value's own order of keys, no
/// newline at the end.
pub fn to_string_pretty(value: &serde_json::Value) -> String {
    print::pretty(&Node::from(value.clone()))
}

/// Prints without white space, keys sorted, escapes as in [`to_string_pretty`].
pub fn to_string_compact(value: &serde_json::Value) -> String {
    let mut node = Node::from(value.clone());
    node.sort_keys();
    print::compact(&node)
}

/// Why a document could not be read, as one line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);

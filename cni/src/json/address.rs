//! IP addresses and CIDRs as they stand in JSON.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnetwork::{IpNetwork, Ipv4Network};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::JsonError;

/// Reads an address in any textual form; an IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is
/// an IPv4 address.
///
/// # Errors
/// `invalid IP address: {text}`, also for the empty text.
pub fn parse_ip(text: &str) -> Result<IpAddr, JsonError> {
    text.parse::<IpAddr>()
        .map(|ip| ip.to_canonical())
        .map_err(|_| JsonError(format!("invalid IP address: {text}")))
}

/// Reads `address/prefix` and keeps the address's host bits; an IPv4 network written as IPv6 is
/// an IPv4 network.
///
/// # Errors
/// `invalid CIDR address: {text}`, also for the empty text and for an address without prefix.
pub fn parse_cidr(text: &str) -> Result<IpNetwork, JsonError> {
    cidr_of(text).ok_or_else(|| JsonError(format!("invalid CIDR address: {text}")))
}

fn cidr_of(text: &str) -> Option<IpNetwork> {
    let written = cidr_as_written(text)?;
    match (written.ip(), written.ip().to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(mapped)) => {
            let prefix = written.prefix().checked_sub(96)?;
            Ipv4Network::new(mapped, prefix).ok().map(IpNetwork::V4)
        }
        _ => Some(written),
    }
}

/// `address/prefix` with its host bits, or `None`. Unlike [`parse_cidr`] this leaves an IPv4
/// network written as IPv6 what it is, for who refuses one by a name of its own.
pub fn cidr_as_written(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/')?;
    if !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    IpNetwork::new(address.parse().ok()?, prefix.parse().ok()?).ok()
}

/// An address as an element of a list or a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ip(pub IpAddr);

/// `address/prefix` as an element of a list or a map; host bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(pub IpNetwork);

impl JsonSchema for Ip {
    fn schema_name() -> Cow<'static, str> {
        "Ip".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        IpAddr::json_schema(generator)
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "cidr"})
    }
}

impl Serialize for Ip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Ip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_ip(&String::deserialize(deserializer)?)
            .map(Ip)
            .map_err(de::Error::custom)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_cidr(&String::deserialize(deserializer)?)
            .map(Cidr)
            .map_err(de::Error::custom)
    }
}

/// `#[serde(with = "cni::json::ip")]` on an `Option<IpAddr>`: the empty string is `None`.
pub mod ip {
    use super::*;

    /// Prints the address, or `null`.
    pub fn serialize<S: Serializer>(ip: &Option<IpAddr>, to: S) -> Result<S::Ok, S::Error> {
        ip.map(Ip).serialize(to)
    }

    /// Fails with `invalid IP address: {text}`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
        match Option::<String>::deserialize(from)?.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => parse_ip(text).map(Some).map_err(de::Error::custom),
        }
    }
}

/// `#[serde(with = "cni::json::cidr")]` on an `Option<IpNetwork>`: the empty string is `None`.
pub mod cidr {
    use super::*;

    /// Prints `address/prefix`, or `null`.
    pub fn serialize<S: Serializer>(cidr: &Option<IpNetwork>, to: S) -> Result<S::Ok, S::Error> {
        cidr.map(Cidr).serialize(to)
    }

    /// Fails with `invalid CIDR address: {text}`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpNetwork>, D::Error> {
        match Option::<String>::deserialize(from)?.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => parse_cidr(text).map(Some).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::from_slice;

    #[test]
    fn addresses_read_in_any_form_and_print_in_one() {
        for (text, printed) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("::", "::"),
        ] {
            assert_eq!(parse_ip(text).unwrap().to_string(), printed);
        }
        for text in [
            "",
            "10.0.0",
            "10.0.0.01",
            "10.0.0.1/24",
            "fe80::1%eth0",
            "x",
        ] {
            assert_eq!(
                parse_ip(text).unwrap_err().0,
                format!("invalid IP address: {text}")
            );
        }
    }

    #[test]
    fn cidrs_keep_host_bits() {
        for (text, printed) in [
            ("10.1.2.3/24", "10.1.2.3/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.3/032", "10.1.2.3/32"),
            ("::ffff:10.22.0.0/120", "10.22.0.0/24"),
            ("2001:db8::5/64", "2001:db8::5/64"),
        ] {
            assert_eq!(parse_cidr(text).unwrap().to_string(), printed);
        }
        for text in [
            "",
            "10.0.0.1",
            "10.22.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "/8",
            "::/129",
            "::ffff:10.0.0.0/64",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "<nil>",
            "10.0.0.0/256",
        ] {
            assert_eq!(
                parse_cidr(text).unwrap_err().0,
                format!("invalid CIDR address: {text}")
            );
        }
    }

    #[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
    #[serde(default)]
    struct Fields {
        #[serde(with = "ip")]
        gateway: Option<IpAddr>,
        #[serde(with = "cidr")]
        subnet: Option<IpNetwork>,
        list: Vec<Cidr>,
    }

    #[test]
    fn fields_are_unset_by_empty_text_null_and_absence() {
        for text in [
            r#"{}"#,
            r#"{"gateway":"","subnet":""}"#,
            r#"{"gateway":null,"subnet":null}"#,
        ] {
            assert_eq!(
                from_slice::<Fields>(text.as_bytes()).unwrap(),
                Fields::default()
            );
        }
        let text = r#"{"gateway":"10.0.0.1","subnet":"10.0.0.2/8","list":["::1/128"]}"#;
        let fields: Fields = from_slice(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&fields).unwrap(), text);
    }

    #[test]
    fn bad_fields_fail_with_the_text_alone() {
        for (text, message) in [
            (r#"{"gateway":"x"}"#, "invalid IP address: x"),
            (
                r#"{"subnet":"10.22.0.0/33"}"#,
                "invalid CIDR address: 10.22.0.0/33",
            ),
            (r#"{"list":[""]}"#, "invalid CIDR address: "),
        ] {
            assert_eq!(
                from_slice::<Fields>(text.as_bytes()).unwrap_err().0,
                message
            );
        }
    }
}

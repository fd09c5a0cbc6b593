//! Result documents of every version into the shape in memory.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

use super::{AddResult, Dns, Interface, IpConfig, Route, Shape};
use crate::json::{JsonError, Node, cidr, from_node, ip, print::go_quote};
use crate::{Error, SpecVersion};

impl AddResult {
    /// Reads a result document; its `cniVersion` (default: `version`) must be of `version`'s
    /// family, as for `prevResult` in a configuration of `version`.
    ///
    /// # Errors
    /// Code 999: another family, a wrong type, a bad address.
    pub fn parse(value: &Value, version: SpecVersion) -> Result<Self, Error> {
        Self::parse_node(&Node::from(value.clone()), version)
    }

    pub(crate) fn parse_node(node: &Node, version: SpecVersion) -> Result<Self, Error> {
        let shape = Shape::of(version);
        match stated_version(node)? {
            None => read(node, shape),
            Some(stated) => match stated.parse().map(Shape::of) {
                Ok(of) if of == shape => read(node, shape),
                _ => Err(Error::msg(format!(
                    "result type supports {} but unmarshalled CNIVersion is {}",
                    shape.versions(),
                    go_quote(&stated)
                ))),
            },
        }
    }

    /// Reads a result document of any version, as a caller reads what a plugin printed.
    /// `version` is that of documents that do not say theirs.
    pub(crate) fn parse_any(node: &Node, version: SpecVersion) -> Result<Self, Error> {
        let version = match stated_version(node)? {
            None => version,
            Some(stated) => stated.parse().map_err(|_| {
                Error::msg(format!(
                    "unsupported CNI result version {}",
                    go_quote(&stated)
                ))
            })?,
        };
        read(node, Shape::of(version))
    }
}

/// `cniVersion`, if there is one and it is not empty.
fn stated_version(node: &Node) -> Result<Option<String>, JsonError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Stated {
        #[serde(rename = "cniVersion")]
        version: String,
    }
    let stated: Stated = from_node(node)?;
    Ok(Some(stated.version).filter(|version| !version.is_empty()))
}

fn read(node: &Node, shape: Shape) -> Result<AddResult, Error> {
    let result = match shape {
        Shape::Legacy => from_node::<LegacyDocument>(node)?.into_result()?,
        Shape::Listed => without_new_keys(from_node::<Document>(node)?.into_result()?),
        Shape::Current => from_node::<Document>(node)?.into_result()?,
    };
    Ok(result)
}

/// Interface keys that the specification had not yet in 0.4.0.
fn without_new_keys(mut result: AddResult) -> AddResult {
    for interface in &mut result.interfaces {
        interface.mtu = None;
        interface.socket_path = None;
        interface.pci_id = None;
    }
    result
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Document {
    interfaces: Vec<InterfaceEntry>,
    ips: Vec<IpEntry>,
    routes: Vec<Route>,
    dns: Dns,
}

impl Document {
    fn into_result(self) -> Result<AddResult, JsonError> {
        let ips = self
            .ips
            .into_iter()
            .enumerate()
            .map(|(index, entry)| entry.into_config(index));
        Ok(AddResult {
            interfaces: self.interfaces.into_iter().map(Interface::from).collect(),
            ips: ips.collect::<Result<_, _>>()?,
            routes: self.routes,
            dns: self.dns,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct InterfaceEntry {
    name: String,
    mac: String,
    mtu: u32,
    sandbox: String,
    socket_path: String,
    #[serde(rename = "pciID")]
    pci_id: String,
}

impl From<InterfaceEntry> for Interface {
    fn from(entry: InterfaceEntry) -> Self {
        let set = |text: String| Some(text).filter(|text| !text.is_empty());
        Interface {
            name: entry.name,
            mac: set(entry.mac),
            mtu: Some(entry.mtu).filter(|mtu| *mtu != 0),
            sandbox: set(entry.sandbox),
            socket_path: set(entry.socket_path),
            pci_id: set(entry.pci_id),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct IpEntry {
    #[serde(with = "cidr")]
    address: Option<IpNetwork>,
    #[serde(with = "ip")]
    gateway: Option<IpAddr>,
    interface: Option<usize>,
}

impl IpEntry {
    fn into_config(self, index: usize) -> Result<IpConfig, JsonError> {
        let address = self
            .address
            .ok_or_else(|| missing(&format!("ips[{index}].address")))?;
        Ok(IpConfig {
            address,
            gateway: self.gateway,
            interface: self.interface,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LegacyDocument {
    ip4: Option<LegacyIp>,
    ip6: Option<LegacyIp>,
    dns: Dns,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LegacyIp {
    #[serde(with = "cidr")]
    ip: Option<IpNetwork>,
    #[serde(with = "ip")]
    gateway: Option<IpAddr>,
    routes: Vec<Route>,
}

impl LegacyDocument {
    /// `ip4` before `ip6`.
    fn into_result(self) -> Result<AddResult, JsonError> {
        let mut result = AddResult {
            dns: self.dns,
            ..AddResult::default()
        };
        for (key, block) in [("ip4.ip", self.ip4), ("ip6.ip", self.ip6)] {
            let Some(block) = block else { continue };
            let address = block.ip.ok_or_else(|| missing(key))?;
            result.ips.push(IpConfig {
                address,
                gateway: block.gateway,
                interface: None,
            });
            let routes = block
                .routes
                .into_iter()
                .map(|route| Route::new(route.dst, route.gw));
            result.routes.extend(routes);
        }
        Ok(result)
    }
}

fn missing(key: &str) -> JsonError {
    JsonError(format!("json: key \"{key}\" is missing"))
}

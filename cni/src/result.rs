//! What ADD returns. In memory always the newest shape; versions matter only when it is
//! printed or parsed (cni-compat 1.11).
use std::net::IpAddr;
use ipnetwork::IpNetwork;
use serde_json::Value;
use crate::{Error, SpecVersion};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface { pub name: String, pub mac: Option<String>, pub mtu: Option<u32>, pub sandbox: Option<String>, pub socket_path: Option<String>, pub pci_id: Option<String> }
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpConfig { pub address: IpNetwork, pub gateway: Option<IpAddr>, pub interface: Option<usize> }
/// Also read from configuration (`ipam.routes`), so it implements Deserialize and Serialize.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route { pub dst: IpNetwork, pub gw: Option<IpAddr>, pub mtu: Option<u32>, pub advmss: Option<u32>, pub priority: Option<u32>, pub table: Option<u32>, pub scope: Option<u8> }
/// Also read from configuration (`dns`), so it implements Deserialize and Serialize.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns { pub nameservers: Vec<String>, pub domain: String, pub search: Vec<String>, pub options: Vec<String> }
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddResult { pub interfaces: Vec<Interface>, pub ips: Vec<IpConfig>, pub routes: Vec<Route>, pub dns: Dns }

impl AddResult {
    /// Reads a result document; its `cniVersion` (default: `version`) must be of `version`'s family.
    pub fn parse(_value: &Value, _version: SpecVersion) -> Result<Self, Error> { todo!() }
    /// Prints exactly as the reference prints for `version` (key order, indent, no trailing newline).
    pub fn print(&self, _version: SpecVersion) -> Result<String, Error> { todo!() }
    pub fn to_value(&self, _version: SpecVersion) -> Result<Value, Error> { todo!() }
}
impl Dns { pub fn is_empty(&self) -> bool { *self == Self::default() } }

//! Names checked once at the boundary (cni-compat 1.1).
// newtypes over String: FromStr<Err = cni::Error>, as_str(), Display, AsRef<str>, Deserialize, Serialize, Clone, Eq, Ord, Hash

/// `CNI_CONTAINERID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);
/// `CNI_IFNAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(String);
/// `name` in the network configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName(String);
impl ContainerId { pub fn as_str(&self) -> &str { &self.0 } }
impl IfName { pub fn as_str(&self) -> &str { &self.0 } }
impl NetworkName { pub fn as_str(&self) -> &str { &self.0 } }

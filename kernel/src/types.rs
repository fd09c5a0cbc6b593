//! Checked once at the boundary, then carried as types. All: FromStr, Display, serde through it.

/// A link's name: 1 to 15 bytes, no `/`, no white space, not `.` or `..` (kernel: dev_valid_name).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(String);
impl IfName { pub fn as_str(&self) -> &str { &self.0 } }
/// A link's index, unique within its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(pub u32);
/// An EUI-48 address. Parses every textual form Go's net.ParseMAC takes for 6 bytes; prints lower case with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);
impl MacAddr { /// Random, unicast, locally administered.
    pub fn random() -> Self { todo!() } }

//! Names, indexes and addresses of links: checked once at the boundary, then carried as types.
//!
//! Each parses from text, prints as text, and serialises accordingly. Pure: no capabilities needed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest link name in bytes: the kernel's `IFNAMSIZ` less the closing zero.
const IF_NAME_MAX: usize = 15;

/// Why a text is not a link name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IfNameError {
    /// No characters at all.
    #[error("interface name is empty")]
    Empty,
    /// More than 15 bytes.
    #[error("interface name {name:?} has {length} bytes, more than 15")]
    TooLong {
        /// The refused name.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// `.` or `..`, which would escape from `/sys/class/net` and `/proc/sys/net`.
    #[error("interface name is {name:?}, which is a directory")]
    Dots {
        /// The refused name.
        name: String,
    },
    /// A byte that the kernel refuses, or reads as the place of a number (`%d`).
    #[error(
        "interface name {name:?} contains {character:?}; '/', ':', '%' and white space are refused"
    )]
    Character {
        /// The refused name.
        name: String,
        /// The first refused character.
        character: char,
    },
}

/// A link's name: 1 to 15 bytes, no `/`, `:` or white space, not `.` or `..`: the kernel's own
/// rule (`dev_valid_name`). Nor `%`, which no link's name has: for `%d` the kernel puts the first number
/// that is free (`dev_alloc_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

impl IfName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the kernel's `isspace` and `dev_valid_name` refuse, what it fills in, and the byte that ends a C string.
/// The kernel looks at bytes and counts 0xa0 as a space, so `à` (c3 a0) is refused as well.
fn is_refused(character: char) -> bool {
    let mut bytes = [0; 4];
    character
        .encode_utf8(&mut bytes)
        .bytes()
        .any(|byte| matches!(byte, b'/' | b':' | b'%' | b' ' | b'\t'..=b'\r' | 0 | 0xa0))
}

impl FromStr for IfName {
    type Err = IfNameError;

    fn from_str(text: &str) -> Result<Self, IfNameError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for IfName {
    type Error = IfNameError;

    fn try_from(name: String) -> Result<Self, IfNameError> {
        if name.is_empty() {
            return Err(IfNameError::Empty);
        }
        let length = name.len();
        if length > IF_NAME_MAX {
            return Err(IfNameError::TooLong { name, length });
        }
        if name == "." || name == ".." {
            return Err(IfNameError::Dots { name });
        }
        match name.chars().find(|character| is_refused(*character)) {
            Some(character) => Err(IfNameError::Character { name, character }),
            None => Ok(Self(name)),
        }
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl AsRef<str> for IfName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is not a link index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a link index: a number from 1 to 2147483647")]
pub struct LinkIndexError {
    text: String,
}

/// A link's index, unique within its namespace, from 1 upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkIndex(pub u32);

impl FromStr for LinkIndex {
    type Err = LinkIndexError;

    fn from_str(text: &str) -> Result<Self, LinkIndexError> {
        let refused = || LinkIndexError {
            text: text.to_owned(),
        };
        let index: u32 = text.parse().map_err(|_| refused())?;
        // The kernel's index is a signed int.
        if index == 0 || index > i32::MAX as u32 || text.starts_with('+') {
            return Err(refused());
        }
        Ok(Self(index))
    }
}

impl fmt::Display for LinkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not the hardware address of an Ethernet link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacAddrError {
    /// Not a hardware address in any form.
    #[error("address {text}: invalid MAC address")]
    Syntax {
        /// The refused text.
        text: String,
    },
    /// A hardware address of another kind: EUI-64 (8 bytes) or IP over InfiniBand (20 bytes).
    #[error("address {text}: has {bytes} bytes, an Ethernet link has 6")]
    Length {
        /// The refused text.
        text: String,
        /// How many bytes it stands for.
        bytes: usize,
    },
}

/// An EUI-48 address.
///
/// Parses the textual forms of the reference plugins (those of Go's `net.ParseMAC`):
/// `00:00:5e:00:53:01`, `00-00-5e-00-53-01`, `0000.5e00.5301`, either case. Prints lower case with
/// colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Random, unicast, locally administered, as the kernel's `eth_random_addr` makes them.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn random() -> crate::Result<Self> {
        let mut bytes = crate::random::bytes()?;
        bytes[0] = bytes[0] & 0xfe | 0x02;
        Ok(Self(bytes))
    }

    /// Whether an interface may have it: neither zero nor of a group (nor broadcast, which is one).
    pub fn is_hosts(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 0 && self.0 != [0; 6]
    }
}

/// The bytes of `text`: groups of `digits` hexadecimal digits between `separator`s.
fn hex_groups(text: &str, separator: char, digits: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.split(separator) {
        if group.len() != digits || !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for pair in (0..digits).step_by(2) {
            bytes.push(u8::from_str_radix(&group[pair..pair + 2], 16).ok()?);
        }
    }
    Some(bytes)
}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let bytes = [(':', 2), ('-', 2), ('.', 4)]
            .into_iter()
            .find_map(|(separator, digits)| hex_groups(text, separator, digits))
            .ok_or_else(|| MacAddrError::Syntax {
                text: text.to_owned(),
            })?;
        let length = bytes.len();
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) if matches!(length, 8 | 20) => Err(MacAddrError::Length {
                text: text.to_owned(),
                bytes: length,
            }),
            Err(_) => Err(MacAddrError::Syntax {
                text: text.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacAddrError;

    fn try_from(text: String) -> Result<Self, MacAddrError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_that_the_kernel_takes() {
        for name in [
            "a",
            "eth0",
            "eth0.100",
            "flannel-v6.1",
            "veth0123abcd",
            "...",
            "123456789012345",
            "ä",
        ] {
            assert_eq!(name.parse::<IfName>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn link_names_that_are_refused() {
        let long = "1234567890123456";
        let table = [
            ("", "interface name is empty"),
            (
                long,
                "interface name \"1234567890123456\" has 16 bytes, more than 15",
            ),
            (
                "ääääääää",
                "interface name \"ääääääää\" has 16 bytes, more than 15",
            ),
            (".", "interface name is \".\", which is a directory"),
            ("..", "interface name is \"..\", which is a directory"),
        ];
        for (name, text) in table {
            assert_eq!(name.parse::<IfName>().unwrap_err().to_string(), text);
        }
        for name in [
            "a/b", "a:1", "a%d", "a%", "a b", "a\tb", "a\u{b}", "a\n", "a\0b", "\u{a0}", "à",
        ] {
            let error = name.parse::<IfName>().unwrap_err();
            assert!(
                matches!(error, IfNameError::Character { .. }),
                "{name:?}: {error}"
            );
        }
    }

    #[test]
    fn link_indexes() {
        assert_eq!("7".parse::<LinkIndex>(), Ok(LinkIndex(7)));
        assert_eq!(
            "2147483647".parse::<LinkIndex>(),
            Ok(LinkIndex(i32::MAX as u32))
        );
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "2147483648",
            "4294967296",
            "eth0",
            " 1",
        ] {
            assert!(text.parse::<LinkIndex>().is_err(), "{text:?}");
        }
        assert_eq!(serde_json::to_string(&LinkIndex(3)).unwrap(), "3");
    }

    #[test]
    fn hardware_addresses() {
        let mac = MacAddr([0, 0, 0x5e, 0, 0x53, 0xaf]);
        for text in ["00:00:5e:00:53:af", "00-00-5E-00-53-AF", "0000.5e00.53aF"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "00:00:5e:00:53:af");
        assert_eq!(
            serde_json::to_string(&mac).unwrap(),
            "\"00:00:5e:00:53:af\""
        );
        assert_eq!(
            serde_json::from_str::<MacAddr>("\"0000.5e00.53af\"").unwrap(),
            mac
        );
    }

    #[test]
    fn hardware_addresses_that_are_refused() {
        for text in [
            "",
            "0",
            "00:00:5e:00:53",
            "00:00:5e:00:53:zz",
            "0:0:5e:0:53:1",
            "00005e005301",
            "00:00:5e-00:53:01",
            "00:00:5e:00:53:01:",
            " 00:00:5e:00:53:01",
            "+0:00:5e:00:53:01",
            "0000.5e00",
            "é0:00:5e:00:53:01",
        ] {
            let error = text.parse::<MacAddr>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("address {text}: invalid MAC address")
            );
        }
        for (text, bytes) in [("02:00:5e:10:00:00:00:01", 8), ("0200.5e10.0000.0001", 8)] {
            let error = text.parse::<MacAddr>().unwrap_err();
            assert_eq!(
                error,
                MacAddrError::Length {
                    text: text.to_owned(),
                    bytes
                }
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn hardware_addresses_read_back(bytes: [u8; 6]) {
            let mac = MacAddr(bytes);
            assert_eq!(mac.to_string().parse(), Ok(mac));
        }

        #[test]
        fn any_text_is_a_good_name_or_refused(text in ".{0,17}") {
            if let Ok(name) = text.parse::<IfName>() {
                assert_eq!(name.as_str(), text);
                assert!((1..=15).contains(&text.len()) && !text.contains(['/', ':', ' ', '\0']));
            }
            let _ = text.parse::<MacAddr>();
        }
    }

    #[test]
    fn random_addresses_are_unicast_and_local() {
        let macs: Vec<MacAddr> = (0..64).map(|_| MacAddr::random().unwrap()).collect();
        assert!(macs.iter().all(|mac| mac.0[0] & 0b11 == 0b10), "{macs:?}");
        assert!(macs.iter().any(|mac| *mac != macs[0]));
    }
}

//! Names checked once at the boundary: container ID, interface name, network name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, code};

/// Declares a newtype over `String` whose only way in is its check.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|e: Error| serde::de::Error::custom(e))
            }
        }
    };
}

name! {
    /// `CNI_CONTAINERID`: letters, digits, `_`, `.`, `-`, the first a letter or digit (CNI
    /// specification 1.1.0, section "Parameters"). Any length.
    ContainerId, check_container_id
}
name! {
    /// `CNI_IFNAME`: what the kernel takes as an interface name: 1 to 15 bytes, not `.` or `..`,
    /// without `/`, `:` and white space.
    IfName, check_ifname
}
name! {
    /// `name` of the network configuration: the same characters as a container ID.
    NetworkName, check_network_name
}

/// `^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn check_container_id(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::new(code::UNKNOWN_CONTAINER, "missing containerID"));
    }
    if !is_plain(text) {
        let msg = "invalid characters in containerID";
        return Err(Error::new(code::INVALID_ENVIRONMENT, msg).with_details(text));
    }
    Ok(())
}

fn check_network_name(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::new(code::INVALID_CONFIG, "missing network name"));
    }
    if !is_plain(text) {
        let msg = "invalid characters found in network name";
        return Err(Error::new(code::INVALID_CONFIG, msg).with_details(text));
    }
    Ok(())
}

fn check_ifname(text: &str) -> Result<(), Error> {
    let invalid = |msg: &str| Err(Error::new(code::INVALID_ENVIRONMENT, msg));
    if text.is_empty() {
        return invalid("interface name is empty");
    }
    if text.len() > 15 {
        return invalid("interface name is too long")
            .map_err(|e| e.with_details("interface name should be less than 16 characters"));
    }
    if matches!(text, "." | "..") {
        return invalid("interface name is . or ..");
    }
    if text
        .chars()
        .any(|c| matches!(c, '/' | ':') || c.is_whitespace())
    {
        return invalid("interface name contains / or : or whitespace characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: FromStr<Err = Error> + fmt::Debug>(text: &str) -> (u32, String) {
        let error = text.parse::<T>().unwrap_err();
        (error.code, error.to_string())
    }

    #[test]
    fn accepts_what_runtimes_send() {
        for id in [
            "ctr1",
            "a",
            "0",
            "A_b.c-d",
            &"f".repeat(64),
            &"x".repeat(4000),
        ] {
            assert_eq!(id.parse::<ContainerId>().unwrap().as_str(), id);
            assert_eq!(id.parse::<NetworkName>().unwrap().as_str(), id);
        }
        for name in ["eth0", "a", "fifteen-bytes-x", "ünïcödé", "a.b", "..."] {
            assert_eq!(name.parse::<IfName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_bad_container_ids() {
        for id in ["a/b", "_x", "-x", ".x", "a b", "a\n", "a\u{e9}", "\u{663}"] {
            let expected = (4, format!("invalid characters in containerID; {id}"));
            assert_eq!(refusal::<ContainerId>(id), expected);
        }
        assert_eq!(
            refusal::<ContainerId>(""),
            (3, "missing containerID".to_owned())
        );
    }

    #[test]
    fn refuses_bad_network_names() {
        let expected = (
            7,
            "invalid characters found in network name; a b".to_owned(),
        );
        assert_eq!(refusal::<NetworkName>("a b"), expected);
        assert_eq!(
            refusal::<NetworkName>(""),
            (7, "missing network name".to_owned())
        );
    }

    #[test]
    fn refuses_bad_interface_names() {
        let long = "interface name is too long; interface name should be less than 16 characters";
        let chars = "interface name contains / or : or whitespace characters";
        for (name, text) in [
            ("abcdefghijklmnop", long),
            ("üüüüüüüü", long),
            (".", "interface name is . or .."),
            ("..", "interface name is . or .."),
            ("a/b", chars),
            ("a:b", chars),
            ("a b", chars),
            ("a\u{2003}b", chars),
            ("", "interface name is empty"),
        ] {
            assert_eq!(refusal::<IfName>(name), (4, text.to_owned()), "{name:?}");
        }
    }
}

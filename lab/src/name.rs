//! Names of labs, nodes and pods.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a lab, node or pod: a label of a host name, since it becomes one.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$"))]
pub struct Name(String);

/// Of the lab that nobody named.
impl Default for Name {
    fn default() -> Self {
        Self("lab".to_owned())
    }
}

impl Name {
    /// Of a node that nobody named: `n1`, `n2`, ...
    pub fn of_node(number: u8) -> Self {
        Self(format!("n{number}"))
    }

    /// Of the underlay that nobody named.
    pub fn of_underlay() -> Self {
        Self("underlay".to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const LONGEST: usize = 63;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let well_formed = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if well_formed {
            return Ok(Self(text.to_owned()));
        }
        bail!(
            "{text:?} is not a name: give 1 to {LONGEST} lower-case letters, digits and dashes, \
             no dash first or last"
        )
    }
}

impl TryFrom<String> for Name {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "n1", "web-2", "0"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "..", "ä", &long] {
            let error = bad.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains("is not a name"), "{bad:?}: {error}");
        }
    }
}

//! The network configuration: as written, and as checked for ADD and CHECK.

use std::net::IpAddr;

use attach::{route::Gateways, status::not_available};
use cni::Call;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// Number of the table that the rules lead to. With it rules are all that is made: the routes
    /// of this table are somebody else's, and the main table stays as it is. Without it each address
    /// has a table of its own, the first from 100 on that nobody uses, and the interface's routes
    /// move there.
    #[schemars(extend("x-since" = "1.6.0", "examples" = [200]))]
    pub table: Option<i64>,
    /// Next hops of the default routes in the tables, at most one for each family, in place of those
    /// of the addresses and of the main table. Not with `table`.
    #[schemars(extend("x-since" = "after 1.9.1", "examples" = [["10.40.0.254"]]))]
    pub gateways: Vec<String>,
    /// Keeps the subnets of the interface in the main table, with the pod's address as source, so
    /// that what the pod sends without having chosen an address still leaves by this interface. Not
    /// with `table`.
    #[schemars(extend("x-since" = "after 1.9.1"))]
    pub add_source_hints: bool,
}

/// How the routes are arranged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Config {
    /// Rules to a table of somebody else's.
    Given { table: u32 },
    /// A table for each address.
    Own { gateways: Gateways, hints: bool },
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        Ok(Self::checked(call.config()?)?)
    }

    fn checked(conf: NetConf) -> Result<Self, Error> {
        let gateways = gateways(&conf.gateways)?;
        match conf.table {
            Some(number) => Ok(Self::Given {
                table: table(number)?,
            }),
            None => Ok(Self::Own {
                gateways,
                hints: conf.add_source_hints,
            }),
        }
    }
}

/// The kernel has no table 0.
pub(crate) fn table(number: i64) -> Result<u32, Error> {
    let table = u32::try_from(number).ok().filter(|table| *table != 0);
    table.ok_or(Error::Table(number))
}

fn gateways(texts: &[String]) -> Result<Gateways, Error> {
    if texts.len() > 2 {
        return Err(Error::TooManyGateways);
    }
    let mut gateways = Gateways::default();
    for text in texts {
        let address: IpAddr = text.parse().map_err(|_| Error::Gateway(text.clone()))?;
        let address = address.to_canonical();
        let (family, place) = match address {
            IpAddr::V4(_) => ("IPv4", &mut gateways.ipv4),
            IpAddr::V6(_) => ("IPv6", &mut gateways.ipv6),
        };
        if let Some(first) = place.replace(address) {
            let second = address;
            return Err(Error::TwoGateways {
                family,
                first,
                second,
            });
        }
    }
    Ok(gateways)
}

/// STATUS: answers 50 where ADD cannot work.
///
/// # Errors
/// A configuration that cannot be read; code 50.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    Config::checked(call.config()?).map_err(not_available)?;
    attach::status::may_change_networks()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Config, String> {
        let conf = serde_json::from_str(json).unwrap();
        Config::checked(conf).map_err(|error| error.to_string())
    }

    #[test]
    fn what_may_be_configured() {
        let own = |ipv4: Option<&str>, ipv6: Option<&str>, hints| Config::Own {
            gateways: Gateways {
                ipv4: ipv4.map(|text| text.parse().unwrap()),
                ipv6: ipv6.map(|text| text.parse().unwrap()),
            },
            hints,
        };
        for (json, config) in [
            ("{}", own(None, None, false)),
            (r#"{"table": 200}"#, Config::Given { table: 200 }),
            (
                r#"{"table": 4294967295, "gateways": ["10.0.0.1"], "addSourceHints": true}"#,
                Config::Given { table: u32::MAX },
            ),
            (
                r#"{"gateways": ["2001:db8::1", "10.0.0.1"], "addSourceHints": true}"#,
                own(Some("10.0.0.1"), Some("2001:db8::1"), true),
            ),
            (
                r#"{"gateways": ["::ffff:10.0.0.1"]}"#,
                own(Some("10.0.0.1"), None, false),
            ),
        ] {
            assert_eq!(checked(json), Ok(config), "{json}");
        }
        for (json, message) in [
            (
                r#"{"gateways": ["x"]}"#,
                "invalid static gateway IP address: x",
            ),
            (
                r#"{"gateways": [""]}"#,
                "invalid static gateway IP address: ",
            ),
            (
                r#"{"gateways": ["10.0.0.1", "::1", "10.0.0.3"]}"#,
                "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)",
            ),
            (
                r#"{"gateways": ["10.0.0.1", "10.0.0.2"]}"#,
                "gateways list contains multiple IPv4 addresses: 10.0.0.1 and 10.0.0.2",
            ),
            (
                r#"{"gateways": ["::1", "::2"]}"#,
                "gateways list contains multiple IPv6 addresses: ::1 and ::2",
            ),
            (
                r#"{"table": 0}"#,
                "invalid table 0 (must be between 1 and 4294967295)",
            ),
            (
                r#"{"table": -1}"#,
                "invalid table -1 (must be between 1 and 4294967295)",
            ),
        ] {
            assert_eq!(checked(json), Err(message.to_owned()), "{json}");
        }
    }
}

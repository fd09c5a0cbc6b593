//! What is sent over a path, and the figures that come of it.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// One TCP stream
    #[value(name = "tcp-1")]
    #[serde(rename = "tcp-1")]
    Tcp1,
    /// One TCP stream from the server to the client
    #[value(name = "tcp-1-reverse")]
    #[serde(rename = "tcp-1-reverse")]
    Tcp1Reverse,
    /// Eight TCP streams at once
    #[value(name = "tcp-8")]
    #[serde(rename = "tcp-8")]
    Tcp8,
    /// Eight from the server to the client
    #[value(name = "tcp-8-reverse")]
    #[serde(rename = "tcp-8-reverse")]
    Tcp8Reverse,
    /// UDP packets of 64 bytes, counted from the IP header
    #[value(name = "udp-64")]
    #[serde(rename = "udp-64")]
    Udp64,
    /// UDP packets of 1,400 bytes
    #[value(name = "udp-1400")]
    #[serde(rename = "udp-1400")]
    Udp1400,
    /// A byte there and a byte back
    Latency,
    /// TCP connections, opened and closed one after the other
    Connections,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::name_of(self, f)
    }
}

/// What sends and receives the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Generator {
    /// The program iperf3
    Iperf3,
    /// The lab itself
    Lab,
}

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::name_of(self, f)
    }
}

/// By name, in the unit that the name ends with.
pub(crate) type Figures = BTreeMap<String, f64>;

/// A figure of a load, as tables show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its name in [`Figures`].
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    /// What the figure is multiplied with for that unit.
    pub(crate) scale: f64,
}

const fn column(key: &'static str, unit: &'static str, scale: f64) -> Column {
    Column { key, unit, scale }
}

const STREAMS: [Column; 1] = [column("bits_per_second", "Gbit/s", 1e-9)];
const PACKETS: [Column; 2] = [
    column("packets_per_second", "packets/s", 1.0),
    column("lost_percent", "% lost", 1.0),
];
const LATENCY: [Column; 3] = [
    column("p50_microseconds", "µs p50", 1.0),
    column("p99_microseconds", "µs p99", 1.0),
    column("p999_microseconds", "µs p99.9", 1.0),
];
const CONNECTIONS: [Column; 1] = [column("connections_per_second", "connections/s", 1.0)];

impl Load {
    /// The figures it gives; the first is what it is about.
    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Self::Tcp1 | Self::Tcp1Reverse | Self::Tcp8 | Self::Tcp8Reverse => &STREAMS,
            Self::Udp64 | Self::Udp1400 => &PACKETS,
            Self::Latency => &LATENCY,
            Self::Connections => &CONNECTIONS,
        }
    }

    /// How much there is at once.
    pub(super) fn at_once(self) -> usize {
        match self {
            Self::Tcp8 | Self::Tcp8Reverse => 8,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_the_file() {
        for load in Load::value_variants() {
            assert_eq!(serde_json::to_value(load).unwrap(), load.to_string());
        }
        for generator in Generator::value_variants() {
            let name = serde_json::to_value(generator).unwrap();
            assert_eq!(name, generator.to_string());
        }
    }
}

//! The backend udp: its options, and its device's name. It publishes neither a type nor data.

use crate::backend::BackendError;
use crate::config::NetworkConfig;

/// The device of the udp backend: the first that flannel's template `flannel%d` gives.
pub const UDP_DEVICE: &str = "flannel0";
/// The UDP port, where none is given.
const PORT: u16 = 8285;

/// Whether a device is called as the udp backend calls its own: `flannel` and a number.
pub fn is_udp_device(name: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    name.strip_prefix("flannel").is_some_and(is_number)
}

/// Options of the udp backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// The port that every node sends from and to.
    pub port: u16,
}

impl UdpOptions {
    /// Reads the options of the network config.
    ///
    /// # Errors
    /// Wrong types, a port that is none, or a cluster with IPv6.
    pub fn parse(config: &NetworkConfig) -> Result<Self, BackendError> {
        if config.v6.is_some() {
            return Err(BackendError::Ipv4Only("udp"));
        }
        let port = config.backend.object().integer("Port")?;
        let port = port.unwrap_or(PORT.into());
        let valid = u16::try_from(port).ok().filter(|port| *port != 0);
        let port = valid.ok_or(BackendError::ListenPort { key: "Port", port })?;
        Ok(Self { port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Result<u16, String> {
        let text = format!(r#"{{"Network":"10.5.0.0/16"{rest}}}"#);
        let config = NetworkConfig::parse(text.as_bytes()).expect("config");
        let options = UdpOptions::parse(&config).map_err(|error| error.to_string())?;
        Ok(options.port)
    }

    #[test]
    fn the_port_is_flannels_unless_another_is_given() {
        assert_eq!(parse(""), Ok(8285));
        assert_eq!(parse(r#","Backend":{"Type":"udp"}"#), Ok(8285));
        assert_eq!(parse(r#","Backend":{"Type":"udp","port":9000}"#), Ok(9000));
        for port in ["0", "-1", "65536"] {
            let refused = format!("Port {port} is out of range: give 1 to 65535, or leave it out");
            let backend = format!(r#","Backend":{{"Type":"udp","Port":{port}}}"#);
            assert_eq!(parse(&backend), Err(refused));
        }
        let dual = r#","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"udp"}"#;
        let refused = parse(dual).expect_err("IPv4 only");
        assert!(
            refused.starts_with("the backend udp carries IPv4 only"),
            "{refused}"
        );
    }

    #[test]
    fn devices_are_known_by_their_number() {
        for (name, is_one) in [
            ("flannel0", true),
            ("flannel12", true),
            ("flannel", false),
            ("flannel.1", false),
            ("flannel-wg", false),
            ("xflannel0", false),
        ] {
            assert_eq!(is_udp_device(name), is_one, "{name}");
        }
    }
}

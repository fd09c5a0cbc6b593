//! The backend wireguard: its options, its devices' names, and what a node publishes of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::attrs::RawJson;
use crate::backend::{BackendError, underlay_mtu};
use crate::config::NetworkConfig;
use crate::object::{JsonError, Object};

/// Bytes that WireGuard adds to a packet over IPv6: outer IP 40, UDP 8, type 4, receiver 4, counter
/// 8, tag 16. Over IPv4 it is 20 less; flannel takes the same for both.
pub const WIREGUARD_OVERHEAD: u32 = 80;

/// The device for IPv4, or for both families.
const DEVICE: &str = "flannel-wg";
/// The device for IPv6, when it has one of its own.
const DEVICE_V6: &str = "flannel-wg-v6";

/// Bytes of every key.
const KEY: usize = 32;

/// Which devices join the nodes, and by which of a peer's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireguardMode {
    /// A device for each family, which reaches peers by their address of that family.
    Separate,
    /// One device; by the address that is most likely to work.
    Auto,
    /// One device; by IPv4.
    Ipv4,
    /// One device; by IPv6.
    Ipv6,
}

/// Options of the wireguard backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireguardOptions {
    /// UDP port of the device for IPv4, and of the one for both families.
    pub listen_port: u16,
    /// UDP port of the device for IPv6 when it has one of its own.
    pub listen_port_v6: u16,
    /// MTU of the underlay in bytes; the external interface's when absent.
    pub mtu: Option<u32>,
    /// A key that all nodes share.
    pub psk: Option<Psk>,
    /// Seconds between packets that keep a mapping of addresses open; 0 is none.
    pub keepalive: u16,
    /// Which devices.
    pub mode: WireguardMode,
}

/// A key that all nodes share. It is never printed, whatever prints what holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk([u8; KEY]);

/// `BackendData` and `BackendV6Data` of the wireguard backend: `{"PublicKey":"…","Port":51820}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireguardData {
    /// The node's public key.
    pub public_key: [u8; KEY],
    /// The UDP port that it listens on; absent in leases of old daemons (flannel before 0.26.6).
    pub port: Option<u16>,
}

/// Backend data that are no WireGuard node's.
#[derive(Debug, thiserror::Error)]
pub enum WireguardDataError {
    /// Not the right JSON.
    #[error("the wireguard backend data cannot be read")]
    Json(#[source] JsonError),
    /// `PublicKey` is missing.
    #[error("the wireguard backend data has no PublicKey")]
    NoKey,
    /// `PublicKey` is not 32 bytes in base64, or nobody's.
    #[error("PublicKey {0:?} is not a key of 32 bytes in base64")]
    Key(String),
    /// `Port` is none.
    #[error("Port {0} is out of range: 0 to 65535")]
    Port(u64),
}

/// The device of the wireguard backend for IPv4 or IPv6: `flannel-wg`, `flannel-wg-v6`.
pub fn wireguard_device(ipv6: bool) -> &'static str {
    match ipv6 {
        false => DEVICE,
        true => DEVICE_V6,
    }
}

/// Whether a device is called as the wireguard backend calls its own.
pub fn is_wireguard_device(name: &str) -> bool {
    [DEVICE, DEVICE_V6].contains(&name)
}

/// A key of 32 bytes in base64, as `wg genkey` and `wg genpsk` print it; `None` for anything else.
pub fn parse_key(text: &str) -> Option<[u8; KEY]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A key as [`parse_key`] reads it.
pub fn print_key(key: &[u8; KEY]) -> String {
    STANDARD.encode(key)
}

impl Psk {
    /// From the text of the configuration, or of a file.
    ///
    /// # Errors
    /// It is not 32 bytes in base64; the error does not show it.
    pub fn parse(text: &str) -> Result<Self, BackendError> {
        parse_key(text).map(Self).ok_or(BackendError::Psk)
    }

    /// The key itself.
    pub fn reveal(&self) -> [u8; KEY] {
        self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl WireguardOptions {
    /// Reads the options of the network config.
    ///
    /// An MTU of 0 means "not given". Other numbers that no device can have are refused, also a port
    /// of 0; flannel takes ports and the interval modulo 65,536, and with port 0 nobody finds anybody.
    ///
    /// # Errors
    /// Wrong types, numbers out of range, an unknown mode or one without its family, a key that is none.
    pub fn parse(config: &NetworkConfig) -> Result<Self, BackendError> {
        let object = config.backend.object();
        let options = Self {
            listen_port: listen_port(&object, "ListenPort", 51820)?,
            listen_port_v6: listen_port(&object, "ListenPortV6", 51821)?,
            mtu: underlay_mtu(&object, config.v6.is_some(), [WIREGUARD_OVERHEAD; 2])?,
            psk: psk(&object)?,
            keepalive: keepalive(&object)?,
            mode: WireguardMode::parse(&object, config)?,
        };
        let one_port = options.listen_port == options.listen_port_v6;
        match options.mode == WireguardMode::Separate && config.is_dual() && one_port {
            true => Err(BackendError::OnePort(options.listen_port)),
            false => Ok(options),
        }
    }

    /// Whether one device carries both families.
    pub fn is_single(&self) -> bool {
        self.mode != WireguardMode::Separate
    }

    /// The device that carries a family.
    pub fn device(&self, ipv6: bool) -> &'static str {
        wireguard_device(ipv6 && !self.is_single())
    }

    /// The port of the device that carries a family.
    pub fn port(&self, ipv6: bool) -> u16 {
        match ipv6 && !self.is_single() {
            true => self.listen_port_v6,
            false => self.listen_port,
        }
    }
}

impl WireguardMode {
    fn parse(object: &Object, config: &NetworkConfig) -> Result<Self, BackendError> {
        let text = object.str("Mode")?.unwrap_or("separate");
        let (mode, needs) = match text {
            "separate" => (Self::Separate, None),
            "auto" => (Self::Auto, None),
            "ipv4" => (Self::Ipv4, (config.v4.is_none()).then_some("EnableIPv4")),
            "ipv6" => (Self::Ipv6, (config.v6.is_none()).then_some("EnableIPv6")),
            other => return Err(BackendError::Mode(other.to_owned())),
        };
        match needs {
            None => Ok(mode),
            Some(key) => Err(BackendError::ModeFamily {
                mode: text.to_owned(),
                key,
            }),
        }
    }
}

fn listen_port(object: &Object, key: &'static str, default: i64) -> Result<u16, BackendError> {
    let port = object.integer(key)?.unwrap_or(default);
    let valid = u16::try_from(port).ok().filter(|port| *port != 0);
    valid.ok_or(BackendError::ListenPort { key, port })
}

fn keepalive(object: &Object) -> Result<u16, BackendError> {
    let seconds = object.integer("PersistentKeepaliveInterval")?.unwrap_or(0);
    u16::try_from(seconds).map_err(|_| BackendError::Keepalive(seconds))
}

/// What stands there is not shown, whatever it is.
fn psk(object: &Object) -> Result<Option<Psk>, BackendError> {
    match object.get("PSK") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Psk::parse(text).map(Some),
        Some(_) => Err(BackendError::Psk),
    }
}

impl WireguardData {
    /// Reads the data of a lease. A port of 0 is none.
    ///
    /// # Errors
    /// It is not an object, or its key or port is none.
    pub fn parse(data: &RawJson) -> Result<Self, WireguardDataError> {
        use WireguardDataError as Error;
        let object = Object::parse("BackendData", data.as_str().as_bytes()).map_err(Error::Json)?;
        let text = object.str("PublicKey").map_err(Error::Json)?;
        let text = text.ok_or(Error::NoKey)?;
        let key = parse_key(text).filter(|key| *key != [0; KEY]);
        let port = object.unsigned("Port").map_err(Error::Json)?.unwrap_or(0);
        let port = u16::try_from(port).map_err(|_| Error::Port(port))?;
        Ok(Self {
            public_key: key.ok_or_else(|| Error::Key(text.to_owned()))?,
            port: Some(port).filter(|port| *port != 0),
        })
    }

    /// The text that a node publishes: no spaces, the key first.
    pub fn to_json(&self) -> RawJson {
        let mut text = format!("{{\"PublicKey\":\"{}\"", print_key(&self.public_key));
        if let Some(port) = self.port {
            text.push_str(&format!(",\"Port\":{port}"));
        }
        RawJson::from_trusted(text + "}")
    }
}

//! The peers of this node's WireGuard devices, as they are when somebody asks.

use std::time::SystemTime;

use kernel::{LinkIndex, Netlink, WireguardPeerState};
use serde::{Deserialize, Serialize};

use super::DeviceState;

/// A peer of a WireGuard device, and how it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TunnelPeer {
    /// The device.
    pub device: String,
    /// The peer's public key.
    pub public_key: String,
    /// Where packets are sent to; empty before that is known.
    pub endpoint: String,
    /// What it may send from, and what is sent to it.
    pub allowed_ips: Vec<String>,
    /// Seconds since both sides last agreed on a key; absent if they never did. With traffic it is
    /// below 180.
    pub last_handshake: Option<u64>,
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}

/// The peers of those of `devices` that have keys. One that cannot be read has none: it is about to
/// be made anew, and a problem tells of it.
pub(super) fn peers(netlink: &Netlink, devices: &[DeviceState]) -> Vec<TunnelPeer> {
    let now = SystemTime::now();
    let tunnels = devices
        .iter()
        .filter(|device| !device.public_key.is_empty());
    let mut peers = Vec::new();
    for device in tunnels {
        if let Ok(seen) = netlink.wireguard(LinkIndex(device.index)) {
            let of_device = |state: &_| TunnelPeer::new(&device.name, state, now);
            peers.extend(seen.peers.iter().map(of_device));
        }
    }
    peers.sort_by(|a, b| (&a.device, &a.allowed_ips).cmp(&(&b.device, &b.allowed_ips)));
    peers
}

impl TunnelPeer {
    fn new(device: &str, state: &WireguardPeerState, now: SystemTime) -> Self {
        let peer = &state.peer;
        let ago = |at| now.duration_since(at).unwrap_or_default().as_secs();
        Self {
            device: device.to_owned(),
            public_key: peer.public_key.to_string(),
            endpoint: peer.endpoint.map(|at| at.to_string()).unwrap_or_default(),
            allowed_ips: peer.allowed_ips.iter().map(ToString::to_string).collect(),
            last_handshake: state.last_handshake.map(ago),
            received: state.received,
            sent: state.sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::{PublicKey, Secret, WireguardPeer};

    use super::*;

    #[test]
    fn a_peer_is_told_without_secrets() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let state = WireguardPeerState {
            peer: WireguardPeer {
                public_key: PublicKey([1; 32]),
                preshared_key: Some(Secret::preshared_key([9; 32])),
                endpoint: "192.0.2.2:51820".parse().ok(),
                keepalive: 0,
                allowed_ips: ["10.100.46.0/24", "fd00::/64"]
                    .iter()
                    .map(|network| network.parse().expect("network"))
                    .collect(),
            },
            last_handshake: Some(now - Duration::from_secs(12)),
            received: 148,
            sent: 92,
        };
        let peer = TunnelPeer::new("flannel-wg", &state, now);
        let json = serde_json::json!({
            "device": "flannel-wg",
            "public_key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            "endpoint": "192.0.2.2:51820",
            "allowed_ips": ["10.100.46.0/24", "fd00::/64"],
            "last_handshake": 12,
            "received": 148,
            "sent": 92,
        });
        assert_eq!(serde_json::json!(peer), json);
        let later = now + Duration::from_secs(1);
        let future = TunnelPeer::new(
            "flannel-wg",
            &WireguardPeerState {
                last_handshake: Some(later),
                ..state
            },
            now,
        );
        assert_eq!(future.last_handshake, Some(0), "a clock that was set back");
    }
}

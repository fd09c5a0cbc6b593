//! WireGuard devices beyond what makes them links: keys, port and peers (`wg`).
//!
//! Looking and changing need CAP_NET_ADMIN: what is looked at holds keys.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnetwork::IpNetwork;
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardMessage, WireguardPeer as PeerMessage, WireguardPeerAttribute,
    WireguardPeerFlags, WireguardTimeSpec,
};

use crate::{LinkIndex, Netlink, Result, random};

/// Bytes of every key.
const KEY: usize = 32;

/// A public key, which names a peer. Printed in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; KEY]);

/// A private or preshared key. It is never printed, whatever prints what holds it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret([u8; KEY]);

/// What a device is told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireguardSettings {
    /// Its private key; the public one follows from it.
    pub private_key: Secret,
    /// The UDP port that it listens on, in both families.
    pub listen_port: u16,
}

/// A peer as it is wanted, or as a device has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireguardPeer {
    /// Which peer.
    pub public_key: PublicKey,
    /// A key that both sides have beside their own.
    pub preshared_key: Option<Secret>,
    /// Where packets are sent to. A peer that sends from elsewhere moves it; none leaves it as it is.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between packets that keep a mapping of addresses open; 0 is none.
    pub keepalive: u16,
    /// What it may send from, and what is sent to it. A network belongs to one peer of a device: the
    /// last that was given it.
    pub allowed_ips: BTreeSet<IpNetwork>,
}

/// A device as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wireguard {
    /// Its private key, if it has one.
    pub private_key: Option<Secret>,
    /// The public key that follows from it.
    pub public_key: Option<PublicKey>,
    /// The UDP port that it listens on, or will when it is up.
    pub listen_port: u16,
    /// Its peers.
    pub peers: Vec<WireguardPeerState>,
}

/// A peer of a device, and how it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireguardPeerState {
    /// As it is now.
    pub peer: WireguardPeer,
    /// When both sides last agreed on a key for a while; none if never.
    pub last_handshake: Option<SystemTime>,
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}

impl Secret {
    /// A private key for X25519: the bits that must have a value get it, as the kernel does it too.
    pub fn private_key(mut bytes: [u8; KEY]) -> Self {
        bytes[0] &= 0b1111_1000;
        bytes[KEY - 1] = bytes[KEY - 1] & 0b0111_1111 | 0b0100_0000;
        Self(bytes)
    }

    /// A new private key: `wg genkey`.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn new_private_key() -> Result<Self> {
        random::bytes().map(Self::private_key)
    }

    /// A preshared key.
    pub fn preshared_key(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    /// The key itself, for the file that keeps it.
    pub fn reveal(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Netlink {
    /// A device's keys, port and peers: `wg show`. One that others change meanwhile is read again.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link; EOPNOTSUPP when it is of
    /// another kind; ENOENT when the kernel has no WireGuard.
    pub fn wireguard(&self, link: LinkIndex) -> Result<Wireguard> {
        let request = message(WireguardCmd::GetDevice, link, Vec::new());
        let take = Wireguard::take_part;
        self.with_generic(|generic| generic.dump("read wireguard device", link, request, take))
    }

    /// Gives a device its key and port: `wg set`. Peers stay, but one with the new key's public one.
    ///
    /// # Errors
    /// As [`wireguard`](Self::wireguard); EADDRINUSE when the device is up and the port is another's.
    pub fn set_wireguard(&self, link: LinkIndex, settings: &WireguardSettings) -> Result<()> {
        let request = message(
            WireguardCmd::SetDevice,
            link,
            vec![
                WireguardAttribute::PrivateKey(settings.private_key.0),
                WireguardAttribute::ListenPort(settings.listen_port),
            ],
        );
        let operation = "set wireguard device";
        let failed = |source| crate::Error::new(operation, link, source);
        self.with_generic(|generic| {
            let outcomes = generic.order([request]).map_err(failed)?;
            let refused = outcomes.into_iter().find_map(std::result::Result::err);
            refused.map_or(Ok(()), |refusal| Err(refusal.into_error(operation, link)))
        })
    }
}

/// Makes a device have a peer as it is given: its allowed addresses are replaced by these.
pub(crate) fn set_peer_message(link: LinkIndex, peer: &WireguardPeer) -> WireguardMessage {
    use WireguardPeerAttribute as Attribute;
    let none = [0; KEY];
    let preshared_key = peer.preshared_key.as_ref().map_or(none, |key| key.0);
    let mut attributes = vec![
        Attribute::PublicKey(peer.public_key.0),
        Attribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        Attribute::PresharedKey(preshared_key),
        Attribute::PersistentKeepalive(peer.keepalive),
    ];
    attributes.extend(peer.endpoint.map(Attribute::Endpoint));
    let allowed_ips = peer.allowed_ips.iter().map(allowed_ip).collect();
    attributes.push(Attribute::AllowedIps(allowed_ips));
    peer_message(link, attributes)
}

/// Takes a peer from a device; one that is not there is no error.
pub(crate) fn remove_peer_message(link: LinkIndex, key: PublicKey) -> WireguardMessage {
    let attributes = vec![
        WireguardPeerAttribute::PublicKey(key.0),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
    ];
    peer_message(link, attributes)
}

fn peer_message(link: LinkIndex, peer: Vec<WireguardPeerAttribute>) -> WireguardMessage {
    let peers = WireguardAttribute::Peers(vec![PeerMessage(peer)]);
    message(WireguardCmd::SetDevice, link, vec![peers])
}

fn message(cmd: WireguardCmd, link: LinkIndex, rest: Vec<WireguardAttribute>) -> WireguardMessage {
    let mut attributes = vec![WireguardAttribute::IfIndex(link.0)];
    attributes.extend(rest);
    WireguardMessage { cmd, attributes }
}

fn allowed_ip(network: &IpNetwork) -> WireguardAllowedIp {
    let family = match network {
        IpNetwork::V4(_) => WireguardAddressFamily::Ipv4,
        IpNetwork::V6(_) => WireguardAddressFamily::Ipv6,
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(network.network()),
        WireguardAllowedIpAttr::Cidr(network.prefix()),
    ])
}

impl Wireguard {
    /// Of the messages of one dump, one after the other: as the kernel sends them, thousands of peers are large. The
    /// first ones have the device, each of them until one peer was sent whole; they and the others have what did not
    /// fit: more peers, and more addresses of the last one before.
    fn take_part(&mut self, part: WireguardMessage) {
        for attribute in part.attributes {
            match attribute {
                WireguardAttribute::PrivateKey(key) => self.private_key = Some(Secret(key)),
                WireguardAttribute::PublicKey(key) => self.public_key = Some(PublicKey(key)),
                WireguardAttribute::ListenPort(port) => self.listen_port = port,
                WireguardAttribute::Peers(peers) => {
                    peers.into_iter().for_each(|peer| self.take(peer));
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, message: PeerMessage) {
        let Some(found) = WireguardPeerState::from_message(message) else {
            return;
        };
        match self.peers.last_mut() {
            Some(last) if last.peer.public_key == found.peer.public_key => {
                last.peer.allowed_ips.extend(found.peer.allowed_ips);
            }
            _ => self.peers.push(found),
        }
    }
}

impl WireguardPeerState {
    /// `None` for a peer without a key, which the kernel does not send.
    fn from_message(message: PeerMessage) -> Option<Self> {
        use WireguardPeerAttribute as Attribute;
        let key = message.iter().find_map(|attribute| match attribute {
            Attribute::PublicKey(key) => Some(PublicKey(*key)),
            _ => None,
        })?;
        let mut state = Self {
            peer: WireguardPeer {
                public_key: key,
                preshared_key: None,
                endpoint: None,
                keepalive: 0,
                allowed_ips: BTreeSet::new(),
            },
            last_handshake: None,
            received: 0,
            sent: 0,
        };
        for attribute in message.0 {
            match attribute {
                Attribute::PresharedKey(key) if key != [0; KEY] => {
                    state.peer.preshared_key = Some(Secret(key));
                }
                Attribute::Endpoint(endpoint) => state.peer.endpoint = Some(endpoint),
                Attribute::PersistentKeepalive(seconds) => state.peer.keepalive = seconds,
                Attribute::LastHandshake(time) => state.last_handshake = moment(time),
                Attribute::RxBytes(bytes) => state.received = bytes,
                Attribute::TxBytes(bytes) => state.sent = bytes,
                Attribute::AllowedIps(networks) => {
                    let networks = networks.into_iter().filter_map(network);
                    state.peer.allowed_ips.extend(networks);
                }
                _ => {}
            }
        }
        Some(state)
    }
}

/// The kernel's 0 means never.
fn moment(time: WireguardTimeSpec) -> Option<SystemTime> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanoseconds = u32::try_from(time.nano_seconds).ok()?;
    let since = Duration::new(seconds, nanoseconds);
    (!since.is_zero()).then(|| SystemTime::UNIX_EPOCH + since)
}

fn network(allowed: WireguardAllowedIp) -> Option<IpNetwork> {
    let mut address = None;
    let mut length = None;
    for attribute in allowed.0 {
        match attribute {
            WireguardAllowedIpAttr::IpAddr(found) => address = Some(found),
            WireguardAllowedIpAttr::Cidr(found) => length = Some(found),
            _ => {}
        }
    }
    IpNetwork::new(address?, length?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Consistency, read_whole};

    fn peer(key: u8, allowed_ips: &[&str]) -> WireguardPeer {
        WireguardPeer {
            public_key: PublicKey([key; KEY]),
            preshared_key: Some(Secret([7; KEY])),
            endpoint: "192.0.2.1:51820".parse().ok(),
            keepalive: 25,
            allowed_ips: allowed_ips
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
        }
    }

    fn part(peers: &[WireguardPeer]) -> WireguardMessage {
        let peers = peers.iter().map(|peer| {
            let message = set_peer_message(LinkIndex(7), peer);
            match message.attributes.into_iter().last() {
                Some(WireguardAttribute::Peers(mut peers)) => peers.remove(0),
                other => panic!("{other:?}"),
            }
        });
        let peers = WireguardAttribute::Peers(peers.collect());
        message(WireguardCmd::GetDevice, LinkIndex(7), vec![peers])
    }

    /// A first message, with the device and peers.
    fn head(peers: &[WireguardPeer]) -> WireguardMessage {
        let mut message = part(peers);
        let device = [
            WireguardAttribute::ListenPort(51820),
            WireguardAttribute::PrivateKey([1; KEY]),
            WireguardAttribute::PublicKey([2; KEY]),
        ];
        message.attributes.splice(1..1, device);
        message
    }

    /// As it is read: all dumps but the last one were interrupted.
    fn device<const N: usize>(dumps: [Vec<WireguardMessage>; N]) -> Wireguard {
        let mut dumps = dumps.into_iter();
        read_whole("read", "device", |device: &mut Wireguard| {
            let parts = dumps.next().unwrap();
            parts.into_iter().for_each(|part| device.take_part(part));
            let is_last = dumps.len() == 0;
            Ok(Ok(if is_last {
                Consistency::Whole
            } else {
                Consistency::Changed
            }))
        })
        .unwrap()
    }

    fn states(device: &Wireguard) -> Vec<WireguardPeer> {
        device
            .peers
            .iter()
            .map(|state| state.peer.clone())
            .collect()
    }

    #[test]
    fn a_device_in_several_messages_is_one() {
        let first = || peer(1, &["10.1.0.0/24", "fd00:1::/64"]);
        let second = || peer(2, &["10.2.0.0/24"]);
        let third = || peer(3, &[]);
        // What did not fit comes with the key alone.
        let rest = |key, networks: &[&str]| WireguardPeer {
            preshared_key: None,
            endpoint: None,
            keepalive: 0,
            ..peer(key, networks)
        };
        let whole = peer(2, &["10.2.0.0/24", "10.3.0.0/24"]);
        let gone = || peer(9, &["10.9.0.0/24"]);
        let cases = [
            (
                "a peer in two messages",
                device([vec![
                    head(&[first(), second()]),
                    part(&[rest(2, &["10.3.0.0/24"]), third()]),
                ]]),
                vec![first(), whole.clone(), third()],
            ),
            (
                "the first peer in two messages: the second one has the device again",
                device([vec![
                    head(&[second()]),
                    head(&[rest(2, &["10.3.0.0/24"])]),
                    part(&[third()]),
                ]]),
                vec![whole, third()],
            ),
            (
                "it changed meanwhile, and is read again",
                device([
                    vec![head(&[gone(), first()])],
                    vec![head(&[first(), second()])],
                ]),
                vec![first(), second()],
            ),
            (
                "and where it ended the first time, the second one begins",
                device([vec![head(&[first()])], vec![head(&[rest(1, &[])])]]),
                vec![rest(1, &[])],
            ),
        ];
        for (case, device, expected) in cases {
            assert_eq!(device.listen_port, 51820, "{case}");
            assert_eq!(device.public_key, Some(PublicKey([2; KEY])), "{case}");
            assert_eq!(states(&device), expected, "{case}");
        }
    }

    #[test]
    fn no_preshared_key_is_sent_as_zeros_and_read_back_as_none() {
        let bare = WireguardPeer {
            preshared_key: None,
            ..peer(1, &[])
        };
        let device = device([vec![part(std::slice::from_ref(&bare))]]);
        assert_eq!(states(&device), [bare]);
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = Secret::new_private_key().unwrap();
        let settings = WireguardSettings {
            private_key: key.clone(),
            listen_port: 51820,
        };
        let text = format!("{settings:?} {:?}", peer(1, &[]));
        assert!(!text.contains(&STANDARD.encode(key.reveal())), "{text}");
        assert!(!text.contains(&format!("{:?}", key.reveal())), "{text}");
        assert!(text.contains("(secret)"), "{text}");
    }

    #[test]
    fn private_keys_have_the_bits_that_the_kernel_gives_them() {
        let Secret(bytes) = Secret::private_key([0xff; KEY]);
        assert_eq!((bytes[0], bytes[31]), (0xf8, 0x7f));
        let Secret(bytes) = Secret::private_key([0; KEY]);
        assert_eq!((bytes[0], bytes[31]), (0, 0x40));
        let new = || Secret::new_private_key().unwrap();
        assert_ne!(new(), new());
    }

    #[test]
    fn a_moment_of_zero_is_never() {
        let time = |seconds, nano_seconds| WireguardTimeSpec {
            seconds,
            nano_seconds,
        };
        assert_eq!(moment(time(0, 0)), None);
        assert_eq!(moment(time(-1, 0)), None);
        let half = Duration::from_millis(1500);
        assert_eq!(
            moment(time(1, 500_000_000)),
            Some(SystemTime::UNIX_EPOCH + half)
        );
    }
}

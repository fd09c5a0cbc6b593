//! Where WireGuard peers are. A peer that sends from another address than it published (behind NAT,
//! with two interfaces) moves its endpoint by that, and it is right: the kernel believes only who has
//! the key. So an endpoint is compared with the one that this process told the kernel, as long as
//! the peer is heard of; one that is silent is looked for where its lease says.
//!
//! Pure but for the memory.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use backend::Wanted;
use kernel::{Change, LinkIndex, PublicKey, Wireguard, WireguardPeer, WireguardPeerState};

/// A session ends this long after its handshake (the WireGuard paper's Reject-After-Time): who has
/// not made another one by then is not heard of.
const SESSION: Duration = Duration::from_secs(180);

/// What names a peer.
pub(super) type Key = (LinkIndex, PublicKey);

/// Which endpoint the kernel was told for each peer.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<Key, SocketAddr>);

impl Told {
    /// The devices' peers as a plan compares them: with the endpoint that they were told, while they
    /// are heard of; a peer from before this process, with the wanted one.
    pub(super) fn seen(
        &self,
        tunnels: &[(LinkIndex, Wireguard)],
        wanted: &Wanted,
        now: SystemTime,
    ) -> Vec<(LinkIndex, WireguardPeer)> {
        let peers = tunnels
            .iter()
            .flat_map(|(link, device)| device.peers.iter().map(|state| (*link, state)));
        peers
            .map(|(link, state)| {
                let mut peer = state.peer.clone();
                let key = (link, peer.public_key);
                if is_heard_of(state, now) {
                    let published = wanted.wireguard.get(&key).and_then(|want| want.endpoint);
                    let told = self.0.get(&key).copied().or(published);
                    peer.endpoint = told.or(peer.endpoint);
                }
                (link, peer)
            })
            .collect()
    }

    /// After a pass: the kernel was told of all wanted peers but those of `untold`.
    pub(super) fn note(&mut self, wanted: &Wanted, untold: &HashSet<Key>) {
        self.0.retain(|key, _| wanted.wireguard.contains_key(key));
        for (key, peer) in &wanted.wireguard {
            if let Some(endpoint) = peer.endpoint.filter(|_| !untold.contains(key)) {
                self.0.insert(*key, endpoint);
            }
        }
    }
}

/// The peers that some changes tell the kernel of.
pub(super) fn told_by<'a>(changes: impl IntoIterator<Item = &'a Change>) -> HashSet<Key> {
    let peer = |change: &Change| match change {
        Change::SetWireguardPeer(link, peer) => Some((*link, peer.public_key)),
        _ => None,
    };
    changes.into_iter().filter_map(peer).collect()
}

/// A clock that was set back makes a handshake one of the future; it is a recent one all the same.
fn is_heard_of(state: &WireguardPeerState, now: SystemTime) -> bool {
    let age = |at| now.duration_since(at).unwrap_or_default();
    state.last_handshake.is_some_and(|at| age(at) < SESSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkIndex = LinkIndex(7);
    const KEY: PublicKey = PublicKey([1; 32]);

    fn peer(endpoint: &str) -> WireguardPeer {
        WireguardPeer {
            public_key: KEY,
            preshared_key: None,
            endpoint: endpoint.parse().ok(),
            keepalive: 0,
            allowed_ips: Default::default(),
        }
    }

    fn wanted(endpoint: &str) -> Wanted {
        let mut wanted = Wanted::default();
        assert!(wanted.add_wireguard_peer(LINK, peer(endpoint)));
        wanted
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    /// A device whose peer is at `endpoint`; its last handshake was so many seconds ago.
    fn device(endpoint: &str, handshake: Option<i64>) -> Vec<(LinkIndex, Wireguard)> {
        let at = |ago: i64| match u64::try_from(ago) {
            Ok(ago) => now() - Duration::from_secs(ago),
            Err(_) => now() + Duration::from_secs(ago.unsigned_abs()),
        };
        let state = WireguardPeerState {
            peer: peer(endpoint),
            last_handshake: handshake.map(at),
            received: 0,
            sent: 0,
        };
        let device = Wireguard {
            peers: vec![state],
            ..Wireguard::default()
        };
        vec![(LINK, device)]
    }

    const PUBLISHED: &str = "192.0.2.1:51820";
    const ELSEWHERE: &str = "198.51.100.9:40000";

    #[test]
    fn a_peer_that_roams_is_left_where_it_is_heard_of() {
        for (what, told, handshake, want, planned) in [
            ("roamed", Some(PUBLISHED), Some(10), PUBLISHED, PUBLISHED),
            (
                "roamed, clock set back",
                Some(PUBLISHED),
                Some(-50),
                PUBLISHED,
                PUBLISHED,
            ),
            (
                "roamed and silent",
                Some(PUBLISHED),
                Some(180),
                PUBLISHED,
                ELSEWHERE,
            ),
            (
                "never heard of",
                Some(PUBLISHED),
                None,
                PUBLISHED,
                ELSEWHERE,
            ),
            ("met at the start", None, Some(10), PUBLISHED, PUBLISHED),
            (
                "met at the start, silent",
                None,
                Some(1000),
                PUBLISHED,
                ELSEWHERE,
            ),
            (
                "published another",
                Some(PUBLISHED),
                Some(10),
                "192.0.2.77:51820",
                PUBLISHED,
            ),
        ] {
            let mut memory = Told::default();
            if let Some(told) = told {
                memory.note(&wanted(told), &HashSet::new());
            }
            let seen = memory.seen(&device(ELSEWHERE, handshake), &wanted(want), now());
            assert_eq!(seen, [(LINK, peer(planned))], "{what}");
        }
    }

    #[test]
    fn what_was_refused_was_not_told_and_what_is_gone_is_forgotten() {
        let mut memory = Told::default();
        let refused = Change::SetWireguardPeer(LINK, peer(PUBLISHED));
        memory.note(&wanted(PUBLISHED), &told_by([&refused]));
        assert!(memory.0.is_empty());
        memory.note(&wanted(PUBLISHED), &HashSet::new());
        assert_eq!(memory.0.len(), 1);
        memory.note(&Wanted::default(), &HashSet::new());
        assert!(memory.0.is_empty());
    }

    #[test]
    fn a_peer_that_nobody_wants_stays_as_it_is() {
        let seen = Told::default().seen(&device(ELSEWHERE, Some(1)), &Wanted::default(), now());
        assert_eq!(seen, [(LINK, peer(ELSEWHERE))]);
    }
}

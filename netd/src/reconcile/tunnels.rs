//! Where WireGuard peers are. A peer that sends from another address than it published (behind NAT,
//! with two interfaces) moves its endpoint by that, and it is right: the kernel believes only who has
//! the key. So an endpoint is compared with the one that this process told the kernel, as long as
//! the peer is heard of; one that is silent is looked for where its lease says.
//!
//! Pure but for the memory.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use backend::Wanted;
use kernel::{Change, LinkIndex, PublicKey, Wireguard, WireguardPeer, WireguardPeerState};

use crate::stamp::Stamp;

/// A session ends this long after its handshake (the WireGuard paper's Reject-After-Time): who has
/// not made another one by then is not heard of.
const SESSION: Duration = Duration::from_secs(180);

/// What names a peer.
pub(super) type Key = (LinkIndex, PublicKey);

/// What is remembered of each peer.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Which endpoint the kernel was told.
    endpoints: HashMap<Key, SocketAddr>,
    sessions: HashMap<Key, Session>,
}

/// What the last handshake began.
#[derive(Debug)]
struct Session {
    /// When that was, by the wall clock as it went then.
    handshake: SystemTime,
    end: Instant,
}

impl Told {
    /// The devices' peers as a plan compares them: with the endpoint that they were told, while they
    /// are heard of; a peer from before this process, with the wanted one.
    pub(super) fn seen(
        &mut self,
        tunnels: Vec<(LinkIndex, Wireguard)>,
        wanted: &Wanted,
        now: Stamp,
    ) -> Vec<(LinkIndex, WireguardPeer)> {
        let peers = tunnels
            .into_iter()
            .flat_map(|(link, device)| device.peers.into_iter().map(move |state| (link, state)));
        peers
            .map(|(link, state)| {
                let key = (link, state.peer.public_key);
                let is_heard_of = self.hears_of(key, &state, now);
                let mut peer = state.peer;
                if is_heard_of {
                    let published = wanted.wireguard.get(&key).and_then(|want| want.endpoint);
                    let told = self.endpoints.get(&key).copied().or(published);
                    peer.endpoint = told.or(peer.endpoint);
                }
                (link, peer)
            })
            .collect()
    }

    /// After a pass: the kernel was told of all wanted peers but those of `untold`.
    pub(super) fn note(&mut self, wanted: &Wanted, untold: &HashSet<Key>) {
        self.endpoints
            .retain(|key, _| wanted.wireguard.contains_key(key));
        self.sessions
            .retain(|key, _| wanted.wireguard.contains_key(key));
        self.learn(wanted, untold);
    }

    /// The same after a step, from what the changed leases wanted to what they want.
    pub(super) fn note_step(&mut self, before: &Wanted, after: &Wanted, untold: &HashSet<Key>) {
        let gone = before.wireguard.keys();
        for key in gone.filter(|key| !after.wireguard.contains_key(key)) {
            self.endpoints.remove(key);
            self.sessions.remove(key);
        }
        self.learn(after, untold);
    }

    fn learn(&mut self, wanted: &Wanted, untold: &HashSet<Key>) {
        for (key, peer) in &wanted.wireguard {
            if let Some(endpoint) = peer.endpoint.filter(|_| !untold.contains(key)) {
                self.endpoints.insert(*key, endpoint);
            }
        }
    }

    /// The kernel tells handshakes by the wall clock. How old one is is taken from that once, when it is new:
    /// a clock that is set meanwhile makes no peer silent. One that was set back makes a handshake one of the
    /// future; it is a recent one all the same.
    fn hears_of(&mut self, key: Key, state: &WireguardPeerState, now: Stamp) -> bool {
        let Some(handshake) = state.last_handshake else {
            return false;
        };
        let age = now.clock.duration_since(handshake).unwrap_or_default();
        let new = || Session {
            handshake,
            end: now.instant + SESSION.saturating_sub(age),
        };
        let session = self.sessions.entry(key).or_insert_with(new);
        if session.handshake != handshake {
            *session = new();
        }
        now.instant < session.end
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

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn now() -> Stamp {
        Stamp {
            instant: Instant::now(),
            clock: SystemTime::UNIX_EPOCH + NOW,
        }
    }

    /// A device whose peer is at `endpoint`; its last handshake was so many seconds ago.
    fn device(endpoint: &str, handshake: Option<i64>) -> Vec<(LinkIndex, Wireguard)> {
        let at = |ago: i64| match u64::try_from(ago) {
            Ok(ago) => SystemTime::UNIX_EPOCH + NOW - Duration::from_secs(ago),
            Err(_) => SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(ago.unsigned_abs()),
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
            let seen = memory.seen(device(ELSEWHERE, handshake), &wanted(want), now());
            assert_eq!(seen, [(LINK, peer(planned))], "{what}");
        }
    }

    #[test]
    fn a_clock_that_is_set_makes_no_peer_silent() {
        let start = now();
        let mut memory = Told::default();
        memory.note(&wanted(PUBLISHED), &HashSet::new());
        let mut planned = |passed, set_by, ago| {
            let now = Stamp {
                instant: start.instant + Duration::from_secs(passed),
                clock: start.clock + Duration::from_secs(passed + set_by),
            };
            let seen = memory.seen(device(ELSEWHERE, Some(ago)), &wanted(PUBLISHED), now);
            seen[0].1.endpoint == PUBLISHED.parse().ok()
        };
        const HOURS: u64 = 30 * 3600;
        assert!(planned(0, 0, 10), "heard of before the clock was set");
        assert!(planned(5, HOURS, 10), "and after it");
        assert!(!planned(170, HOURS, 10), "the session has ended");
        let later = -(i64::try_from(HOURS).expect("seconds") + 171);
        assert!(
            planned(172, HOURS, later),
            "a new handshake, by the new time"
        );
        assert!(planned(173, 0, later), "and the old time again");
        assert!(!planned(172 + 180, 0, later), "the session has ended");
        memory.note(&Wanted::default(), &HashSet::new());
        assert!(memory.sessions.is_empty());
    }

    #[test]
    fn what_was_refused_was_not_told_and_what_is_gone_is_forgotten() {
        let mut memory = Told::default();
        let refused = Change::SetWireguardPeer(LINK, peer(PUBLISHED));
        memory.note(&wanted(PUBLISHED), &told_by([&refused]));
        assert!(memory.endpoints.is_empty());
        memory.note(&wanted(PUBLISHED), &HashSet::new());
        assert_eq!(memory.endpoints.len(), 1);
        memory.note(&Wanted::default(), &HashSet::new());
        assert!(memory.endpoints.is_empty());
    }

    #[test]
    fn a_step_notes_its_own_peers_and_leaves_the_others() {
        let other = WireguardPeer {
            public_key: PublicKey([2; 32]),
            ..peer(ELSEWHERE)
        };
        let mut both = wanted(PUBLISHED);
        assert!(both.add_wireguard_peer(LINK, other));
        let (nothing, none) = (Wanted::default(), HashSet::new());
        let mut memory = Told::default();
        memory.note(&both, &none);
        let endpoint = |memory: &Told| memory.endpoints.get(&(LINK, KEY)).copied();
        memory.note_step(&wanted(PUBLISHED), &wanted(ELSEWHERE), &none);
        assert_eq!(endpoint(&memory), ELSEWHERE.parse().ok());
        let refused = HashSet::from([(LINK, KEY)]);
        memory.note_step(&wanted(ELSEWHERE), &wanted(PUBLISHED), &refused);
        assert_eq!(endpoint(&memory), ELSEWHERE.parse().ok(), "not told");
        memory.seen(device(ELSEWHERE, Some(1)), &both, now());
        memory.note_step(&wanted(ELSEWHERE), &nothing, &none);
        assert_eq!(endpoint(&memory), None);
        assert!(memory.sessions.is_empty());
        assert_eq!(memory.endpoints.len(), 1, "the other one");
    }

    #[test]
    fn a_peer_that_nobody_wants_stays_as_it_is() {
        let seen = Told::default().seen(device(ELSEWHERE, Some(1)), &Wanted::default(), now());
        assert_eq!(seen, [(LINK, peer(ELSEWHERE))]);
    }
}

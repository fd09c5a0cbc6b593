//! Places for connections. There are few, and strangers may hold connections open without ever
//! asking for anything: one that has not asked yet makes room for a new one, and one peer
//! address has a share of the places at most. So the newest connection always gets a place, and
//! has it for as long as it takes to send a request.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Connections served at once on one listener.
pub(super) const PLACES: usize = 32;
/// Of those, for one peer address.
pub(super) const PER_PEER: usize = 8;

/// A connection's number; later ones are larger.
pub(super) type Ticket = u64;

#[derive(Debug)]
struct Holder {
    peer: Option<IpAddr>,
    /// Its request is read: it is being answered.
    complete: bool,
}

/// Who holds the places.
#[derive(Debug, Default)]
pub(super) struct Places {
    holders: BTreeMap<Ticket, Holder>,
    next: Ticket,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has a place.
    Free(Ticket),
    /// It has the place of this other one, which must go.
    InsteadOf(Ticket, Ticket),
    /// All places are taken by connections that are being answered.
    Refused,
}

impl Places {
    /// A new connection, from `peer` where that has an address.
    pub(super) fn admit(&mut self, peer: Option<IpAddr>) -> Admission {
        let of_peer = |holder: &Holder| peer.is_some() && holder.peer == peer;
        let share = self.holders.values().filter(|h| of_peer(h)).count();
        let leaving = if share >= PER_PEER {
            self.oldest_incomplete(of_peer)
        } else if self.holders.len() >= PLACES {
            self.oldest_incomplete(|_| true)
        } else {
            let ticket = self.enter(peer);
            return Admission::Free(ticket);
        };
        match leaving {
            Some(leaving) => {
                self.leave(leaving);
                Admission::InsteadOf(self.enter(peer), leaving)
            }
            None => Admission::Refused,
        }
    }

    /// Its request is read.
    pub(super) fn complete(&mut self, ticket: Ticket) {
        if let Some(holder) = self.holders.get_mut(&ticket) {
            holder.complete = true;
        }
    }

    /// It has ended.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.holders.remove(&ticket);
    }

    fn enter(&mut self, peer: Option<IpAddr>) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let holder = Holder {
            peer,
            complete: false,
        };
        self.holders.insert(ticket, holder);
        ticket
    }

    fn oldest_incomplete(&self, condition: impl Fn(&Holder) -> bool) -> Option<Ticket> {
        let mut holders = self.holders.iter();
        holders
            .find(|(_, holder)| !holder.complete && condition(holder))
            .map(|(ticket, _)| *ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> Option<IpAddr> {
        Some([192, 0, 2, n].into())
    }

    #[test]
    fn one_peer_has_its_share_and_no_more() {
        let mut places = Places::default();
        for at in 0..PER_PEER as u64 {
            assert_eq!(places.admit(peer(1)), Admission::Free(at));
        }
        assert_eq!(places.admit(peer(1)), Admission::InsteadOf(8, 0));
        assert_eq!(places.admit(peer(1)), Admission::InsteadOf(9, 1));
        assert_eq!(
            places.admit(peer(2)),
            Admission::Free(10),
            "others do not suffer"
        );
    }

    #[test]
    fn the_oldest_incomplete_one_makes_room() {
        let mut places = Places::default();
        for at in 0..PLACES as u64 {
            let n = u8::try_from(at).expect("small");
            assert_eq!(places.admit(peer(n)), Admission::Free(at));
        }
        places.complete(0);
        assert_eq!(places.admit(peer(200)), Admission::InsteadOf(32, 1));
        places.leave(0);
        assert_eq!(places.admit(peer(201)), Admission::Free(33));
    }

    #[test]
    fn who_is_being_answered_is_not_sent_away() {
        let mut places = Places::default();
        for at in 0..PER_PEER as u64 {
            places.admit(peer(1));
            places.complete(at);
        }
        assert_eq!(places.admit(peer(1)), Admission::Refused);
        places.leave(3);
        assert_eq!(places.admit(peer(1)), Admission::Free(8));
    }

    #[test]
    fn the_socket_has_no_peers_to_tell_apart() {
        let mut places = Places::default();
        for at in 0..PLACES as u64 {
            assert_eq!(places.admit(None), Admission::Free(at));
        }
        assert_eq!(places.admit(None), Admission::InsteadOf(32, 0));
    }
}

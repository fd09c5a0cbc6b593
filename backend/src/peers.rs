//! The other nodes' leases, of which each reader has its own copy at each change.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use cluster::{LeaseAttrs, Subnets};

/// A piece has at most so many leases: that many are copied when one of them changes.
const MOST: usize = 128;

/// The other nodes' leases, in the order of their subnets. Copies share the pieces that are the same in
/// both, so that neither a copy nor the search for what differs costs more with more leases.
#[derive(Clone, Default)]
pub struct Peers {
    /// None is empty.
    pieces: Vec<Arc<Piece>>,
    len: usize,
}

type Piece = Vec<(Subnets, Arc<LeaseAttrs>)>;

/// A lease of a table.
pub type Lease<'a> = (&'a Subnets, &'a Arc<LeaseAttrs>);

/// Where a lease is, or belongs: its piece, and its place there.
type Place = (usize, usize);

impl Peers {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Who leases these subnets.
    pub fn get(&self, subnets: &Subnets) -> Option<&Arc<LeaseAttrs>> {
        let (piece, place) = self.find(subnets).ok()?;
        Some(&self.pieces[piece][place].1)
    }

    /// Whether somebody leases these subnets.
    pub fn contains_key(&self, subnets: &Subnets) -> bool {
        self.find(subnets).is_ok()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = Lease<'_>> {
        let leases = self.pieces.iter().flat_map(|piece| piece.iter());
        leases.map(|(subnets, attrs)| (subnets, attrs))
    }

    /// Their subnets, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Subnets> {
        self.iter().map(|(subnets, _)| subnets)
    }

    /// Who they are, in the order of the subnets.
    pub fn values(&self) -> impl Iterator<Item = &Arc<LeaseAttrs>> {
        self.iter().map(|(_, attrs)| attrs)
    }

    /// Adds a lease, and returns the one that was in its place.
    pub fn insert(&mut self, subnets: Subnets, attrs: Arc<LeaseAttrs>) -> Option<Arc<LeaseAttrs>> {
        match self.find(&subnets) {
            Ok((piece, place)) => {
                let lease = &mut Arc::make_mut(&mut self.pieces[piece])[place];
                Some(std::mem::replace(&mut lease.1, attrs))
            }
            Err(place) => {
                self.insert_at(place, (subnets, attrs));
                None
            }
        }
    }

    fn insert_at(&mut self, (at, place): Place, lease: (Subnets, Arc<LeaseAttrs>)) {
        self.len += 1;
        let Some(piece) = self.pieces.get_mut(at) else {
            self.pieces.push(Arc::new(vec![lease]));
            return;
        };
        let piece = Arc::make_mut(piece);
        piece.insert(place, lease);
        if piece.len() > MOST {
            let rest = piece.split_off(MOST / 2);
            self.pieces.insert(at + 1, Arc::new(rest));
        }
    }

    /// Takes a lease out.
    pub fn remove(&mut self, subnets: &Subnets) -> Option<Arc<LeaseAttrs>> {
        let (at, place) = self.find(subnets).ok()?;
        let (_, attrs) = Arc::make_mut(&mut self.pieces[at]).remove(place);
        self.len -= 1;
        self.tidy(at);
        Some(attrs)
    }

    /// A small piece goes into the one before it: there are never many of them.
    fn tidy(&mut self, at: usize) {
        let len = self.pieces[at].len();
        let fits = |before: usize| self.pieces[before].len() + len <= MOST / 2;
        match at.checked_sub(1) {
            _ if len == 0 => {
                self.pieces.remove(at);
            }
            Some(before) if fits(before) => {
                let piece = self.pieces.remove(at);
                Arc::make_mut(&mut self.pieces[before]).extend(piece.iter().cloned());
            }
            _ => {}
        }
    }

    fn find(&self, subnets: &Subnets) -> Result<Place, Place> {
        let later = self
            .pieces
            .partition_point(|piece| piece.first().is_some_and(|(first, _)| first <= subnets));
        let at = later.saturating_sub(1);
        let Some(piece) = self.pieces.get(at) else {
            return Err((at, 0));
        };
        match piece.binary_search_by(|(other, _)| other.cmp(subnets)) {
            Ok(place) => Ok((at, place)),
            Err(place) => Err((at, place)),
        }
    }

    /// The leases that are not the same in the table `after`, in order: as they are here, and as they are
    /// there.
    pub fn differences<'a>(
        &'a self,
        after: &'a Self,
    ) -> impl Iterator<Item = (Option<Lease<'a>>, Option<Lease<'a>>)> {
        let (mut old, mut new) = (Cursor::of(self), Cursor::of(after));
        std::iter::from_fn(move || {
            loop {
                old.pass_shared(&mut new);
                let order = match (old.lease(), new.lease()) {
                    (None, None) => return None,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((old, _)), Some((new, _))) => old.cmp(new),
                };
                let left = if order.is_le() { old.next() } else { None };
                let right = if order.is_ge() { new.next() } else { None };
                if left != right {
                    return Some((left, right));
                }
            }
        })
    }
}

/// A place between two leases.
struct Cursor<'a> {
    pieces: &'a [Arc<Piece>],
    /// In the first of them.
    place: usize,
}

impl<'a> Cursor<'a> {
    fn of(peers: &'a Peers) -> Self {
        Self {
            pieces: &peers.pieces,
            place: 0,
        }
    }

    fn lease(&self) -> Option<Lease<'a>> {
        let (subnets, attrs) = self.pieces.first()?.get(self.place)?;
        Some((subnets, attrs))
    }

    fn next(&mut self) -> Option<Lease<'a>> {
        let lease = self.lease()?;
        self.place += 1;
        if self.place == self.pieces[0].len() {
            self.next_piece();
        }
        Some(lease)
    }

    fn next_piece(&mut self) {
        self.pieces = &self.pieces[1..];
        self.place = 0;
    }

    /// Passes the pieces that both begin and have in common.
    fn pass_shared(&mut self, other: &mut Self) {
        while let ([one, ..], [another, ..]) = (self.pieces, other.pieces)
            && (self.place, other.place) == (0, 0)
            && Arc::ptr_eq(one, another)
        {
            self.next_piece();
            other.next_piece();
        }
    }
}

impl PartialEq for Peers {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.differences(other).next().is_none()
    }
}

impl Eq for Peers {}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Extend<(Subnets, Arc<LeaseAttrs>)> for Peers {
    fn extend<T: IntoIterator<Item = (Subnets, Arc<LeaseAttrs>)>>(&mut self, leases: T) {
        for (subnets, attrs) in leases {
            self.insert(subnets, attrs);
        }
    }
}

impl FromIterator<(Subnets, Arc<LeaseAttrs>)> for Peers {
    fn from_iter<T: IntoIterator<Item = (Subnets, Arc<LeaseAttrs>)>>(leases: T) -> Self {
        let mut peers = Self::new();
        peers.extend(leases);
        peers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ipnetwork::Ipv4Network;
    use proptest::prelude::*;

    use super::*;

    fn subnets(n: u16) -> Subnets {
        let [high, low] = n.to_be_bytes();
        Subnets {
            v4: Ipv4Network::new([10, high, low, 0].into(), 24).ok(),
            v6: None,
        }
    }

    fn lease(public: u8) -> Arc<LeaseAttrs> {
        Arc::new(LeaseAttrs::new([192, 0, 2, public].into(), None))
    }

    /// Of one lease: somebody leases it, or nobody does.
    type Write = (u16, Option<u8>);

    fn writes(most: usize) -> impl Strategy<Value = Vec<Write>> {
        let subnet = prop_oneof![0..40_u16, 0..600_u16];
        proptest::collection::vec((subnet, proptest::option::weighted(0.6, 0..3_u8)), 0..most)
    }

    /// As a map that is known to be right.
    fn write(peers: &mut Peers, plain: &mut BTreeMap<Subnets, Arc<LeaseAttrs>>, writes: &[Write]) {
        for (n, public) in writes {
            let subnets = subnets(*n);
            let before = match public {
                Some(public) => [
                    peers.insert(subnets, lease(*public)),
                    plain.insert(subnets, lease(*public)),
                ],
                None => [peers.remove(&subnets), plain.remove(&subnets)],
            };
            assert_eq!(before[0], before[1]);
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds(writes in writes(800), asked in 0..600_u16) {
            let (mut peers, mut plain) = (Peers::new(), BTreeMap::new());
            write(&mut peers, &mut plain, &writes);
            prop_assert!(peers.iter().eq(plain.iter()));
            prop_assert_eq!(peers.len(), plain.len());
            prop_assert_eq!(peers.is_empty(), plain.is_empty());
            let asked = subnets(asked);
            prop_assert_eq!(peers.get(&asked), plain.get(&asked));
            prop_assert_eq!(peers.contains_key(&asked), plain.contains_key(&asked));
            let sizes: Vec<_> = peers.pieces.iter().map(|piece| piece.len()).collect();
            prop_assert!(sizes.iter().all(|size| (1..=MOST).contains(size)), "{sizes:?}");
        }

        #[test]
        fn a_copy_differs_in_what_was_written_since(first in writes(600), later in writes(30)) {
            let (mut peers, mut plain) = (Peers::new(), BTreeMap::new());
            write(&mut peers, &mut plain, &first);
            let (before, plain_before) = (peers.clone(), plain.clone());
            write(&mut peers, &mut plain, &later);
            prop_assert!(before.iter().eq(plain_before.iter()), "a copy does not change");
            let wanted: Vec<_> = (0..600)
                .map(subnets)
                .map(|key| (plain_before.get_key_value(&key), plain.get_key_value(&key)))
                .filter(|(before, after)| before != after)
                .collect();
            let found: Vec<_> = before.differences(&peers).collect();
            prop_assert_eq!(found, wanted);
            prop_assert_eq!(before == peers, plain_before == plain);
        }
    }

    #[test]
    fn a_copy_shares_all_but_the_piece_that_changed() {
        let peers: Peers = (0..5000).map(|n| (subnets(n), lease(1))).collect();
        let mut copy = peers.clone();
        copy.insert(subnets(2500), lease(2));
        let pairs = peers.pieces.iter().zip(&copy.pieces);
        let own = pairs
            .filter(|(one, other)| !Arc::ptr_eq(one, other))
            .count();
        assert_eq!(own, 1);
        assert_eq!(peers.differences(&copy).count(), 1);
    }
}

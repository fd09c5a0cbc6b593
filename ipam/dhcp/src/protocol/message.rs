//! The message: fixed fields and options.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Codes of options (RFC 2132; 119 RFC 3397, 121 RFC 3442, 249 its forerunner).
pub(crate) mod option {
    pub(crate) const PAD: u8 = 0;
    pub(crate) const SUBNET_MASK: u8 = 1;
    pub(crate) const ROUTERS: u8 = 3;
    pub(crate) const NAME_SERVERS: u8 = 6;
    pub(crate) const HOST_NAME: u8 = 12;
    pub(crate) const DOMAIN: u8 = 15;
    pub(crate) const STATIC_ROUTES: u8 = 33;
    pub(crate) const REQUESTED_ADDRESS: u8 = 50;
    pub(crate) const LEASE_TIME: u8 = 51;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const MESSAGE_TYPE: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const REQUESTED_OPTIONS: u8 = 55;
    pub(crate) const MESSAGE: u8 = 56;
    pub(crate) const LARGEST_MESSAGE: u8 = 57;
    pub(crate) const RENEWAL_TIME: u8 = 58;
    pub(crate) const REBINDING_TIME: u8 = 59;
    pub(crate) const VENDOR_CLASS: u8 = 60;
    pub(crate) const CLIENT_ID: u8 = 61;
    pub(crate) const USER_CLASS: u8 = 77;
    pub(crate) const SEARCH: u8 = 119;
    pub(crate) const CLASSLESS_ROUTES: u8 = 121;
    pub(crate) const CLASSLESS_ROUTES_OLD: u8 = 249;
    pub(crate) const END: u8 = 255;
}

/// What a message is (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageType {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
    Release = 7,
}

/// A hardware address of Ethernet's length.
pub(crate) type Mac = [u8; 6];

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Fixed fields and cookie.
const HEAD: usize = 240;
/// Relays and servers of BOOTP's time drop shorter ones (RFC 1542, section 2.1).
const SHORTEST: usize = 300;
const BROADCAST: u16 = 0x8000;

/// A message of a client's or to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// By a server.
    pub(crate) is_reply: bool,
    /// By which a client knows its answers.
    pub(crate) xid: u32,
    /// Seconds since the client began to ask.
    pub(crate) secs: u16,
    /// The server shall answer to everybody.
    pub(crate) broadcast: bool,
    /// The address that the client has.
    pub(crate) client: Ipv4Addr,
    /// The address that the client gets.
    pub(crate) yours: Ipv4Addr,
    /// The client's hardware address.
    pub(crate) mac: Mac,
    pub(crate) options: Options,
}

impl Message {
    /// A message in the form in which it is sent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        bytes[0] = if self.is_reply { REPLY } else { REQUEST };
        bytes[1] = ETHERNET;
        bytes[2] = self.mac.len() as u8;
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.secs.to_be_bytes());
        let flags = if self.broadcast { BROADCAST } else { 0 };
        bytes[10..12].copy_from_slice(&flags.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.client.octets());
        bytes[16..20].copy_from_slice(&self.yours.octets());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes[236..HEAD].copy_from_slice(&COOKIE);
        self.options.encode(&mut bytes);
        bytes.push(option::END);
        bytes.resize(bytes.len().max(SHORTEST), option::PAD);
        bytes
    }

    /// A message out of a datagram; `None` for what is none, or not for Ethernet. Options that
    /// are cut off are left out, and what follows them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, options) = bytes.split_at_checked(HEAD)?;
        let is_reply = match head[0] {
            REQUEST => false,
            REPLY => true,
            _ => return None,
        };
        if head[1] != ETHERNET || usize::from(head[2]) != size_of::<Mac>() {
            return None;
        }
        if head[236..] != COOKIE {
            return None;
        }
        Some(Self {
            is_reply,
            xid: u32::from_be_bytes(array(&head[4..8])?),
            secs: u16::from_be_bytes(array(&head[8..10])?),
            broadcast: u16::from_be_bytes(array(&head[10..12])?) & BROADCAST != 0,
            client: Ipv4Addr::from(array::<4>(&head[12..16])?),
            yours: Ipv4Addr::from(array::<4>(&head[16..20])?),
            mac: array(&head[28..34])?,
            options: Options::decode(options, &head[108..236], &head[44..108]),
        })
    }

    /// What the message is; `None` for what no client of ours says or hears.
    pub(crate) fn kind(&self) -> Option<MessageType> {
        use MessageType::{Ack, Discover, Nak, Offer, Release, Request};
        let [code] = *self.options.get(option::MESSAGE_TYPE)? else {
            return None;
        };
        [Discover, Offer, Request, Ack, Nak, Release]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// Options by their codes. What a message holds several times is one value (RFC 3396).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Options(pub(crate) BTreeMap<u8, Vec<u8>>);

impl Options {
    pub(crate) fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    pub(crate) fn set(&mut self, code: u8, value: impl Into<Vec<u8>>) {
        self.0.insert(code, value.into());
    }

    /// The first address of a list of addresses.
    pub(crate) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.addresses(code).next()
    }

    /// Every whole address of a list.
    pub(crate) fn addresses(&self, code: u8) -> impl Iterator<Item = Ipv4Addr> {
        let (addresses, _) = self.get(code).unwrap_or_default().as_chunks::<4>();
        addresses.iter().copied().map(Ipv4Addr::from)
    }

    /// A number of 32 bits.
    pub(crate) fn number(&self, code: u8) -> Option<u32> {
        array(self.get(code)?).map(u32::from_be_bytes)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        for (code, value) in &self.0 {
            let mut rest = value.as_slice();
            loop {
                let (piece, more) = rest.split_at(rest.len().min(255));
                bytes.extend([*code, piece.len() as u8]);
                bytes.extend(piece);
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    /// `file` and `name` hold options where option 52 says so, in this order (RFC 3396, 5).
    fn decode(options: &[u8], file: &[u8], name: &[u8]) -> Self {
        const IN_FILE: u8 = 1;
        const IN_NAME: u8 = 2;
        let mut found = Self::default();
        found.collect(options);
        let overload = match found.get(option::OVERLOAD) {
            Some([fields]) => *fields,
            _ => 0,
        };
        if overload & IN_FILE != 0 {
            found.collect(file);
        }
        if overload & IN_NAME != 0 {
            found.collect(name);
        }
        found
    }

    fn collect(&mut self, mut bytes: &[u8]) {
        while let [code, rest @ ..] = bytes {
            bytes = match (*code, rest) {
                (option::PAD, rest) => rest,
                (option::END, _) => return,
                (code, [length, rest @ ..]) => {
                    let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
                        return;
                    };
                    self.0.entry(code).or_default().extend(value);
                    rest
                }
                _ => return,
            };
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(options: Options) -> Message {
        Message {
            is_reply: true,
            xid: 0x1234_5678,
            secs: 7,
            broadcast: true,
            client: Ipv4Addr::new(10, 0, 0, 1),
            yours: Ipv4Addr::new(10, 0, 0, 2),
            mac: [2, 0, 0, 0, 0, 9],
            options,
        }
    }

    #[test]
    fn options_in_other_fields_and_in_pieces_are_found() {
        let mut options = Options::default();
        options.set(option::OVERLOAD, [3]);
        options.set(option::CLASSLESS_ROUTES, [1, 2]);
        let mut bytes = message(options).encode();
        bytes[108..113].copy_from_slice(&[option::CLASSLESS_ROUTES, 1, 3, option::END, 9]);
        bytes[44..49].copy_from_slice(&[option::PAD, option::CLASSLESS_ROUTES, 2, 4, 5]);
        let found = Message::decode(&bytes).unwrap();
        assert_eq!(
            found.options.get(option::CLASSLESS_ROUTES),
            Some(&[1, 2, 3, 4, 5][..])
        );
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let mut options = Options::default();
        options.set(option::SUBNET_MASK, [255, 255, 255, 0]);
        options.set(option::ROUTERS, [10, 0, 0, 1, 10, 0]);
        let mut bytes = message(options).encode();
        let found = Message::decode(&bytes).unwrap();
        assert_eq!(found.options.addresses(option::ROUTERS).count(), 1);
        bytes.truncate(HEAD + 7);
        let found = Message::decode(&bytes).unwrap();
        assert_eq!(
            found.options.0.keys().collect::<Vec<_>>(),
            [&option::SUBNET_MASK]
        );
        bytes.truncate(HEAD - 1);
        assert_eq!(Message::decode(&bytes), None);
    }

    #[test]
    fn what_is_no_message_is_none() {
        let good = message(Options::default()).encode();
        for (place, byte) in [(0, 3), (1, 6), (2, 16), (236, 0)] {
            let mut bytes = good.clone();
            bytes[place] = byte;
            assert_eq!(Message::decode(&bytes), None, "{place}");
        }
        assert_eq!(Message::decode(&good).unwrap().kind(), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(found) = Message::decode(&bytes) {
                let _ = found.kind();
            }
        }

        #[test]
        fn a_message_with_any_options_is_read_as_written(
            options in prop::collection::btree_map(1_u8..=254, prop::collection::vec(any::<u8>(), 0..600), 0..6)
        ) {
            let mut options = Options(options);
            options.0.remove(&option::OVERLOAD);
            let written = message(options);
            prop_assert_eq!(Message::decode(&written.encode()), Some(written));
        }
    }
}

//! What a rule's expressions have put into registers so far.

use super::{find_number, find_value};
use crate::nft::{
    field::{Field, Origin},
    kind,
};

/// The content of one register.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// From the packet or the kernel, perhaps with a mask and bits to turn over.
    Loaded(Origin, Option<(&'a [u8], &'a [u8])>),
    /// The same in network order, of a number that the kernel knows.
    Ordered(Origin),
    /// A constant.
    Bytes(&'a [u8]),
    /// What a map says.
    Mapped(&'a str),
}

/// Contents by register, in words of four bytes from the first.
#[derive(Default)]
pub(super) struct Registers<'a> {
    contents: Vec<(usize, Content<'a>)>,
    /// The key of the latest look-up in a map.
    pub(super) key: Vec<Field>,
}

/// NFT_REG_1 to NFT_REG_4 are of 16 bytes, NFT_REG32_00 and on the same memory in words.
fn word(register: u32) -> Option<usize> {
    match register {
        0 => None,
        1..=4 => Some((register as usize - 1) * 4),
        _ => (register as usize).checked_sub(8),
    }
}

impl<'a> Registers<'a> {
    pub(super) fn get(&self, register: u32) -> Option<Content<'a>> {
        let word = word(register)?;
        let found = self.contents.iter().rev().find(|(place, _)| *place == word);
        found.map(|(_, content)| *content)
    }

    /// What is loaded into the first register begins a new key.
    pub(super) fn put(&mut self, register: u32, content: Content<'a>) -> Option<()> {
        let word = word(register)?;
        if word == 0 {
            self.contents.clear();
        }
        self.contents.push((word, content));
        Some(())
    }

    pub(super) fn load(&mut self, name: &str, data: &'a [u8]) -> Option<()> {
        let number = |kind| find_number(data, kind);
        let (origin, to) = match name {
            "payload" => (
                Origin::Packet(number(kind::payload::BASE)?, number(kind::payload::OFFSET)?),
                number(kind::payload::TO)?,
            ),
            "meta" => (
                Origin::Meta(number(kind::meta::KEY)?),
                number(kind::meta::TO)?,
            ),
            "ct" => (
                Origin::Conntrack(number(kind::conntrack::KEY)?),
                number(kind::conntrack::TO)?,
            ),
            "fib"
                if number(kind::fib::RESULT)? == kind::fib::ADDRESS_TYPE
                    && number(kind::fib::FLAGS)? == kind::fib::OF_DESTINATION =>
            {
                (Origin::DestinationType, number(kind::fib::TO)?)
            }
            _ => return None,
        };
        self.put(to, Content::Loaded(origin, None))
    }

    pub(super) fn mask(&mut self, data: &'a [u8]) -> Option<()> {
        let from = find_number(data, kind::bitwise::FROM)?;
        let to = find_number(data, kind::bitwise::TO)?;
        let mask = find_value(data, kind::bitwise::MASK)?;
        let xor = find_value(data, kind::bitwise::XOR)?;
        match self.get(from)? {
            Content::Loaded(origin, None) if from == to => {
                self.put(to, Content::Loaded(origin, Some((mask, xor))))
            }
            _ => None,
        }
    }

    pub(super) fn order(&mut self, data: &'a [u8]) -> Option<()> {
        let number = |kind| find_number(data, kind);
        let register = number(kind::byte_order::FROM)?;
        let is_whole = number(kind::byte_order::TO)? == register
            && number(kind::byte_order::OPERATION)? == kind::byte_order::TO_NETWORK
            && number(kind::byte_order::LENGTH)? == number(kind::byte_order::SIZE)?;
        match self.get(register)? {
            Content::Loaded(origin, None) if is_whole => {
                self.put(register, Content::Ordered(origin))
            }
            _ => None,
        }
    }

    /// The fields from the first register on.
    pub(super) fn key(&self) -> Option<Vec<Field>> {
        let field = |(_, content): &(usize, Content<'_>)| match content {
            Content::Loaded(origin, None) => Field::at(*origin),
            _ => None,
        };
        self.contents.iter().map(field).collect()
    }
}

//! Building expressions: a name and attributes, the loading of a value into a register.

use netlink_packet_core::{DefaultNla, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{ExpressionAttribute, Expressions, ListAttribute};

use crate::nft::{
    Verdict,
    field::{Field, Origin},
    kind,
};

/// A register that an expression reads or writes.
#[derive(Clone, Copy)]
pub(super) struct Register(pub(super) u32);

impl Register {
    /// NFT_REG_VERDICT
    pub(super) const VERDICT: Self = Self(0);
    /// NFT_REG_1
    pub(super) const FIRST: Self = Self(1);

    /// The register `bytes` behind the first, in words of four bytes: NFT_REG32_00 and on.
    pub(super) fn behind(bytes: usize) -> Self {
        match bytes {
            0 => Self::FIRST,
            _ => Self(8 + bytes as u32 / 4),
        }
    }
}

/// An expression under construction.
pub(super) struct Expression {
    name: &'static str,
    attributes: Vec<DefaultNla>,
}

impl Expression {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
        }
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.with(number(kind, value))
    }

    pub(super) fn register(self, kind: u16, register: Register) -> Self {
        self.number(kind, register.0)
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.with(text(kind, value))
    }

    /// A value in NFTA_DATA.
    pub(super) fn value(self, kind: u16, value: Vec<u8>) -> Self {
        self.with(nested(kind, &[data(value)]))
    }

    pub(super) fn verdict(self, kind: u16, wanted: &Verdict) -> Self {
        self.with(nested(kind, &[verdict(wanted)]))
    }

    pub(super) fn bytes(self, kind: u16, value: Vec<u8>) -> Self {
        self.with(DefaultNla::new(kind, value))
    }

    fn with(mut self, attribute: DefaultNla) -> Self {
        self.attributes.push(attribute);
        self
    }

    pub(super) fn finish(self) -> ListAttribute<ExpressionAttribute> {
        ListAttribute::from(Expressions::Other {
            expression_type: self.name.to_owned(),
            attributes: self.attributes,
        })
    }
}

/// NFTA_DATA_VALUE
pub(in crate::nft) fn data(value: Vec<u8>) -> DefaultNla {
    DefaultNla::new(kind::data::VALUE, value)
}

/// NFTA_DATA_VERDICT
pub(in crate::nft) fn verdict(verdict: &Verdict) -> DefaultNla {
    let (code, chain) = match verdict {
        Verdict::Accept => (kind::verdict::ACCEPT, None),
        Verdict::Drop => (kind::verdict::DROP, None),
        Verdict::Continue => (kind::verdict::CONTINUE, None),
        Verdict::Return => (kind::verdict::RETURN, None),
        Verdict::Jump(chain) => (kind::verdict::JUMP, Some(chain)),
        Verdict::Goto(chain) => (kind::verdict::GOTO, Some(chain)),
    };
    let mut attributes = vec![DefaultNla::new(
        kind::data::VERDICT_CODE,
        code.to_be_bytes().to_vec(),
    )];
    attributes.extend(chain.map(|chain| text(kind::data::VERDICT_CHAIN, chain)));
    nested(kind::data::VERDICT, &attributes)
}

/// nf_tables takes all numbers big-endian.
pub(in crate::nft) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

/// With a zero behind it.
pub(in crate::nft) fn text(kind: u16, value: &str) -> DefaultNla {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

pub(in crate::nft) fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    use netlink_packet_core::Emitable;
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

/// Loads `length` bytes of `origin`; only a header's have a length.
pub(super) fn load(origin: Origin, length: usize, to: Register) -> Expression {
    match origin {
        Origin::Packet(base, offset) => Expression::new("payload")
            .register(kind::payload::TO, to)
            .number(kind::payload::BASE, base)
            .number(kind::payload::OFFSET, offset)
            .number(kind::payload::LENGTH, length as u32),
        Origin::Meta(key) => Expression::new("meta")
            .number(kind::meta::KEY, key)
            .register(kind::meta::TO, to),
        Origin::Conntrack(key) => Expression::new("ct")
            .number(kind::conntrack::KEY, key)
            .register(kind::conntrack::TO, to),
        Origin::DestinationType => Expression::new("fib")
            .register(kind::fib::TO, to)
            .number(kind::fib::RESULT, kind::fib::ADDRESS_TYPE)
            .number(kind::fib::FLAGS, kind::fib::OF_DESTINATION),
    }
}

/// Loads fields one behind the other, as the key of a concatenation.
pub(super) fn load_key(fields: &[Field]) -> Vec<Expression> {
    let mut behind = 0;
    fields
        .iter()
        .map(|field| {
            let kind = field.key_type();
            let to = Register::behind(behind);
            behind += kind.padded();
            load(field.origin(), kind.length(), to)
        })
        .collect()
}

pub(super) fn lookup(set: &str) -> Expression {
    Expression::new("lookup")
        .text(kind::lookup::SET, set)
        .register(kind::lookup::FROM, Register::FIRST)
}

/// Keeps the bits of `mask` and turns those of `xor` over.
pub(super) fn bitwise(mask: Vec<u8>, xor: Vec<u8>) -> Expression {
    Expression::new("bitwise")
        .register(kind::bitwise::FROM, Register::FIRST)
        .register(kind::bitwise::TO, Register::FIRST)
        .number(kind::bitwise::LENGTH, mask.len() as u32)
        .value(kind::bitwise::MASK, mask)
        .value(kind::bitwise::XOR, xor)
}

pub(super) fn immediate(value: Vec<u8>, to: Register) -> Expression {
    Expression::new("immediate")
        .register(kind::immediate::TO, to)
        .value(kind::immediate::DATA, value)
}

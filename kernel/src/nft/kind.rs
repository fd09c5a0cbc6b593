//! Attributes and values as `linux/netfilter/nf_tables.h` numbers them, for writing and reading.

/// Of every expression.
pub(super) mod expression {
    pub(in crate::nft) const NAME: u16 = 1;
    pub(in crate::nft) const DATA: u16 = 2;
}

/// NFTA_DATA and NFTA_VERDICT.
pub(super) mod data {
    pub(in crate::nft) const VALUE: u16 = 1;
    pub(in crate::nft) const VERDICT: u16 = 2;
    pub(in crate::nft) const VERDICT_CODE: u16 = 1;
    pub(in crate::nft) const VERDICT_CHAIN: u16 = 2;
}

/// NF_DROP, NF_ACCEPT and NFT_JUMP to NFT_RETURN.
pub(super) mod verdict {
    pub(in crate::nft) const DROP: i32 = 0;
    pub(in crate::nft) const ACCEPT: i32 = 1;
    pub(in crate::nft) const CONTINUE: i32 = -1;
    pub(in crate::nft) const JUMP: i32 = -3;
    pub(in crate::nft) const GOTO: i32 = -4;
    pub(in crate::nft) const RETURN: i32 = -5;
}

/// NFTA_PAYLOAD and NFT_PAYLOAD.
pub(super) mod payload {
    pub(in crate::nft) const TO: u16 = 1;
    pub(in crate::nft) const BASE: u16 = 2;
    pub(in crate::nft) const OFFSET: u16 = 3;
    pub(in crate::nft) const LENGTH: u16 = 4;
    pub(in crate::nft) const LINK_HEADER: u32 = 0;
    pub(in crate::nft) const NETWORK_HEADER: u32 = 1;
    pub(in crate::nft) const TRANSPORT_HEADER: u32 = 2;
}

/// NFTA_META and NFT_META.
pub(super) mod meta {
    pub(in crate::nft) const TO: u16 = 1;
    pub(in crate::nft) const KEY: u16 = 2;
    pub(in crate::nft) const FROM: u16 = 3;
    pub(in crate::nft) const LENGTH: u32 = 0;
    pub(in crate::nft) const PROTOCOL: u32 = 1;
    pub(in crate::nft) const MARK: u32 = 3;
    pub(in crate::nft) const IIFNAME: u32 = 6;
    pub(in crate::nft) const OIFNAME: u32 = 7;
    pub(in crate::nft) const NFPROTO: u32 = 15;
    pub(in crate::nft) const L4PROTO: u32 = 16;
}

/// NFTA_CT and NFT_CT.
pub(super) mod conntrack {
    pub(in crate::nft) const TO: u16 = 1;
    pub(in crate::nft) const KEY: u16 = 2;
    pub(in crate::nft) const FROM: u16 = 4;
    pub(in crate::nft) const STATE: u32 = 0;
    pub(in crate::nft) const STATUS: u32 = 2;
    pub(in crate::nft) const MARK: u32 = 3;
}

/// NFTA_FIB, NFT_FIB_RESULT and NFTA_FIB_F.
pub(super) mod fib {
    pub(in crate::nft) const TO: u16 = 1;
    pub(in crate::nft) const RESULT: u16 = 2;
    pub(in crate::nft) const FLAGS: u16 = 3;
    pub(in crate::nft) const ADDRESS_TYPE: u32 = 3;
    pub(in crate::nft) const OF_DESTINATION: u32 = 2;
}

/// NFTA_BITWISE.
pub(super) mod bitwise {
    pub(in crate::nft) const FROM: u16 = 1;
    pub(in crate::nft) const TO: u16 = 2;
    pub(in crate::nft) const LENGTH: u16 = 3;
    pub(in crate::nft) const MASK: u16 = 4;
    pub(in crate::nft) const XOR: u16 = 5;
}

/// NFTA_CMP and NFT_CMP.
pub(super) mod compare {
    pub(in crate::nft) const FROM: u16 = 1;
    pub(in crate::nft) const OPERATOR: u16 = 2;
    pub(in crate::nft) const DATA: u16 = 3;
    pub(in crate::nft) const EQUAL: u32 = 0;
    pub(in crate::nft) const NOT_EQUAL: u32 = 1;
    pub(in crate::nft) const AT_MOST: u32 = 3;
    pub(in crate::nft) const MORE: u32 = 4;
    pub(in crate::nft) const AT_LEAST: u32 = 5;
}

/// NFTA_BYTEORDER and NFT_BYTEORDER.
pub(super) mod byte_order {
    pub(in crate::nft) const FROM: u16 = 1;
    pub(in crate::nft) const TO: u16 = 2;
    pub(in crate::nft) const OPERATION: u16 = 3;
    pub(in crate::nft) const LENGTH: u16 = 4;
    pub(in crate::nft) const SIZE: u16 = 5;
    pub(in crate::nft) const TO_NETWORK: u32 = 1;
}

/// NFTA_RANGE and NFT_RANGE.
pub(super) mod range {
    pub(in crate::nft) const FROM: u16 = 1;
    pub(in crate::nft) const OPERATOR: u16 = 2;
    pub(in crate::nft) const FIRST: u16 = 3;
    pub(in crate::nft) const LAST: u16 = 4;
    pub(in crate::nft) const EQUAL: u32 = 0;
    pub(in crate::nft) const NOT_EQUAL: u32 = 1;
}

/// NFTA_LOOKUP.
pub(super) mod lookup {
    pub(in crate::nft) const SET: u16 = 1;
    pub(in crate::nft) const FROM: u16 = 2;
    pub(in crate::nft) const TO: u16 = 3;
    pub(in crate::nft) const FLAGS: u16 = 5;
    /// NFT_LOOKUP_F_INV
    pub(in crate::nft) const INVERTED: u32 = 1;
}

/// NFTA_IMMEDIATE.
pub(super) mod immediate {
    pub(in crate::nft) const TO: u16 = 1;
    pub(in crate::nft) const DATA: u16 = 2;
}

/// NFTA_NAT, NFT_NAT, NFTA_MASQ, NFTA_REDIR.
pub(super) mod nat {
    pub(in crate::nft) const TYPE: u16 = 1;
    pub(in crate::nft) const FAMILY: u16 = 2;
    pub(in crate::nft) const ADDRESS: u16 = 3;
    pub(in crate::nft) const PORT: u16 = 5;
    pub(in crate::nft) const FLAGS: u16 = 7;
    pub(in crate::nft) const SOURCE: u32 = 0;
    pub(in crate::nft) const DESTINATION: u32 = 1;
    pub(in crate::nft) const MASQUERADE_FLAGS: u16 = 1;
    pub(in crate::nft) const REDIRECT_PORT: u16 = 1;
    pub(in crate::nft) const REDIRECT_FLAGS: u16 = 3;
}

/// NFTA_LOG.
pub(super) mod log {
    pub(in crate::nft) const PREFIX: u16 = 2;
}

/// NFTA_FLOW.
pub(super) mod offload {
    pub(in crate::nft) const FLOWTABLE: u16 = 1;
}

/// NFTA_FLOWTABLE, NFTA_FLOWTABLE_HOOK and NFTA_DEVICE.
pub(super) mod flowtable {
    pub(in crate::nft) const TABLE: u16 = 1;
    pub(in crate::nft) const NAME: u16 = 2;
    pub(in crate::nft) const HOOK: u16 = 3;
    pub(in crate::nft) const FLAGS: u16 = 7;
    pub(in crate::nft) const HOOK_NUMBER: u16 = 1;
    pub(in crate::nft) const HOOK_PRIORITY: u16 = 2;
    pub(in crate::nft) const DEVICES: u16 = 3;
    pub(in crate::nft) const DEVICE: u16 = 1;
}

/// Of iptables-nft's `match` and `target`.
pub(super) mod extension {
    pub(in crate::nft) const NAME: u16 = 1;
    pub(in crate::nft) const REVISION: u16 = 2;
    pub(in crate::nft) const INFO: u16 = 3;
}

/// NFTA_TABLE and NFT_TABLE_F.
pub(super) mod table {
    pub(in crate::nft) const NAME: u16 = 1;
    pub(in crate::nft) const FLAGS: u16 = 2;
    pub(in crate::nft) const USE: u16 = 3;
    pub(in crate::nft) const USERDATA: u16 = 6;
    pub(in crate::nft) const DORMANT: u32 = 1;
}

/// NFTA_GEN.
pub(super) mod generation {
    pub(in crate::nft) const ID: u16 = 1;
}

/// NFTA_CHAIN and NFTA_HOOK.
pub(super) mod chain {
    pub(in crate::nft) const TABLE: u16 = 1;
    pub(in crate::nft) const NAME: u16 = 3;
    pub(in crate::nft) const HOOK: u16 = 4;
    pub(in crate::nft) const POLICY: u16 = 5;
    pub(in crate::nft) const USE: u16 = 6;
    pub(in crate::nft) const TYPE: u16 = 7;
    pub(in crate::nft) const USERDATA: u16 = 12;
    pub(in crate::nft) const HOOK_NUMBER: u16 = 1;
    pub(in crate::nft) const HOOK_PRIORITY: u16 = 2;
}

/// NFTA_RULE.
pub(super) mod rule {
    pub(in crate::nft) const CHAIN: u16 = 2;
    pub(in crate::nft) const HANDLE: u16 = 3;
    pub(in crate::nft) const EXPRESSIONS: u16 = 4;
    pub(in crate::nft) const USERDATA: u16 = 7;
}

/// NFTA_SET, NFTA_SET_DESC and NFT_SET.
pub(super) mod set {
    pub(in crate::nft) const NAME: u16 = 2;
    pub(in crate::nft) const FLAGS: u16 = 3;
    pub(in crate::nft) const KEY_TYPE: u16 = 4;
    pub(in crate::nft) const DATA_TYPE: u16 = 6;
    pub(in crate::nft) const DESCRIPTION: u16 = 9;
    pub(in crate::nft) const USERDATA: u16 = 13;
    pub(in crate::nft) const CONCATENATION: u16 = 2;
    pub(in crate::nft) const LIST_ELEMENT: u16 = 1;
    pub(in crate::nft) const FIELD_LENGTH: u16 = 1;
    pub(in crate::nft) const HAS_INTERVALS: u32 = 4;
    pub(in crate::nft) const IS_MAP: u32 = 8;
    pub(in crate::nft) const IS_CONCATENATED: u32 = 0x80;
    /// NFT_DATA_VERDICT
    pub(in crate::nft) const VERDICTS: u32 = 0xffff_ff00;
    /// Bytes of `struct nft_verdict`, which nft(8) announces for a verdict map.
    pub(in crate::nft) const VERDICT_LENGTH: u32 = 16;
}

/// NFTA_SET_ELEM and NFT_SET_ELEM.
pub(super) mod element {
    pub(in crate::nft) const LIST: u16 = 3;
    pub(in crate::nft) const KEY: u16 = 1;
    pub(in crate::nft) const DATA: u16 = 2;
    pub(in crate::nft) const FLAGS: u16 = 3;
    pub(in crate::nft) const USERDATA: u16 = 6;
    pub(in crate::nft) const KEY_END: u16 = 10;
    pub(in crate::nft) const IS_END: u32 = 1;
}

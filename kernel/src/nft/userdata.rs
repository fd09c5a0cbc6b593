//! User data: type, length, value records that the kernel stores and nft(8) prints
//! (libnftnl `udata.h`).

use super::{DataType, KeyType, SetType};

/// NFTNL_UDATA_{TABLE,CHAIN,RULE,SET_ELEM}_COMMENT
pub(super) const COMMENT: u8 = 0;
/// NFTNL_UDATA_SET_KEYBYTEORDER
const SET_KEY_BYTE_ORDER: u8 = 0;
/// NFTNL_UDATA_SET_COMMENT
pub(super) const SET_COMMENT: u8 = 7;
/// NFTNL_UDATA_SET_DATABYTEORDER
const SET_DATA_BYTE_ORDER: u8 = 1;
/// BYTEORDER_HOST_ENDIAN and BYTEORDER_BIG_ENDIAN of nft(8): without it nft prints addresses back
/// to front.
const HOST_ENDIAN: u32 = 1;
const BIG_ENDIAN: u32 = 2;
/// NFTNL_UDATA_COMMENT_MAXLEN, in bytes without the closing zero.
pub(super) const COMMENT_LENGTH: usize = 128;

/// One comment record, zero-terminated, cut to what nft(8) accepts as input.
pub(super) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let text = cut(text, COMMENT_LENGTH);
    let mut record = Vec::with_capacity(text.len() + 3);
    record.extend([kind, text.len() as u8 + 1]);
    record.extend(text.as_bytes());
    record.push(0);
    record
}

/// The records of a set or map.
pub(super) fn set(kind: &SetType, text: Option<&str>) -> Vec<u8> {
    let mut records = byte_order(SET_KEY_BYTE_ORDER, &kind.key);
    if let Some(DataType::Values(types)) = &kind.data {
        records.extend(byte_order(SET_DATA_BYTE_ORDER, types));
    }
    if let Some(text) = text {
        records.extend(comment(SET_COMMENT, text));
    }
    records
}

/// Of a concatenation nft(8) takes the order that each field's type has.
fn byte_order(kind: u8, types: &[KeyType]) -> Vec<u8> {
    let order = match types {
        [single] if single.is_host_order() => HOST_ENDIAN,
        _ => BIG_ENDIAN,
    };
    let mut record = vec![kind, 4];
    record.extend(order.to_ne_bytes());
    record
}

/// The comment among `records`, if there is one that is text.
pub(super) fn read_comment(kind: u8, mut records: &[u8]) -> Option<String> {
    while let [found, length, rest @ ..] = records {
        let value = rest.get(..usize::from(*length))?;
        if *found == kind {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return String::from_utf8(text.to_vec()).ok();
        }
        records = &rest[value.len()..];
    }
    None
}

/// The longest prefix of `text` that fits into `length` bytes.
fn cut(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    fn addresses() -> SetType {
        KeyType::Address(Family::V4).into()
    }

    #[test]
    fn writes_what_nft_writes() {
        assert_eq!(comment(COMMENT, "77fa"), b"\x00\x0577fa\x00");
        let mut expected = vec![0, 4];
        expected.extend(2u32.to_ne_bytes());
        expected.extend(b"\x07\x02c\x00");
        assert_eq!(set(&addresses(), Some("c")), expected);
    }

    #[test]
    fn finds_the_comment_behind_other_records() {
        assert_eq!(
            read_comment(SET_COMMENT, &set(&addresses(), Some("mine"))).as_deref(),
            Some("mine")
        );
        assert_eq!(read_comment(SET_COMMENT, &set(&addresses(), None)), None);
    }

    #[test]
    fn cuts_long_comments_between_characters() {
        let text = "ä".repeat(100);
        let stored = comment(COMMENT, &text[..127 / 2 * 2]);
        assert_eq!(read_comment(COMMENT, &stored).unwrap().len(), 126);
        assert_eq!(
            read_comment(COMMENT, &comment(COMMENT, &format!("x{text}")))
                .unwrap()
                .len(),
            127
        );
    }

    #[test]
    fn broken_records_hold_no_comment() {
        for records in [
            &b""[..],
            b"\x00",
            b"\x00\x09ab",
            b"\x01\x00",
            b"\x00\x02\xff\x00",
        ] {
            assert_eq!(read_comment(COMMENT, records), None, "{records:?}");
        }
    }
}

//! Taking the kernel's answers apart. The packet crate's own parser formats the whole buffer into
//! an error text for every attribute, used or not, which makes a dump cost the square of its size.

/// Leaves the two flag bits off an attribute's kind (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;
const HEADER: usize = 4;

/// The attributes in `bytes`, as kind and value; ends at the first that is cut off.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1, ..] = *bytes else {
            return None;
        };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & KIND, value))
    })
}

/// The value of the first attribute of `kind`.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// The number in an attribute; nf_tables sends all of them big-endian.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// The text in an attribute, up to its first zero.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn finds_attributes_behind_padding_and_flags() {
        let mut bytes = attribute(1, b"abc\0d");
        bytes.extend(attribute(2 | 0x8000, &[0, 0, 1, 2]));
        assert_eq!(find(&bytes, 1).and_then(text), Some("abc"));
        assert_eq!(find(&bytes, 2).and_then(number), Some(258));
        assert_eq!(find(&bytes, 3), None);
    }

    #[test]
    fn broken_input_ends_the_list() {
        let whole = attribute(1, b"abcd");
        for cut in 0..whole.len() {
            assert_eq!(attributes(&whole[..cut]).count(), 0, "{cut}");
        }
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
    }
}

//! The Internet checksum (RFC 1071).

use std::net::Ipv4Addr;

/// A sum of 16-bit words in the machine's own order, which the checksum does not depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// With more bytes, at an even place.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // Independent sums, which the compiler makes in parallel; 2^32 of their terms fit.
        let mut lanes = [0_u64; 8];
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        let mut sum: u64 = pairs
            .iter()
            .map(|pair| u64::from(u16::from_ne_bytes(*pair)))
            .sum();
        if let [last] = odd {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        for lane in lanes {
            sum += (lane & 0xffff_ffff) + (lane >> 32);
        }
        Self(fold32(self.0) + fold32(sum))
    }

    /// With what TCP and UDP sum of the IP header; `length` is that of their header and data.
    pub(crate) fn add_pseudo_header(
        self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        length: usize,
    ) -> Self {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&source.octets());
        bytes[4..8].copy_from_slice(&destination.octets());
        bytes[9] = protocol;
        bytes[10..].copy_from_slice(&(length as u16).to_be_bytes());
        self.add(&bytes)
    }

    /// In 16 bits, as they stand in a packet.
    pub(crate) fn folded(self) -> [u8; 2] {
        let mut sum = fold32(self.0);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum as u16).to_ne_bytes()
    }

    /// The checksum, as it stands in a packet.
    pub(crate) fn checksum(self) -> [u8; 2] {
        self.folded().map(|byte| !byte)
    }

    /// Whether bytes that have their checksum in them are right.
    pub(crate) fn is_right(self) -> bool {
        self.folded() == [0xff; 2]
    }
}

fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As RFC 1071 says it.
    fn plainly(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    proptest! {
        #[test]
        fn it_is_that_of_the_rfc(bytes: Vec<u8>, cut in 0..100_usize) {
            prop_assert_eq!(Sum::default().add(&bytes).checksum(), plainly(&bytes));
            let cut = (cut & !1).min(bytes.len() & !1);
            let (a, b) = bytes.split_at(cut);
            prop_assert_eq!(Sum::default().add(a).add(b).checksum(), plainly(&bytes));
        }
    }

    #[test]
    fn a_large_packet_of_ones_does_not_overflow() {
        let bytes = vec![0xff; 65_535];
        assert_eq!(Sum::default().add(&bytes).checksum(), plainly(&bytes));
    }
}

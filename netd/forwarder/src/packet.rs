//! IPv4 packets (RFC 791): what of them the forwarder reads and changes.

use std::net::Ipv4Addr;

use crate::checksum::Sum;

/// The shortest header.
pub(crate) const HEADER: usize = 20;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// `DF`, and what the other bits of the field are: more fragments, and where this one stands.
const FRAGMENT: u16 = 0x3fff;
const LATER_FRAGMENT: u16 = 0x1fff;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its own length, bytes.
    pub(crate) length: usize,
    /// The packet's length, bytes.
    pub(crate) total: usize,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// A fragment of a packet, the first included.
    pub(crate) is_fragment: bool,
    /// A fragment without the next header.
    pub(crate) is_later_fragment: bool,
}

/// Why bytes are no packet that can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fewer bytes than a header has, or than the header says.
    Short,
    /// Not IPv4.
    Version,
    /// The header's checksum is wrong.
    Checksum,
}

impl Header {
    /// Reads the header of a packet; more bytes may follow the packet.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(Fault::Short)?;
        if header[0] >> 4 != 4 {
            return Err(Fault::Version);
        }
        let length = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length < HEADER || total < length || bytes.len() < total {
            return Err(Fault::Short);
        }
        if !Sum::default().add(&bytes[..length]).is_right() {
            return Err(Fault::Checksum);
        }
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        let [.., a, b, c, d, e, f, g, h] = *header;
        Ok(Self {
            length,
            total,
            source: Ipv4Addr::new(a, b, c, d),
            destination: Ipv4Addr::new(e, f, g, h),
            protocol: header[9],
            ttl: header[8],
            is_fragment: fragment & FRAGMENT != 0,
            is_later_fragment: fragment & LATER_FRAGMENT != 0,
        })
    }
}

/// Takes one from the time to live, with the checksum as RFC 1624 corrects it. `false`: it has none
/// left, and the packet ends here.
pub(crate) fn pass_hop(packet: &mut [u8]) -> bool {
    let ttl = packet[8];
    if ttl <= 1 {
        return false;
    }
    let word = |ttl| u16::from_be_bytes([ttl, packet[9]]);
    let checksum = u16::from_be_bytes([packet[10], packet[11]]);
    let mut sum = u32::from(!checksum) + u32::from(!word(ttl)) + u32::from(word(ttl - 1));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[8] = ttl - 1;
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    true
}

/// Puts the checksum into a header of that many bytes.
pub(crate) fn seal(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = Sum::default().add(header).checksum();
    header[10..12].copy_from_slice(&sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;

    #[test]
    fn headers_are_read_as_they_stand() {
        let packet = samples::udp("10.1.0.2", "10.2.0.3", 64, b"x");
        let header = Header::read(&packet).expect("header");
        assert_eq!((header.length, header.total), (20, 29));
        assert_eq!(header.source, Ipv4Addr::new(10, 1, 0, 2));
        assert_eq!(header.destination, Ipv4Addr::new(10, 2, 0, 3));
        assert_eq!((header.protocol, header.ttl), (UDP, 64));
        assert!(!header.is_fragment && !header.is_later_fragment);
    }

    #[test]
    fn what_is_no_packet_is_told_apart() {
        let whole = samples::udp("10.1.0.2", "10.2.0.3", 64, b"x");
        let changed = |at: usize, to: u8| {
            let mut packet = whole.clone();
            packet[at] = to;
            Header::read(&packet).expect_err("a fault")
        };
        assert_eq!(Header::read(&[]), Err(Fault::Short));
        assert_eq!(Header::read(&whole[..19]), Err(Fault::Short));
        assert_eq!(Header::read(&whole[..28]), Err(Fault::Short));
        assert_eq!(changed(0, 0x65), Fault::Version);
        assert_eq!(changed(0, 0x44), Fault::Short);
        assert_eq!(changed(0, 0x4f), Fault::Short);
        assert_eq!(changed(3, 19), Fault::Short);
        assert_eq!(changed(3, 30), Fault::Short);
        assert_eq!(changed(12, 11), Fault::Checksum);
        let mut fragment = whole.clone();
        fragment[6] = 0x20;
        seal(&mut fragment[..20]);
        let header = Header::read(&fragment).expect("header");
        assert!(header.is_fragment && !header.is_later_fragment);
        fragment[7] = 5;
        seal(&mut fragment[..20]);
        assert!(Header::read(&fragment).expect("header").is_later_fragment);
    }

    proptest! {
        #[test]
        fn a_hop_leaves_the_checksum_right(ttl: u8, id: u16, payload: Vec<u8>) {
            let mut packet = samples::udp("10.1.0.2", "10.2.0.3", ttl, &payload);
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            seal(&mut packet[..20]);
            let passed = pass_hop(&mut packet);
            prop_assert_eq!(passed, ttl > 1);
            let header = Header::read(&packet).expect("a right checksum");
            prop_assert_eq!(header.ttl, if passed { ttl - 1 } else { ttl });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Header::read(&bytes);
        }
    }
}

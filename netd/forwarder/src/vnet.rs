//! The header that the kernel puts before each packet of a tun device: how much of the packet is left
//! to whoever takes it (VIRTIO 1.2, 5.1.6; linux/virtio_net.h). In the machine's byte order.

/// Its length, bytes.
pub(crate) const LENGTH: usize = 10;

/// The checksum is not finished.
const NEEDS_CHECKSUM: u8 = 1;
const SEGMENTS_TCP4: u8 = 1;
const SEGMENTS_UDP: u8 = 5;
/// With TCP's: the first segment alone has CWR (RFC 3168).
const ECN: u8 = 0x80;

/// What a packet is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Segments {
    /// One packet as it goes out.
    #[default]
    None,
    /// Several segments of TCP.
    Tcp,
    /// Several datagrams of UDP.
    Udp,
    /// What no tun device of ours asks for.
    Other,
}

/// The header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vnet {
    pub(crate) segments: Segments,
    /// Data of each segment but the last, bytes.
    pub(crate) size: u16,
    /// Headers of each segment, bytes.
    pub(crate) headers: u16,
    /// Where the unfinished checksum's bytes begin, and where from there it stands.
    pub(crate) checksum: Option<(u16, u16)>,
}

impl Vnet {
    pub(crate) fn read(bytes: &[u8; LENGTH]) -> Self {
        let [flags, kind, fields @ ..] = *bytes;
        let (fields, _) = fields.as_chunks::<2>();
        let field = |n: usize| u16::from_ne_bytes(fields[n]);
        Self {
            segments: match kind & !ECN {
                0 => Segments::None,
                SEGMENTS_TCP4 => Segments::Tcp,
                SEGMENTS_UDP => Segments::Udp,
                _ => Segments::Other,
            },
            headers: field(0),
            size: field(1),
            checksum: (flags & NEEDS_CHECKSUM != 0).then(|| (field(2), field(3))),
        }
    }

    pub(crate) fn bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let (start, offset) = self.checksum.unwrap_or_default();
        bytes[0] = self.checksum.map_or(0, |_| NEEDS_CHECKSUM);
        bytes[1] = match self.segments {
            Segments::None | Segments::Other => 0,
            Segments::Tcp => SEGMENTS_TCP4,
            Segments::Udp => SEGMENTS_UDP,
        };
        let fields = [self.headers, self.size, start, offset];
        for (to, field) in bytes[2..].chunks_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for vnet in [
            Vnet::default(),
            Vnet {
                checksum: Some((20, 16)),
                ..Vnet::default()
            },
            Vnet {
                segments: Segments::Tcp,
                size: 1420,
                headers: 52,
                checksum: Some((20, 16)),
            },
            Vnet {
                segments: Segments::Udp,
                size: 1200,
                headers: 28,
                checksum: Some((20, 6)),
            },
        ] {
            assert_eq!(Vnet::read(&vnet.bytes()), vnet);
        }
        let ecn = [1, 0x81, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Vnet::read(&ecn).segments, Segments::Tcp);
        assert_eq!(
            Vnet::read(&[0, 4, 0, 0, 0, 0, 0, 0, 0, 0]).segments,
            Segments::Other
        );
    }
}

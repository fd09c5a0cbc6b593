//! A probe as it is sent: 32 bytes, numbers in network byte order, and zeros up to its size.

/// `pwprobe`, and the version of this form.
const MAGIC: [u8; 8] = *b"pwprobe\x01";
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
/// Bytes without the zeros.
pub(super) const LENGTH: usize = 32;

/// What is asked, or answered with the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) is_answer: bool,
    pub(super) size: Size,
    /// Of the probe, among all of its process.
    pub(super) sequence: u32,
    /// The process that asks, a number drawn by chance: it takes nothing for an answer to it that it
    /// was not.
    pub(super) run: u64,
    /// When that process sent it, microseconds of its own clock.
    pub(super) sent: u64,
}

/// How large a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// As small as it can be.
    Small,
    /// As large as a packet between pods can be.
    Full,
}

impl Message {
    /// The message in a packet of `length` bytes, or as many as it needs.
    pub(super) fn to_bytes(self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length.max(LENGTH));
        bytes.extend(MAGIC);
        bytes.extend([self.kind(), u8::from(self.size == Size::Full), 0, 0]);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.run.to_be_bytes());
        bytes.extend(self.sent.to_be_bytes());
        bytes.resize(length.max(LENGTH), 0);
        bytes
    }

    fn kind(self) -> u8 {
        match self.is_answer {
            true => ANSWER,
            false => REQUEST,
        }
    }

    /// Nothing for what is no probe, or one of a form that this netd does not know.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (&[kind, full, _, _], rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (sent, _) = rest.split_first_chunk()?;
        Some(Self {
            is_answer: match kind {
                REQUEST => false,
                ANSWER => true,
                _ => return None,
            },
            size: match full {
                0 => Size::Small,
                1 => Size::Full,
                _ => return None,
            },
            sequence: u32::from_be_bytes(*sequence),
            run: u64::from_be_bytes(*run),
            sent: u64::from_be_bytes(*sent),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Message = Message {
        is_answer: false,
        size: Size::Full,
        sequence: 7,
        run: 0x0102_0304_0506_0708,
        sent: 9,
    };

    #[test]
    fn what_was_written_is_read_whatever_its_size() {
        for is_answer in [false, true] {
            for size in [Size::Small, Size::Full] {
                let message = Message {
                    is_answer,
                    size,
                    ..MESSAGE
                };
                for length in [0, LENGTH, 1422] {
                    let bytes = message.to_bytes(length);
                    assert_eq!(bytes.len(), length.max(LENGTH));
                    assert_eq!(Message::parse(&bytes), Some(message));
                }
            }
        }
    }

    #[test]
    fn what_is_no_probe_is_nothing() {
        let good = MESSAGE.to_bytes(0);
        for length in 0..LENGTH {
            assert_eq!(Message::parse(&good[..length]), None, "{length}");
        }
        for (at, byte) in [(0, b'x'), (7, 2), (8, 0), (8, 3), (9, 2)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Message::parse(&bad), None, "{at}");
        }
    }
}

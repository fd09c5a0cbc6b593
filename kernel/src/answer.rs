//! Reading what the kernel sends: messages in a datagram, refusals and their words. Pure.

use std::fmt::Display;
use std::io;

use netlink_packet_core::{
    DoneMessage, ErrorMessage, NetlinkBuffer, NetlinkDeserializable, NetlinkMessage, NlasIterator,
};

use crate::Error;

/// Length of `struct nlmsghdr`, which an error carries of the request it answers.
const HEADER: usize = 16;

/// `NLMSGERR_ATTR_MSG`: a text for people.
const ATTRIBUTE_MESSAGE: u16 = 1;

/// Why the kernel refused a request.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) source: io::Error,
    message: Option<String>,
}

impl Refusal {
    /// `None` for an acknowledgement.
    pub(crate) fn from_error(error: &ErrorMessage) -> Option<Self> {
        let attributes = error.header.get(HEADER..).unwrap_or_default();
        error.code.map(|code| Self::new(code.get(), attributes))
    }

    /// `None` for a dump that came to its end.
    pub(crate) fn from_done(done: &DoneMessage) -> Option<Self> {
        (done.code != 0).then(|| Self::new(done.code, &done.extended_ack))
    }

    fn new(code: i32, attributes: &[u8]) -> Self {
        Self {
            source: io::Error::from_raw_os_error(-code),
            message: words(attributes),
        }
    }

    pub(crate) fn into_error(self, operation: &'static str, object: impl Display) -> Error {
        let mut error = Error::new(operation, object, self.source);
        error.message = self.message;
        error
    }
}

/// The kernel's extended acknowledgement, if it has a text.
fn words(attributes: &[u8]) -> Option<String> {
    let text = NlasIterator::new(attributes)
        .map_while(|attribute| attribute.ok())
        .find(|attribute| attribute.kind() == ATTRIBUTE_MESSAGE)?;
    let text = text.value().split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The messages of one datagram. One that cannot be read is an error, not skipped: whoever
/// compares states must not take an unreadable object for a missing one.
pub(crate) fn messages<M: NetlinkDeserializable>(
    datagram: &[u8],
) -> impl Iterator<Item = io::Result<NetlinkMessage<M>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (message, length) = read(rest);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

/// The first message and how many bytes it takes.
fn read<M: NetlinkDeserializable>(datagram: &[u8]) -> (io::Result<NetlinkMessage<M>>, usize) {
    let unreadable = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let length = match NetlinkBuffer::new_checked(datagram) {
        Ok(buffer) => buffer.length() as usize,
        Err(error) => return (Err(unreadable(error)), datagram.len()),
    };
    let message = NetlinkMessage::deserialize(&datagram[..length]).map_err(unreadable);
    (message, length.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkPayload;
    use netlink_packet_route::RouteNetlinkMessage;

    /// An error of `code` with the extended acknowledgement `text`.
    fn error(code: i32, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let padded = (text.len() + 1).next_multiple_of(4);
        let length = (HEADER + 4 + HEADER + 4 + padded) as u32;
        bytes.extend(length.to_ne_bytes());
        bytes.extend(2u16.to_ne_bytes());
        bytes.extend(0x300u16.to_ne_bytes());
        bytes.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(code.to_ne_bytes());
        bytes.extend([0; HEADER]);
        bytes.extend((4 + text.len() as u16 + 1).to_ne_bytes());
        bytes.extend(ATTRIBUTE_MESSAGE.to_ne_bytes());
        bytes.extend(text.as_bytes());
        bytes.resize(length as usize, 0);
        bytes
    }

    #[test]
    fn several_messages_in_a_datagram() {
        let datagram = [error(-17, "File exists"), error(0, "fine")].concat();
        let refusals: Vec<_> = messages::<RouteNetlinkMessage>(&datagram)
            .map(|message| match message.unwrap().payload {
                NetlinkPayload::Error(error) => Refusal::from_error(&error),
                payload => panic!("{payload:?}"),
            })
            .collect();
        let [Some(refusal), None] = refusals.as_slice() else {
            panic!("{refusals:?}")
        };
        assert_eq!(refusal.source.raw_os_error(), Some(17));
        assert_eq!(refusal.message.as_deref(), Some("File exists"));
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let datagram = error(-17, "File exists");
        for length in 1..datagram.len() {
            let read: Vec<_> = messages::<RouteNetlinkMessage>(&datagram[..length]).collect();
            assert!(
                matches!(read.as_slice(), [Err(_)]),
                "{length} bytes: {read:?}"
            );
        }
        assert_eq!(messages::<RouteNetlinkMessage>(&[]).count(), 0);
    }
}

//! The netlink socket: one datagram out, the kernel's answers back.

use std::{io, sync::Arc, thread, time::Duration};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterProtoFamily, nftables::NfTablesMessage,
};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};

use super::{Transaction, closing};
use crate::framing::append;
use crate::{Error, Result};

/// Holds the largest answer: the kernel fills dump buffers up to 32 KiB.
const RECEIVE_BUFFER: usize = 65_536;
/// What every socket can send at once (net.core.wmem_default is 212,992), the kernel's overhead left off.
/// For more, CAP_NET_ADMIN gives it a larger buffer, twice of what is asked for.
const SEND_BUFFER: usize = 196_608;
/// A ruleset that changes during this many reads in a row is not going to rest.
const DUMP_ATTEMPTS: u32 = 100;
/// How much longer each attempt waits than the one before, up to ten times this.
const DUMP_PAUSE: Duration = Duration::from_micros(500);

/// struct nfgenmsg: family, version, resource; before the attributes of every object.
const NETFILTER_HEADER: usize = 4;

/// One message from the kernel.
struct Answer<'a> {
    sequence: u32,
    flags: u16,
    content: Content<'a>,
}

enum Content<'a> {
    /// An object's attributes.
    Object(&'a [u8]),
    /// The end: zero, or an errno.
    End(i32),
}

/// A netlink socket for nftables, in the network namespace of the thread that opened it.
///
/// From a deletion on, sockets are not closed with their `Nft` but put aside: see
/// [`leave_closing_to_child`](super::leave_closing_to_child).
pub struct Nft {
    socket: Arc<Socket>,
    has_deleted: bool,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Drop for Nft {
    fn drop(&mut self) {
        if self.has_deleted || closing::is_any_put_aside() {
            closing::put_aside(Arc::clone(&self.socket));
        }
    }
}

impl Nft {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// EPROTONOSUPPORT where the kernel has no netfilter netlink at all. A kernel without
    /// nf_tables shows at the first request: see [`is_unsupported`](Self::is_unsupported).
    pub fn open() -> Result<Self> {
        crate::netns::require_home()?;
        let fail = |source| Error::new("open", "nftables netlink socket", source);
        closing::close_what_is_due();
        // Not connected: an unbound netlink socket sends to the kernel, and is bound by that.
        let socket = Socket::new(NETLINK_NETFILTER).map_err(fail)?;
        Ok(Self {
            socket: Arc::new(socket),
            has_deleted: false,
            buffer: Vec::with_capacity(RECEIVE_BUFFER),
            sequence: 0,
        })
    }

    /// Opens a socket in `namespace`.
    ///
    /// # Errors
    /// As [`open`](Self::open), and what entering the namespace gives.
    pub fn open_in(namespace: &crate::NetNs) -> Result<Self> {
        namespace.run(Self::open)?
    }

    /// Whether `error` says that this kernel has no nf_tables.
    pub fn is_unsupported(error: &Error) -> bool {
        matches!(
            error.errno(),
            Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL)
        )
    }

    /// Whether `error` says that the ruleset changed since [`generation`](Self::generation).
    pub fn is_outdated(error: &Error) -> bool {
        error.errno() == Some(libc::ERESTART)
    }

    /// Applies `transaction`, all of it or nothing.
    ///
    /// # Errors
    /// The first step that the kernel refused, by operation and object, with its errno;
    /// `commit nftables transaction` when the kernel refused the whole.
    pub fn commit(&mut self, mut transaction: Transaction) -> Result<()> {
        if transaction.is_empty() {
            return Ok(());
        }
        transaction.finish();
        self.has_deleted |= transaction.leaves_garbage;
        let whole = |source| Error::new("commit", "nftables transaction", source);
        if transaction.bytes.len() > SEND_BUFFER {
            setsockopt(
                &*self.socket,
                sockopt::SndBufForce,
                &transaction.bytes.len(),
            )
            .map_err(|errno| whole(errno.into()))?;
        }
        self.socket.send(&transaction.bytes, 0).map_err(whole)?;
        self.read_verdict(transaction.steps.len() as u32)
            .map_err(|(sequence, source)| {
                match transaction.steps.get((sequence as usize).wrapping_sub(1)) {
                    Some((operation, object)) => Error::new(operation, object, source),
                    None => whole(source),
                }
            })
    }

    /// The kernel has queued all answers when `send` returns, in the order of the messages. The
    /// acknowledgement of the latest one, with no refusal before it, means success.
    fn read_verdict(&mut self, latest: u32) -> std::result::Result<(), (u32, io::Error)> {
        let mut refusal = None;
        loop {
            match self.receive(libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let silence = || (0, io::Error::other("no answer from the kernel"));
                    return Err(refusal.unwrap_or_else(silence));
                }
                received => received.map_err(|error| (0, error))?,
            }
            for answer in answers(&self.buffer) {
                let answer = answer.map_err(|error| (0, error))?;
                match answer.content {
                    Content::End(0) if answer.sequence == latest && refusal.is_none() => {
                        return Ok(());
                    }
                    Content::End(errno) if errno != 0 && refusal.is_none() => {
                        refusal = Some((answer.sequence, io::Error::from_raw_os_error(errno)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Asks for one object and reads its attributes with `read`; `None` when it does not exist.
    pub(super) fn get<T>(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let sequence = self.request(family, message, 0)?;
        loop {
            self.receive(0)?;
            for answer in answers(&self.buffer) {
                let answer = answer?;
                match answer.content {
                    _ if answer.sequence != sequence => {}
                    Content::Object(attributes) => return Ok(read(attributes)),
                    Content::End(0 | libc::ENOENT) => return Ok(None),
                    Content::End(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    /// Lists objects, from one consistent state of the ruleset, each message's attributes read
    /// with `read`; nothing when their container does not exist.
    pub(super) fn dump<T>(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
        read: impl Fn(&[u8], &mut Vec<T>),
    ) -> io::Result<Vec<T>> {
        // The kernel flags an interrupted dump of everything but set elements.
        let is_flagged = !matches!(message, NfTablesMessage::GetSetElement(_));
        for attempt in 0..DUMP_ATTEMPTS {
            let objects = if is_flagged {
                self.dump_once(family, message.clone(), &read)?
            } else {
                self.dump_unchanged(family, message.clone(), &read)?
            };
            if let Some(objects) = objects {
                return Ok(objects);
            }
            thread::sleep(DUMP_PAUSE * attempt.min(10));
        }
        Err(io::Error::from_raw_os_error(libc::EINTR))
    }

    /// `None` when the ruleset's generation is another afterwards.
    fn dump_unchanged<T>(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
        read: impl Fn(&[u8], &mut Vec<T>),
    ) -> io::Result<Option<Vec<T>>> {
        let before = self.generation_number()?;
        let objects = self.dump_once(family, message, read)?;
        let after = self.generation_number()?;
        Ok(objects.filter(|_| after == before))
    }

    /// `None` when the kernel says that the ruleset changed in between.
    fn dump_once<T>(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
        read: impl Fn(&[u8], &mut Vec<T>),
    ) -> io::Result<Option<Vec<T>>> {
        let sequence = self.request(family, message, NLM_F_DUMP)?;
        let (mut objects, mut interrupted) = (Vec::new(), false);
        loop {
            self.receive(0)?;
            for answer in answers(&self.buffer) {
                let answer = answer?;
                if answer.sequence != sequence {
                    continue;
                }
                interrupted |= answer.flags & NLM_F_DUMP_INTR != 0;
                match answer.content {
                    Content::Object(attributes) => read(attributes, &mut objects),
                    Content::End(0) if !interrupted => return Ok(Some(objects)),
                    Content::End(0 | libc::EINTR) => return Ok(None),
                    Content::End(libc::ENOENT) => return Ok(Some(Vec::new())),
                    Content::End(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    fn request(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
        flags: u16,
    ) -> io::Result<u32> {
        self.sequence += 1;
        let message = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
        let mut bytes = Vec::with_capacity(256);
        append(&mut bytes, &message, flags, self.sequence);
        self.socket.send(&bytes, 0)?;
        Ok(self.sequence)
    }

    /// Fills the buffer with one datagram.
    fn receive(&mut self, flags: i32) -> io::Result<()> {
        self.buffer.clear();
        while let Err(error) = self.socket.recv(&mut self.buffer, flags) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The messages of one datagram.
fn answers(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<Answer<'_>>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let answer = match NetlinkBuffer::new_checked(datagram) {
            Ok(message) => {
                let length = (message.length() as usize).next_multiple_of(4);
                let answer = answer(&message);
                datagram = datagram.get(length..).unwrap_or_default();
                Ok(answer)
            }
            Err(error) => {
                datagram = &[];
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        };
        Some(answer)
    })
}

fn answer<'a>(message: &NetlinkBuffer<&'a [u8]>) -> Answer<'a> {
    let payload = message.payload();
    let content = match message.message_type() {
        // Both begin with a negative errno; a DONE of old kernels is empty.
        NLMSG_ERROR | NLMSG_DONE => {
            let code = payload
                .first_chunk()
                .map_or(0, |code| i32::from_ne_bytes(*code));
            Content::End(code.saturating_neg())
        }
        _ => Content::Object(payload.get(NETFILTER_HEADER..).unwrap_or_default()),
    };
    Answer {
        sequence: message.sequence_number(),
        flags: message.flags(),
        content,
    }
}

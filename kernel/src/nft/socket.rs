//! The netlink socket: one datagram out, the kernel's answers back.

use std::io;

use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::NfTablesMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::libc;

use super::Transaction;
use crate::{Error, Result};

/// Holds the largest answer: the kernel fills dump buffers up to 32 KiB.
const RECEIVE_BUFFER: usize = 65_536;
/// A ruleset that changes during this many reads in a row is not going to rest.
const DUMP_ATTEMPTS: usize = 100;

type Answer = NetlinkMessage<NetfilterMessage>;

/// A netlink socket for nftables, in the network namespace of the thread that opened it.
pub struct Nft {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Nft {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// EPROTONOSUPPORT where the kernel has no netfilter netlink at all. A kernel without
    /// nf_tables shows at the first request: see [`is_unsupported`](Self::is_unsupported).
    pub fn open() -> Result<Self> {
        let fail = |source| Error::new("open", "nftables netlink socket", source);
        let socket = Socket::new(NETLINK_NETFILTER).map_err(fail)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(fail)?;
        Ok(Self {
            socket,
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
        let whole = |source| Error::new("commit", "nftables transaction", source);
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
            let answers = match self.receive(libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let silence = || (0, io::Error::other("no answer from the kernel"));
                    return Err(refusal.unwrap_or_else(silence));
                }
                answers => answers.map_err(|error| (0, error))?,
            };
            for answer in answers {
                let sequence = answer.header.sequence_number;
                let NetlinkPayload::Error(error) = answer.payload else {
                    continue;
                };
                match error.code {
                    Some(_) => refusal = refusal.or(Some((sequence, error.to_io()))),
                    None if sequence == latest && refusal.is_none() => return Ok(()),
                    None => {}
                }
            }
        }
    }

    /// Asks for one object; `None` when it does not exist.
    pub(super) fn get(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
    ) -> io::Result<Option<NfTablesMessage>> {
        let sequence = self.request(family, message, 0)?;
        loop {
            for answer in self.receive(0)? {
                if answer.header.sequence_number != sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => return Ok(nftables(message)),
                    NetlinkPayload::Error(error) if error.raw_code() == -libc::ENOENT => {
                        return Ok(None);
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// Lists objects, from one consistent state of the ruleset; nothing when their container
    /// does not exist.
    pub(super) fn dump(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
    ) -> io::Result<Vec<NfTablesMessage>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(objects) = self.dump_once(family, message.clone())? {
                return Ok(objects);
            }
        }
        Err(io::Error::from_raw_os_error(libc::EINTR))
    }

    /// `None` when the ruleset changed in between.
    fn dump_once(
        &mut self,
        family: NetfilterProtoFamily,
        message: NfTablesMessage,
    ) -> io::Result<Option<Vec<NfTablesMessage>>> {
        let sequence = self.request(family, message, NLM_F_DUMP)?;
        let (mut objects, mut interrupted) = (Vec::new(), false);
        loop {
            for answer in self.receive(0)? {
                if answer.header.sequence_number != sequence {
                    continue;
                }
                interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                let code = match answer.payload {
                    NetlinkPayload::InnerMessage(message) => {
                        objects.extend(nftables(message));
                        continue;
                    }
                    NetlinkPayload::Done(done) => done.code,
                    NetlinkPayload::Error(error) => error.raw_code(),
                    _ => continue,
                };
                return match -code {
                    0 if !interrupted => Ok(Some(objects)),
                    0 | libc::EINTR => Ok(None),
                    libc::ENOENT => Ok(Some(Vec::new())),
                    errno => Err(io::Error::from_raw_os_error(errno)),
                };
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
        push(&mut bytes, self.sequence, NLM_F_REQUEST | flags, &message);
        self.socket.send(&bytes, 0)?;
        Ok(self.sequence)
    }

    /// One datagram's messages.
    fn receive(&mut self, flags: i32) -> io::Result<Vec<Answer>> {
        self.buffer.clear();
        while let Err(error) = self.socket.recv(&mut self.buffer, flags) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let (mut answers, mut rest) = (Vec::new(), self.buffer.as_slice());
        while !rest.is_empty() {
            let answer = Answer::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let length = (answer.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            answers.push(answer);
        }
        Ok(answers)
    }
}

/// Appends a message with its header.
pub(super) fn push(bytes: &mut Vec<u8>, sequence: u32, flags: u16, message: &NetfilterMessage) {
    let start = bytes.len();
    let mut header = NetlinkHeader::default();
    let body = start + header.buffer_len();
    header.length = (body - start + NetlinkSerializable::buffer_len(message)) as u32;
    header.message_type = message.message_type();
    header.flags = flags;
    header.sequence_number = sequence;
    bytes.resize(start + header.length as usize, 0);
    header.emit(&mut bytes[start..body]);
    message.serialize(&mut bytes[body..]);
}

fn nftables(message: NetfilterMessage) -> Option<NfTablesMessage> {
    match message.inner {
        NetfilterMessageInner::NfTables(message) => Some(message),
        _ => None,
    }
}

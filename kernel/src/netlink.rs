//! One request path and one dump path over route netlink and generic netlink.
//!
//! The messages are those of the netlink-packet crates; the transport is this module: every
//! send is acknowledged, errno and the kernel's words are kept, several messages go in one
//! send, and an interrupted dump is read again. The kernel works a request off inside the send
//! and queues the answers before it returns, so one request costs one send and one receive per
//! answer, nothing ever waits for an answer, and requests are plain calls (decision 0006). Most
//! take microseconds; deleting a link takes some 20 ms.
//!
//! Reading needs no capabilities, changing needs CAP_NET_ADMIN in the user namespace that owns
//! the network namespace.

use std::fmt::Display;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NetlinkDeserializable, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;

use crate::answer::{self, Refusal};
use crate::framing::append;
use crate::generic::Generic;
use crate::{Error, NetNs, Result, if_there};

/// Above the 32 KiB that the kernel puts into one datagram of a dump, and above its largest
/// single message.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// How often a dump is begun before the state counts as changing too fast to be read.
const DUMP_ATTEMPTS: u32 = 5;

/// A route-netlink socket of one network namespace: the one it was opened in, for ever.
///
/// Cheap to clone; clones share the socket and take turns.
#[derive(Clone)]
pub struct Netlink {
    connection: Arc<Mutex<Connection>>,
    /// Opened when it is needed first, in the same namespace.
    generic: Arc<Mutex<Option<Generic>>>,
}

/// What goes over a netlink socket of some protocol, there and back.
pub(crate) trait Message: NetlinkSerializable + NetlinkDeserializable {}

impl<M: NetlinkSerializable + NetlinkDeserializable> Message for M {}

/// A message to send, with the flags beyond request and acknowledge.
pub(crate) struct Request<M = RouteNetlinkMessage> {
    pub(crate) message: M,
    pub(crate) flags: u16,
}

/// What came back for one request: the object asked for or echoed, if any.
type Answer<M> = std::result::Result<Option<M>, Refusal>;

/// Whether a request was carried out.
pub(crate) type Done = std::result::Result<(), Refusal>;

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// No descriptors or memory left.
    pub fn open() -> Result<Self> {
        crate::netns::require_home()?;
        Self::from_socket(open_socket())
    }

    /// Opens a socket in `ns`: steps in, opens, steps out.
    ///
    /// # Errors
    /// `ns` cannot be entered, or no descriptors or memory are left.
    pub fn open_in(ns: &NetNs) -> Result<Self> {
        Self::from_socket(ns.step_in(open_socket)?)
    }

    fn from_socket(socket: io::Result<Socket>) -> Result<Self> {
        let socket = socket.map_err(|source| Error::new("open", "route netlink socket", source))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(Connection::new(socket))),
            generic: Arc::default(),
        })
    }

    /// Sends one request and returns the object that the kernel answers with, if any.
    pub(crate) fn request(
        &self,
        operation: &'static str,
        object: impl Display,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<RouteNetlinkMessage>> {
        let answers = self.request_all(operation, object, &[Request { message, flags }])?;
        Ok(answers.into_iter().next().flatten())
    }

    /// Sends requests about one object together and returns what the kernel answers to each, or
    /// its first refusal.
    pub(crate) fn request_all(
        &self,
        operation: &'static str,
        object: impl Display,
        requests: &[Request],
    ) -> Result<Vec<Option<RouteNetlinkMessage>>> {
        let answers = self.lock().exchange(requests);
        let answers = answers.map_err(|source| Error::new(operation, &object, source))?;
        let refused = |refusal: Refusal| refusal.into_error(operation, &object);
        answers
            .into_iter()
            .map(|answer| answer.map_err(refused))
            .collect()
    }

    /// Asks for one object; `None` when there is none.
    pub(crate) fn get(
        &self,
        operation: &'static str,
        object: impl Display,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>> {
        Ok(if_there(self.request(operation, object, message, 0))?.flatten())
    }

    /// Reads all objects of a kind and keeps those that `select` takes.
    pub(crate) fn dump<T>(
        &self,
        operation: &'static str,
        object: impl Display,
        message: RouteNetlinkMessage,
        mut select: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>> {
        let take = |found: &mut Vec<T>, message| found.extend(select(message));
        self.lock().dump_whole(operation, object, &message, take)
    }

    /// The number of the socket, by which the kernel names in announcements who asked for a change.
    pub(crate) fn port(&self) -> io::Result<u32> {
        let mut connection = self.lock();
        let mut address = SocketAddr::new(0, 0);
        connection.socket.get_address(&mut address)?;
        // It has one from its first request on, or when it is told to.
        if address.port_number() == 0 {
            address = connection.socket.bind_auto()?;
        }
        Ok(address.port_number())
    }

    /// Runs `f` with the generic netlink socket of this namespace.
    pub(crate) fn with_generic<T>(&self, f: impl FnOnce(&mut Generic) -> Result<T>) -> Result<T> {
        let mut place = self.generic.lock().unwrap_or_else(PoisonError::into_inner);
        let generic = match place.take() {
            Some(generic) => generic,
            None => Generic::open_beside(&self.lock().socket)?,
        };
        f(place.insert(generic))
    }

    /// For several exchanges that nobody shall come between on this socket.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic half-way leaves at most answers that the next exchange skips.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a dump shows one moment.
pub(crate) enum Consistency {
    Whole,
    Changed,
}

/// How a dump ended, or why the kernel stopped it.
type Dump = std::result::Result<Consistency, Refusal>;

/// Reads again and again until one moment is seen, each time into a new `S`.
pub(crate) fn read_whole<S: Default>(
    operation: &'static str,
    object: impl Display,
    mut read: impl FnMut(&mut S) -> io::Result<Dump>,
) -> Result<S> {
    for _ in 0..DUMP_ATTEMPTS {
        let mut found = S::default();
        let dump = read(&mut found);
        match dump.map_err(|source| Error::new(operation, &object, source))? {
            Ok(Consistency::Changed) => continue,
            Ok(Consistency::Whole) => return Ok(found),
            Err(refusal) => return Err(refusal.into_error(operation, &object)),
        }
    }
    let changing = io::Error::new(io::ErrorKind::Interrupted, "state changed while reading");
    Err(Error::new(operation, object, changing))
}

/// The socket and its buffers. Answers are told apart by sequence numbers, so answers to a request
/// that was given up are skipped by the next.
pub(crate) struct Connection {
    socket: Socket,
    sequence: u32,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            sequence: 0,
            incoming: Vec::with_capacity(RECEIVE_BUFFER),
            outgoing: Vec::new(),
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends all requests in one datagram and collects one answer for each, in their order.
    ///
    /// # Errors
    /// Nothing was sent, or answers were lost: ENOBUFS when the socket's receive buffer overran.
    pub(crate) fn exchange<M: Message>(
        &mut self,
        requests: &[Request<M>],
    ) -> io::Result<Vec<Answer<M>>> {
        let sequences = self.send(
            requests
                .iter()
                .map(|request| (&request.message, NLM_F_ACK | request.flags)),
        )?;
        let mut objects: Vec<Option<M>> = Vec::new();
        objects.resize_with(requests.len(), || None);
        let mut answers: Vec<Option<Answer<M>>> = Vec::new();
        answers.resize_with(requests.len(), || None);
        let mut missing = requests.len();
        let mut overrun = None;
        while missing > 0 {
            self.receive_answer(&mut overrun)?;
            for message in answer::messages(&self.incoming) {
                let message = message?;
                let Some(place) = place(&sequences, message.header.sequence_number) else {
                    continue;
                };
                let answer = match message.payload {
                    NetlinkPayload::InnerMessage(object) => {
                        objects[place] = Some(object);
                        continue;
                    }
                    NetlinkPayload::Error(error) => match Refusal::from_error(&error) {
                        Some(refusal) => Err(refusal),
                        None => Ok(objects[place].take()),
                    },
                    _ => continue,
                };
                missing -= usize::from(answers[place].replace(answer).is_none());
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.ok_or_else(unanswered))
            .collect()
    }

    /// Sends requests that nothing is wanted back of in one datagram, and returns at the place of each whether
    /// it was refused. The kernel works them off in their order and answers a refused one unasked, so that the
    /// last one's acknowledgement stands for all.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub(crate) fn order<M: Message>(&mut self, requests: &[Request<M>]) -> io::Result<Vec<Done>> {
        let mut outcomes = Vec::new();
        outcomes.resize_with(requests.len(), || Ok(()));
        let Some(last) = requests.len().checked_sub(1) else {
            return Ok(outcomes);
        };
        let acknowledged = |place| if place == last { NLM_F_ACK } else { 0 };
        let sequences = self.send(
            (0..)
                .zip(requests)
                .map(|(place, request)| (&request.message, acknowledged(place) | request.flags)),
        )?;
        let mut finished = false;
        while !finished {
            // A refusal may be among what was lost in an overrun, whatever else has come.
            self.receive()?;
            for message in answer::messages::<M>(&self.incoming) {
                let message = message?;
                let place = place(&sequences, message.header.sequence_number);
                if let (Some(place), NetlinkPayload::Error(error)) = (place, message.payload) {
                    outcomes[place] = Refusal::from_error(&error).map_or(Ok(()), Err);
                    finished |= place == last;
                }
            }
        }
        Ok(outcomes)
    }

    /// Reads all objects of a kind, again and again until one moment is seen; `take` puts each message to what that
    /// reading has found.
    pub(crate) fn dump_whole<M: Message, S: Default>(
        &mut self,
        operation: &'static str,
        object: impl Display,
        request: &M,
        mut take: impl FnMut(&mut S, M),
    ) -> Result<S> {
        read_whole(operation, object, |found| {
            self.dump(request, |message| take(found, message))
        })
    }

    fn dump<M: Message>(&mut self, request: &M, mut take: impl FnMut(M)) -> io::Result<Dump> {
        let sequences = self.send([(request, NLM_F_DUMP)])?;
        let mut interrupted = false;
        loop {
            self.receive()?;
            for message in answer::messages(&self.incoming) {
                let message = message?;
                if place(&sequences, message.header.sequence_number).is_none() {
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                let refusal = match message.payload {
                    NetlinkPayload::InnerMessage(object) => {
                        take(object);
                        continue;
                    }
                    NetlinkPayload::Error(error) => Refusal::from_error(&error),
                    NetlinkPayload::Done(done) => Refusal::from_done(&done),
                    _ => continue,
                };
                return Ok(match refusal {
                    Some(refusal) => Err(refusal),
                    None if interrupted => Ok(Consistency::Changed),
                    None => Ok(Consistency::Whole),
                });
            }
        }
    }

    /// Sends messages in one datagram and returns their sequence numbers.
    fn send<'a, M: Message + 'a>(
        &mut self,
        messages: impl IntoIterator<Item = (&'a M, u16)>,
    ) -> io::Result<Range<u32>> {
        let first = self.sequence.wrapping_add(1);
        self.outgoing.clear();
        for (message, flags) in messages {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut self.outgoing, message, flags, self.sequence);
        }
        self.socket
            .send_to(&self.outgoing, &SocketAddr::new(0, 0), 0)?;
        Ok(first..self.sequence.wrapping_add(1))
    }

    /// Receives one datagram: the answer is there already, see the module's text.
    fn receive(&mut self) -> io::Result<()> {
        loop {
            match self.receive_with(libc::MSG_TRUNC) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_overrun(&error) => {
                    self.drain()?;
                    return Err(error);
                }
                outcome => return outcome,
            }
        }
    }

    /// Receives one datagram. What was queued before an overrun still counts: it may be the answer,
    /// and whoever gives up on that does not know whether the kernel did the work.
    fn receive_answer(&mut self, overrun: &mut Option<io::Error>) -> io::Result<()> {
        loop {
            let no_wait = if overrun.is_some() {
                libc::MSG_DONTWAIT
            } else {
                0
            };
            match self.receive_with(libc::MSG_TRUNC | no_wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_overrun(&error) => *overrun = Some(error),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(overrun.take().unwrap_or(error));
                }
                outcome => return outcome,
            }
        }
    }

    fn receive_with(&mut self, flags: i32) -> io::Result<()> {
        self.incoming.clear();
        let length = self.socket.recv(&mut self.incoming, flags)?;
        if length > self.incoming.len() {
            return Err(io::Error::other("answer exceeds the receive buffer"));
        }
        Ok(())
    }

    /// Throws away what waits: after an overrun the kernel drops answers, and says so only once,
    /// until the socket was empty.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            match self.receive_with(libc::MSG_TRUNC | libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if !is_overrun(&error) => return Err(error),
                _ => {}
            }
        }
    }
}

/// Which request an answer belongs to.
fn place(sequences: &Range<u32>, sequence: u32) -> Option<usize> {
    let place = sequence.wrapping_sub(sequences.start);
    (place < sequences.end.wrapping_sub(sequences.start)).then_some(place as usize)
}

/// One request as the kernel reads it, for a socket that is used once.
pub(crate) fn serialise(message: &RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&mut bytes, message, flags, 1);
    bytes
}

pub(crate) fn open_socket() -> io::Result<Socket> {
    let socket = open_socket_of(NETLINK_ROUTE)?;
    // The kernel filters dumps by what the request says instead of ignoring it (Linux 4.20).
    socket.set_netlink_get_strict_chk(true)?;
    Ok(socket)
}

/// A socket of a netlink protocol that gives the kernel's words with an errno, and no copy of the
/// request with it.
pub(crate) fn open_socket_of(protocol: isize) -> io::Result<Socket> {
    let socket = Socket::new(protocol)?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    Ok(socket)
}

/// Messages did not fit into the socket's receive buffer.
pub(crate) fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

fn unanswered() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel gave no answer")
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkMessage;

    use super::*;
    use crate::testing::World;
    use crate::{Change, LinkIndex, Route, RouteKind};

    fn get_lo() -> RouteNetlinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 1;
        RouteNetlinkMessage::GetLink(message)
    }

    #[test]
    fn answers_to_a_request_that_was_given_up_are_skipped() {
        let Some(_world) = World::new() else { return };
        let netlink = Netlink::open().unwrap();
        netlink
            .lock()
            .send([(&get_lo(), NLM_F_ACK), (&get_lo(), 0)])
            .unwrap();
        let none = netlink.link_by_index(LinkIndex(4242)).unwrap();
        assert_eq!(none, None);
        netlink.lock().send([(&get_lo(), NLM_F_DUMP)]).unwrap();
        let lo = netlink.link_by_index(LinkIndex(1)).unwrap();
        assert_eq!(lo.map(|link| link.index), Some(LinkIndex(1)));
    }

    #[test]
    fn a_batch_survives_a_small_receive_buffer() {
        let Some(_world) = World::new() else { return };
        let hole = |first: u8, number: u8| Route {
            kind: RouteKind::Blackhole,
            ..Route::to(format!("{first}.{number}.0.0/16").parse().unwrap())
        };
        // Every other change is refused: there is nothing to delete.
        let pair = |number| {
            let made = Change::ReplaceRoute(hole(10, number));
            [made, Change::DeleteRoute(hole(11, number))]
        };
        let mut changes: Vec<Change> = (0..200).flat_map(pair).collect();
        changes.push(Change::AddAddress(
            LinkIndex(1),
            "10.255.0.1/32".parse().unwrap(),
        ));
        let netlink = Netlink::open().unwrap();
        netlink.lock().socket.set_rx_buf_sz(1u32).unwrap();
        let requests = [(); 100].map(|()| Request {
            message: get_lo(),
            flags: 0,
        });
        let overrun = netlink.lock().exchange(&requests).unwrap_err();
        assert_eq!(overrun.raw_os_error(), Some(libc::ENOBUFS));
        let overrun = netlink.lock().order(&requests).unwrap_err();
        assert_eq!(overrun.raw_os_error(), Some(libc::ENOBUFS));
        let outcomes = netlink.apply(&changes).unwrap();
        assert_eq!(outcomes.len(), changes.len());
        for outcome in outcomes {
            outcome.unwrap();
        }
        let routes = netlink.routes(&Default::default()).unwrap();
        let holes = routes
            .iter()
            .filter(|route| route.kind == RouteKind::Blackhole);
        assert_eq!(holes.count(), 200);
    }
}

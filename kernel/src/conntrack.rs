//! Tracked connections: `conntrack -L` and `conntrack -D`, for those that would outlive the
//! translation they were made by.
//!
//! Needs CAP_NET_ADMIN, also for looking.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, Nla,
};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::libc;

use crate::answer::{self, Refusal};
use crate::{Error, Family, NetNs, Result, if_there};

/// Above the 32 KiB that the kernel puts into one datagram of a dump.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Of linux/netfilter/nfnetlink_conntrack.h, what the message layer has no name for or keeps to itself:
/// IPCTNL_MSG_CT_GET, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT, CTA_ZONE,
/// CTA_TUPLE_ZONE, CTA_FILTER with CTA_FILTER_ORIG_FLAGS and CTA_FILTER_REPLY_FLAGS.
const GET: u8 = 1;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const ZONE: u16 = 18;
const TUPLE_ZONE: u16 = 3;
const FILTER: u16 = 25;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
/// CTA_FILTER_F_CTA_PROTO_NUM and CTA_FILTER_F_CTA_PROTO_DST_PORT of the kernel's nf_internals.h.
const BY_PROTOCOL_AND_PORT: u32 = 1 << 3 | 1 << 5;

/// A tracked connection, as its first packet was before any translation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Number of the protocol: 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// Who sent it, and from which port.
    pub source: SocketAddr,
    /// To whom, before translation.
    pub destination: SocketAddr,
    /// The zone that it is tracked in, if it is in one: the same connection may be in several.
    pub zone: Option<Zone>,
}

/// A number that keeps connections apart which have the same addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Of both directions: `ct zone set`.
    Both(u16),
    /// Of packets in the direction of the first one: `ct original zone set`.
    Original(u16),
}

/// As `conntrack` prints it.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i32::from(self.protocol) {
            libc::IPPROTO_TCP => f.write_str("tcp")?,
            libc::IPPROTO_UDP => f.write_str("udp")?,
            libc::IPPROTO_SCTP => f.write_str("sctp")?,
            protocol => write!(f, "{protocol}")?,
        }
        let (source, destination) = (self.source, self.destination);
        write!(
            f,
            " src={} dst={} sport={} dport={}",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        )?;
        match self.zone {
            Some(Zone::Both(zone)) => write!(f, " zone={zone}"),
            Some(Zone::Original(zone)) => write!(f, " zone-orig={zone}"),
            None => Ok(()),
        }
    }
}

/// Which connections: by protocol, and by destination before translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Number of the protocol: 17 is UDP.
    pub protocol: u8,
    /// Port of the destination.
    pub port: u16,
    /// Address of the destination; `None` is every address of both families.
    pub address: Option<IpAddr>,
}

impl Selection {
    fn takes(&self, connection: &Connection) -> bool {
        connection.protocol == self.protocol
            && connection.destination.port() == self.port
            && self
                .address
                .is_none_or(|address| connection.destination.ip() == address)
    }

    /// Spelt out because the message layer leaves the flag of nesting off the filter. A kernel that
    /// knows no filter sends all connections of the family.
    fn dump_message(&self, family: Family) -> NetfilterMessage {
        let protocol = [
            DefaultNla::new(PROTOCOL, vec![self.protocol]),
            DefaultNla::new(DESTINATION_PORT, self.port.to_be_bytes().to_vec()),
        ];
        let flags = [
            DefaultNla::new(FILTER_ORIGINAL, BY_PROTOCOL_AND_PORT.to_ne_bytes().to_vec()),
            DefaultNla::new(FILTER_REPLY, 0_u32.to_ne_bytes().to_vec()),
        ];
        let attributes = vec![
            nested(TUPLE_ORIGINAL, &[nested(TUPLE_PROTOCOL, &protocol)]),
            nested(FILTER, &flags),
        ];
        let get = ConntrackMessage::Other {
            message_type: GET,
            attributes,
        };
        message(protocol_family(family), get)
    }
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

/// A netlink socket for the connections of one network namespace.
pub struct Conntrack {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Conntrack {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// EPROTONOSUPPORT where the kernel has no netfilter netlink. One without connection tracking
    /// shows at the first request (EINVAL).
    pub fn open() -> Result<Self> {
        crate::netns::require_home()?;
        Self::from_socket(Socket::new(NETLINK_NETFILTER))
    }

    /// Opens a socket in `ns`: steps in, opens, steps out.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `ns` cannot be entered.
    pub fn open_in(ns: &NetNs) -> Result<Self> {
        Self::from_socket(ns.step_in(|| Socket::new(NETLINK_NETFILTER))?)
    }

    fn from_socket(socket: io::Result<Socket>) -> Result<Self> {
        let open = |source| Error::new("open", "conntrack netlink socket", source);
        let socket = socket.map_err(open)?;
        // The answer to a refused request does not carry the request.
        socket.set_cap_ack(true).map_err(open)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(RECEIVE_BUFFER),
        })
    }

    /// The connections that `selection` takes, of protocols with ports, in whatever zone:
    /// `conntrack -L -p PROTOCOL --dport PORT`. The kernel (5.8 and newer) sends no others.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn connections(&mut self, selection: &Selection) -> Result<Vec<Connection>> {
        let mut found = Vec::new();
        for family in Family::ALL {
            if selection
                .address
                .is_none_or(|address| Family::from(address) == family)
            {
                found.extend(self.connections_of(family, selection)?);
            }
        }
        Ok(found)
    }

    fn connections_of(&mut self, family: Family, selection: &Selection) -> Result<Vec<Connection>> {
        let fail = |source| Error::new("list", "connections", source);
        self.send(selection.dump_message(family), NLM_F_DUMP)
            .map_err(fail)?;
        let mut found = Vec::new();
        let end = self.receive(|connection| {
            found.extend(connection.filter(|connection| selection.takes(connection)));
        });
        match end.map_err(fail)? {
            Some(refusal) => Err(refusal.into_error("list", "connections")),
            None => Ok(found),
        }
    }

    /// Forgets a connection: its next packet is a new one's first.
    ///
    /// # Errors
    /// [`is_gone`](Error::is_gone) when there is no such connection.
    pub fn delete_connection(&mut self, connection: &Connection) -> Result<()> {
        const OPERATION: &str = "delete connection";
        let fail = |source| Error::new(OPERATION, connection, source);
        self.send(connection.delete_message(), NLM_F_ACK)
            .map_err(fail)?;
        match self.receive(|_| {}).map_err(fail)? {
            Some(refusal) => Err(refusal.into_error(OPERATION, connection)),
            None => Ok(()),
        }
    }

    /// Forgets all connections that `selection` takes, and returns how many those were:
    /// `conntrack -D -p PROTOCOL --dport PORT`.
    ///
    /// # Errors
    /// The kernel's answer cannot be had. A connection that ends by itself meanwhile is no error.
    pub fn delete_connections(&mut self, selection: &Selection) -> Result<usize> {
        let mut deleted = 0;
        for connection in self.connections(selection)? {
            if if_there(self.delete_connection(&connection))?.is_some() {
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    fn send(&mut self, message: NetfilterMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        Ok(())
    }

    /// Reads what the kernel answers to the latest request, up to its end, which may be a refusal.
    fn receive(&mut self, mut take: impl FnMut(Option<Connection>)) -> io::Result<Option<Refusal>> {
        loop {
            self.buffer.clear();
            let length = self.socket.recv(&mut self.buffer, libc::MSG_TRUNC)?;
            if length > self.buffer.len() {
                return Err(io::Error::other("answer exceeds the receive buffer"));
            }
            for message in answer::messages::<NetfilterMessage>(&self.buffer) {
                let message = message?;
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(object) => take(Connection::from_answer(object)),
                    NetlinkPayload::Error(error) => return Ok(Refusal::from_error(&error)),
                    NetlinkPayload::Done(done) => return Ok(Refusal::from_done(&done)),
                    _ => {}
                }
            }
        }
    }
}

fn message(family: NetfilterProtoFamily, message: ConntrackMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

impl Connection {
    fn delete_message(&self) -> NetfilterMessage {
        let addresses = vec![
            IPTuple::SourceAddress(self.source.ip()),
            IPTuple::DestinationAddress(self.destination.ip()),
        ];
        let protocol = vec![
            ProtoTuple::Protocol(self.protocol.into()),
            ProtoTuple::SourcePort(self.source.port()),
            ProtoTuple::DestinationPort(self.destination.port()),
        ];
        let mut tuple = vec![Tuple::Ip(addresses), Tuple::Proto(protocol)];
        let mut attributes = Vec::new();
        let number = |kind, zone: u16| DefaultNla::new(kind, zone.to_be_bytes().to_vec());
        match self.zone {
            Some(Zone::Both(zone)) => {
                attributes.push(ConntrackAttribute::Other(number(ZONE, zone)));
            }
            Some(Zone::Original(zone)) => tuple.push(Tuple::Other(number(TUPLE_ZONE, zone))),
            None => {}
        }
        attributes.push(ConntrackAttribute::CtaTupleOrig(tuple));
        let family = protocol_family(self.source.ip().into());
        message(family, ConntrackMessage::Delete(attributes))
    }

    /// The connection in an answer; `None` for any other object, and for those without ports.
    fn from_answer(answer: NetfilterMessage) -> Option<Self> {
        let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = answer.inner
        else {
            return None;
        };
        let (mut original, mut zone) = (None, None);
        for attribute in attributes {
            match attribute {
                ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(tuple),
                ConntrackAttribute::Other(other) if other.kind() == ZONE => {
                    zone = Some(Zone::Both(zone_number(&other)?));
                }
                _ => {}
            }
        }
        let connection = Self::from_tuple(original?)?;
        Some(Self {
            zone: connection.zone.or(zone),
            ..connection
        })
    }

    fn from_tuple(tuple: Vec<Tuple>) -> Option<Self> {
        let (mut addresses, mut protocol, mut zone) = (Vec::new(), Vec::new(), None);
        for part in tuple {
            match part {
                Tuple::Ip(found) => addresses = found,
                Tuple::Proto(found) => protocol = found,
                Tuple::Other(other) if other.kind() == TUPLE_ZONE => {
                    zone = Some(Zone::Original(zone_number(&other)?));
                }
                _ => {}
            }
        }
        let (mut source, mut destination) = (None, None);
        for address in addresses {
            match address {
                IPTuple::SourceAddress(ip) => source = Some(ip),
                IPTuple::DestinationAddress(ip) => destination = Some(ip),
                _ => {}
            }
        }
        let (mut number, mut from, mut to) = (None, None, None);
        for part in protocol {
            match part {
                ProtoTuple::Protocol(protocol) => number = Some(protocol.into()),
                ProtoTuple::SourcePort(port) => from = Some(port),
                ProtoTuple::DestinationPort(port) => to = Some(port),
                _ => {}
            }
        }
        Some(Self {
            protocol: number?,
            source: SocketAddr::new(source?, from?),
            destination: SocketAddr::new(destination?, to?),
            zone,
        })
    }
}

fn zone_number(attribute: &DefaultNla) -> Option<u16> {
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    bytes.try_into().ok().map(u16::from_be_bytes)
}

fn protocol_family(family: Family) -> NetfilterProtoFamily {
    match family {
        Family::V4 => NetfilterProtoFamily::IPv4,
        Family::V6 => NetfilterProtoFamily::IPv6,
    }
}

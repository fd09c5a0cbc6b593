//! Changing links: `ip link set`, `bridge link set`.

use std::{fmt, io};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoBridgePort, InfoPortData, InfoPortKind};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::get_message;
use crate::netlink::Request;
use crate::{BridgePort, Error, IfName, Link, LinkIndex, MacAddr, Netlink, Result};

/// What to change of a link; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Administratively up or down.
    pub up: Option<bool>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// Becomes a port of this bridge; `Some(None)` takes it out of its own.
    pub master: Option<Option<LinkIndex>>,
    /// Takes all packets.
    pub promisc: Option<bool>,
    /// Takes all multicast packets.
    pub allmulti: Option<bool>,
    /// Transmit queue length in packets.
    pub tx_queue_len: Option<u32>,
    /// A text that says whose it is, up to 255 bytes; empty removes it.
    pub alias: Option<String>,
    /// Another name.
    pub name: Option<IfName>,
    /// Flags as a bridge port; it must be one, or become one by `master`.
    pub port: Option<BridgePort>,
}

impl Netlink {
    /// Changes a link in one send: `ip link set`, and `bridge link set` for the port's flags.
    ///
    /// The flags of a port that also gets a master are a second message in that send: the kernel
    /// looks for the port before it obeys. The link goes up last, as a port with its flags.
    ///
    /// # Errors
    /// The first refusal; what the kernel did before it stays done.
    pub fn set_link(&self, index: LinkIndex, change: &LinkChange) -> Result<()> {
        let object = Described { index, change };
        self.request_all("set link", object, &change.requests(index))
            .map(drop)
    }

    /// Reads a link, then changes it, in one send, and returns it as it was before: from Linux 6.8 on
    /// the kernel has made up for what was due since the link's carrier came before it shows the
    /// link, and takes the change before anything that only follows from that.
    ///
    /// # Errors
    /// There is no such link; as [`set_link`](Self::set_link).
    pub fn read_and_set_link(&self, index: LinkIndex, change: &LinkChange) -> Result<Link> {
        let object = Described { index, change };
        let mut requests = change.requests(index);
        requests.insert(0, read(index));
        let answers = self.request_all("set link", &object, &requests)?;
        link_in(answers.into_iter().next(), index)
    }

    /// Changes a link, then reads it, in one send: as it is when the kernel has made up for what the change
    /// brings, as in [`read_and_set_link`](Self::read_and_set_link).
    ///
    /// # Errors
    /// As [`set_link`](Self::set_link).
    pub fn set_and_read_link(&self, index: LinkIndex, change: &LinkChange) -> Result<Link> {
        let object = Described { index, change };
        let mut requests = change.requests(index);
        requests.push(read(index));
        let answers = self.request_all("set link", &object, &requests)?;
        link_in(answers.into_iter().last(), index)
    }
}

fn read(index: LinkIndex) -> Request {
    Request {
        message: get_message(LinkUnspec::new_with_index(index.0).build()),
        flags: 0,
    }
}

fn link_in(answer: Option<Option<RouteNetlinkMessage>>, index: LinkIndex) -> Result<Link> {
    let link = answer.flatten().and_then(Link::from_answer);
    link.unwrap_or_else(|| {
        let none = io::ErrorKind::InvalidData.into();
        Err(Error::new("read link", index, none))
    })
}

impl LinkChange {
    fn requests(&self, index: LinkIndex) -> Vec<Request> {
        let link = LinkUnspec::new_with_index(index.0);
        let Some(port) = self.port else {
            return vec![set(self.with_up(self.with_rest(link)))];
        };
        if self.master.is_none() {
            return vec![set_port(self.with_up(self.with_rest(link)), port)];
        }
        let again = LinkUnspec::new_with_index(index.0);
        vec![
            set(self.with_rest(link)),
            set_port(self.with_up(again), port),
        ]
    }

    fn with_up(&self, link: Builder) -> Builder {
        match self.up {
            Some(true) => link.up(),
            Some(false) => link.down(),
            None => link,
        }
    }

    fn with_rest(&self, mut link: Builder) -> Builder {
        if let Some(mtu) = self.mtu {
            link = link.mtu(mtu);
        }
        if let Some(mac) = self.mac {
            link = link.address(mac.0.to_vec());
        }
        if let Some(master) = self.master {
            link = link.controller(master.map_or(0, |master| master.0));
        }
        if let Some(promisc) = self.promisc {
            link = link.promiscuous(promisc);
        }
        if let Some(allmulti) = self.allmulti {
            link = link.allmulticast(allmulti);
        }
        if let Some(packets) = self.tx_queue_len {
            link = link.txqueuelen(packets);
        }
        if let Some(alias) = &self.alias {
            link = link.alias(alias);
        }
        if let Some(name) = &self.name {
            link = link.name(name.as_str());
        }
        link
    }
}

/// `ip link set up`.
pub(crate) fn up_message(index: LinkIndex) -> RouteNetlinkMessage {
    set(LinkUnspec::new_with_index(index.0).up()).message
}

type Builder = LinkMessageBuilder<LinkUnspec>;

fn set(link: Builder) -> Request {
    Request {
        message: RouteNetlinkMessage::SetLink(link.build()),
        flags: 0,
    }
}

/// RTM_NEWLINK without NLM_F_CREATE is RTM_SETLINK that also knows the data of ports.
pub(super) fn set_port(link: Builder, port: BridgePort) -> Request {
    let data = vec![
        InfoBridgePort::HairpinMode(port.hairpin),
        InfoBridgePort::Isolated(port.isolated),
        InfoBridgePort::UnicastFlood(port.flood),
        InfoBridgePort::MulticastFlood(port.mcast_flood),
        InfoBridgePort::BroadcastFlood(port.bcast_flood),
        InfoBridgePort::NeighSupress(port.neigh_suppress),
    ];
    let link = link
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(InfoPortData::BridgePort(data));
    Request {
        message: RouteNetlinkMessage::NewLink(link.build()),
        flags: 0,
    }
}

/// A change in the words of `ip link set`.
struct Described<'a> {
    index: LinkIndex,
    change: &'a LinkChange,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = self.change;
        write!(f, "{}", self.index)?;
        if let Some(mtu) = change.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(mac) = change.mac {
            write!(f, " address {mac}")?;
        }
        match change.master {
            Some(Some(master)) => write!(f, " master {master}")?,
            Some(None) => f.write_str(" nomaster")?,
            None => {}
        }
        if let Some(promisc) = change.promisc {
            write!(f, " promisc {}", on_off(promisc))?;
        }
        if let Some(allmulti) = change.allmulti {
            write!(f, " allmulticast {}", on_off(allmulti))?;
        }
        if let Some(packets) = change.tx_queue_len {
            write!(f, " txqueuelen {packets}")?;
        }
        if let Some(alias) = &change.alias {
            write!(f, " alias {alias:?}")?;
        }
        if let Some(name) = &change.name {
            write!(f, " name {name}")?;
        }
        if let Some(port) = change.port {
            write!(
                f,
                " hairpin {} isolated {}",
                on_off(port.hairpin),
                on_off(port.isolated)
            )?;
        }
        match change.up {
            Some(true) => f.write_str(" up"),
            Some(false) => f.write_str(" down"),
            None => Ok(()),
        }
    }
}

fn on_off(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}

//! Queueing disciplines: `tc qdisc`.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

mod ask;
mod netem;
mod tbf;

use std::fmt;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

pub use self::netem::Netem;
pub use self::tbf::Tbf;
use crate::{LinkIndex, Netlink, Result};

/// TCA_OPTIONS of linux/rtnetlink.h.
const OPTIONS: u16 = 2;

/// The number of a qdisc, or of a class in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The qdisc.
    pub major: u16,
    /// The class; 0 is the qdisc itself.
    pub minor: u16,
}

impl Handle {
    /// Let the kernel choose.
    pub const NONE: Self = Self { major: 0, minor: 0 };
    /// Parent of the qdisc that all leaving packets of a link go through.
    pub const ROOT: Self = Self {
        major: 0xffff,
        minor: 0xffff,
    };
    /// Parent of the qdisc that all arriving packets of a link go through.
    pub const INGRESS: Self = Self {
        major: 0xffff,
        minor: 0xfff1,
    };
    /// The ingress or clsact qdisc itself: `ffff:`.
    pub const INGRESS_QDISC: Self = Self {
        major: 0xffff,
        minor: 0,
    };
}

/// As `tc` prints it, in hexadecimal digits: `1:`, `ffff:fff1`; `root` for the root.
impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ROOT => f.write_str("root"),
            Self { major, minor: 0 } => write!(f, "{major:x}:"),
            Self { major, minor } => write!(f, "{major:x}:{minor:x}"),
        }
    }
}

impl From<Handle> for TcHandle {
    fn from(Handle { major, minor }: Handle) -> Self {
        Self { major, minor }
    }
}

impl From<TcHandle> for Handle {
    fn from(TcHandle { major, minor }: TcHandle) -> Self {
        Self { major, minor }
    }
}

/// A queueing discipline of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Qdisc {
    /// The link.
    pub link: LinkIndex,
    /// Where it stands: [`Handle::ROOT`], [`Handle::INGRESS`], or a class of another qdisc.
    pub parent: Handle,
    /// Its own number. One that the kernel gave itself at a link's birth has [`Handle::NONE`].
    pub handle: Handle,
    /// What it does.
    pub kind: QdiscKind,
}

/// What a qdisc does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QdiscKind {
    /// Token bucket filter: not more than so many bytes a second.
    Tbf(Tbf),
    /// Network emulator: packets wait, or are lost.
    Netem(Netem),
    /// Fair queueing with controlled delay, with the kernel's own parameters.
    FqCodel,
    /// Holds filters for arriving packets.
    Ingress,
    /// Holds filters for arriving and for leaving packets.
    Clsact,
    /// Any other; can be read and deleted, not made.
    Other(String),
}

impl QdiscKind {
    /// The kernel's word, as `tc qdisc` has it.
    pub fn name(&self) -> &str {
        match self {
            Self::Tbf(_) => "tbf",
            Self::Netem(_) => "netem",
            Self::FqCodel => "fq_codel",
            Self::Ingress => "ingress",
            Self::Clsact => "clsact",
            Self::Other(name) => name,
        }
    }
}

impl Qdisc {
    /// A qdisc behind one that stands at the root, for what that lets through: `tc qdisc add dev LINK
    /// parent 1:1 handle 2: KIND`.
    pub fn behind_root(link: LinkIndex, kind: QdiscKind) -> Self {
        Self {
            link,
            parent: Handle { major: 1, minor: 1 },
            handle: Handle { major: 2, minor: 0 },
            kind,
        }
    }

    /// A qdisc for all leaving packets: `tc qdisc add dev LINK root handle 1: KIND`.
    pub fn root(link: LinkIndex, kind: QdiscKind) -> Self {
        Self {
            link,
            parent: Handle::ROOT,
            handle: Handle { major: 1, minor: 0 },
            kind,
        }
    }

    /// The place for filters on arriving packets: `tc qdisc add dev LINK ingress`.
    pub fn ingress(link: LinkIndex) -> Self {
        Self::first(link, QdiscKind::Ingress)
    }

    /// The place for filters in both directions: `tc qdisc add dev LINK clsact`.
    pub fn clsact(link: LinkIndex) -> Self {
        Self::first(link, QdiscKind::Clsact)
    }

    fn first(link: LinkIndex, kind: QdiscKind) -> Self {
        Self {
            link,
            parent: Handle::INGRESS,
            handle: Handle::INGRESS_QDISC,
            kind,
        }
    }
}

/// As `tc qdisc` prints it, less what nobody sets.
impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} dev {} ", self.kind.name(), self.handle, self.link)?;
        match self.parent {
            Handle::ROOT => f.write_str("root")?,
            parent => write!(f, "parent {parent}")?,
        }
        match &self.kind {
            QdiscKind::Tbf(tbf) => write!(f, " {tbf}"),
            QdiscKind::Netem(netem) => write!(f, " {netem}"),
            _ => Ok(()),
        }
    }
}

impl Netlink {
    /// The qdiscs of `link`: `tc qdisc show dev LINK`.
    ///
    /// # Errors
    /// The kernel's answer cannot be had. A link that does not exist has no qdiscs.
    pub fn qdiscs(&self, link: LinkIndex) -> Result<Vec<Qdisc>> {
        let message = RouteNetlinkMessage::GetQueueDiscipline(message_of(link));
        let object = format_args!("qdiscs of {link}");
        // The kernel sends those of all links whatever is asked for.
        let of_link = |answer| Qdisc::from_answer(answer).filter(|qdisc| qdisc.link == link);
        self.dump("list", object, message, of_link)
    }

    /// Adds a qdisc: `tc qdisc add`.
    ///
    /// # Errors
    /// [`is_exists`](crate::Error::is_exists) when its place is taken by one that somebody made;
    /// EINVAL for a bucket that holds no byte; ENOENT or EOPNOTSUPP when the kernel lacks the kind;
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn add_qdisc(&self, qdisc: &Qdisc) -> Result<()> {
        let message = RouteNetlinkMessage::NewQueueDiscipline(qdisc.message());
        self.request("add qdisc", qdisc, message, NLM_F_CREATE | NLM_F_EXCL)?;
        Ok(())
    }

    /// Deletes a qdisc by link, parent and number, with all its filters: `tc qdisc del`.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link; EINVAL when a qdisc of
    /// another number stands there, as the kernel's own does once that one is deleted.
    pub fn delete_qdisc(&self, qdisc: &Qdisc) -> Result<()> {
        let message = RouteNetlinkMessage::DelQueueDiscipline(qdisc.place());
        self.request("delete qdisc", qdisc, message, 0)?;
        Ok(())
    }
}

/// A message about `link`.
pub(crate) fn message_of(link: LinkIndex) -> TcMessage {
    // The kernel's index is a signed int, and never negative.
    TcMessage::with_index(link.0 as i32)
}

impl Qdisc {
    fn place(&self) -> TcMessage {
        let mut message = message_of(self.link);
        message.header.parent = self.parent.into();
        message.header.handle = self.handle.into();
        message
    }

    fn message(&self) -> TcMessage {
        let mut message = self.place();
        let kind = self.kind.name().to_owned();
        message.attributes.push(TcAttribute::Kind(kind));
        let options = match &self.kind {
            QdiscKind::Tbf(tbf) => Some(TcAttribute::Options(tbf.options())),
            QdiscKind::Netem(netem) => {
                let options = DefaultNla::new(OPTIONS, netem.options());
                Some(TcAttribute::Other(options))
            }
            _ => None,
        };
        message.attributes.extend(options);
        message
    }

    /// The qdisc in an answer; `None` for any other object.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewQueueDiscipline(message) = answer else {
            return None;
        };
        let (mut name, mut options) = (None, Vec::new());
        for attribute in message.attributes {
            match attribute {
                TcAttribute::Kind(kind) => name = Some(kind),
                TcAttribute::Options(found) => options = found,
                _ => {}
            }
        }
        let kind = match name? {
            name if name == "tbf" => QdiscKind::Tbf(Tbf::from_options(&options)?),
            name if name == "netem" => QdiscKind::Netem(Netem::from_options(&options)?),
            name if name == "fq_codel" => QdiscKind::FqCodel,
            name if name == "ingress" => QdiscKind::Ingress,
            name if name == "clsact" => QdiscKind::Clsact,
            name => QdiscKind::Other(name),
        };
        Some(Self {
            link: LinkIndex(message.header.index.try_into().ok()?),
            parent: message.header.parent.into(),
            handle: message.header.handle.into(),
            kind,
        })
    }
}

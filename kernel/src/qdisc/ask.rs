//! One qdisc by its place, and whether the kernel has a kind: requests whose cost does not grow
//! with the number of links, as that of a list does.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcOption};
use nix::libc;

use super::{Handle, Qdisc, QdiscKind, message_of};
use crate::{LinkIndex, Netlink, Result};

/// `lo`, which every namespace has.
const LOOPBACK: LinkIndex = LinkIndex(1);

impl Netlink {
    /// The qdisc at a place of a link, [`Handle::ROOT`], [`Handle::INGRESS`] or a class. `None` for
    /// the one that the kernel puts there itself, which has no number.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn qdisc(&self, link: LinkIndex, parent: Handle) -> Result<Option<Qdisc>> {
        let mut message = message_of(link);
        message.header.parent = parent.into();
        let message = RouteNetlinkMessage::GetQueueDiscipline(message);
        let object = format_args!("{parent} of {link}");
        // Without the flag the answer goes to whoever listens.
        match self.request("get qdisc", object, message, NLM_F_ECHO) {
            Ok(answer) => {
                let qdisc = answer.and_then(Qdisc::from_answer);
                Ok(qdisc.filter(|qdisc| qdisc.handle != Handle::NONE))
            }
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a qdisc, or puts it in the place of the one that is there: `tc qdisc replace`.
    ///
    /// # Errors
    /// As [`add_qdisc`](Self::add_qdisc), but for one that is there already.
    pub fn replace_qdisc(&self, qdisc: &Qdisc) -> Result<()> {
        let message = RouteNetlinkMessage::NewQueueDiscipline(qdisc.message());
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.request("replace qdisc", qdisc, message, flags)?;
        Ok(())
    }

    /// Whether the kernel has a kind of qdisc, or can load it: asked by a qdisc of `lo` whose
    /// options no kind takes, so that none is made.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn has_qdisc_kind(&self, kind: &QdiscKind) -> Result<bool> {
        let mut message = message_of(LOOPBACK);
        message.header.parent = Handle::ROOT.into();
        let malformed = TcOption::Other(DefaultNla::new(1, vec![0]));
        message.attributes = vec![
            TcAttribute::Kind(kind.name().to_owned()),
            TcAttribute::Options(vec![malformed]),
        ];
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        match self.request("ask for qdisc", kind.name(), message, flags) {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(false),
            Err(error) if error.errno() == Some(libc::EPERM) => Err(error),
            Err(_) => Ok(true),
        }
    }
}

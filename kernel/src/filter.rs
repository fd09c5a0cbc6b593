//! Filters that send every arriving packet of a link elsewhere: `tc filter`, u32 with mirred.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::fmt;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption,
    TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror,
    TcMirrorActionType, TcOption, TcU32Key, TcU32Selector, TcU32SelectorFlags,
};
use nix::libc;

use crate::qdisc::{Handle, message_of};
use crate::{LinkIndex, Netlink, Result};

/// The priority that the reference's bandwidth plugin gives its filter.
const PRIORITY: u16 = 1;

/// The class that a matching packet belongs to; an ingress qdisc has none, the number is the
/// reference's.
const CLASS: TcHandle = TcHandle { major: 1, minor: 1 };

/// Sends all packets that arrive at a link out by another, of whatever protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// Where the packets arrive; it has an ingress or clsact qdisc.
    pub link: LinkIndex,
    /// The qdisc: [`Handle::INGRESS_QDISC`].
    pub parent: Handle,
    /// Filters are tried from the lowest number upwards, 1 to 65535.
    pub priority: u16,
    /// Where they leave. 0 when that link is gone: the filter stays and drops.
    pub to: LinkIndex,
}

impl Redirect {
    /// `tc filter add dev LINK parent ffff: prio 1 protocol all u32 match u32 0 0 action mirred
    /// egress redirect dev TO`.
    pub fn new(link: LinkIndex, to: LinkIndex) -> Self {
        Self {
            link,
            parent: Handle::INGRESS_QDISC,
            priority: PRIORITY,
            to,
        }
    }
}

/// As `tc filter` prints it, on one line.
impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dev {} parent {} protocol all pref {} u32 match 00000000/00000000 at 0 \
             action mirred (Egress Redirect to device ",
            self.link, self.parent, self.priority
        )?;
        match self.to {
            LinkIndex(0) => f.write_str("*)"),
            to => write!(f, "{to})"),
        }
    }
}

impl Netlink {
    /// The filters at the ingress or clsact qdisc of `link` that redirect every packet: `tc filter
    /// show dev LINK parent ffff:`. Those that match less, or do something else first, are left
    /// out.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link. A link without such a qdisc
    /// has no filters.
    pub fn redirects(&self, link: LinkIndex) -> Result<Vec<Redirect>> {
        let mut message = message_of(link);
        message.header.parent = Handle::INGRESS_QDISC.into();
        let message = RouteNetlinkMessage::GetTrafficFilter(message);
        let object = format_args!("filters of {link}");
        self.dump("list", object, message, Redirect::from_answer)
    }

    /// Adds a filter: `tc filter add`. The kernel gives each a number of its own, so a second one
    /// like it is no error.
    ///
    /// # Errors
    /// EINVAL when the link has no ingress qdisc, or the target is no link; ENOENT when the kernel
    /// lacks u32 or mirred; [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn add_redirect(&self, redirect: &Redirect) -> Result<()> {
        let message = RouteNetlinkMessage::NewTrafficFilter(redirect.message());
        self.request("add filter", redirect, message, NLM_F_CREATE | NLM_F_EXCL)?;
        Ok(())
    }

    /// Deletes the filters of the same link, parent and priority: `tc filter del`.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is none; EINVAL when the link has no such
    /// qdisc.
    pub fn delete_redirect(&self, redirect: &Redirect) -> Result<()> {
        let message = RouteNetlinkMessage::DelTrafficFilter(redirect.place());
        self.request("delete filter", redirect, message, 0)?;
        Ok(())
    }
}

impl Redirect {
    fn place(&self) -> TcMessage {
        let mut message = message_of(self.link);
        message.header.parent = self.parent.into();
        message.header.info = u32::from(self.priority) << 16 | all_protocols();
        let kind = TcFilterU32::KIND.to_owned();
        message.attributes.push(TcAttribute::Kind(kind));
        message
    }

    fn message(&self) -> TcMessage {
        let mut message = self.place();
        let options = [
            TcFilterU32Option::ClassId(CLASS),
            TcFilterU32Option::Selector(match_all()),
            TcFilterU32Option::Action(vec![redirect_to(self.to)]),
        ];
        let options = options.into_iter().map(TcOption::U32).collect();
        message.attributes.push(TcAttribute::Options(options));
        message
    }

    /// The redirect in an answer; `None` for any other object, among them the hash tables that u32
    /// lists beside its filters.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewTrafficFilter(message) = answer else {
            return None;
        };
        let header = message.header;
        if header.info & 0xffff != all_protocols() {
            return None;
        }
        let (mut matches_all, mut to) = (false, None);
        for option in message.attributes.into_iter().flat_map(options) {
            match option {
                TcOption::U32(TcFilterU32Option::Selector(selector)) => {
                    matches_all = selector.keys.iter().all(|key| key.mask == 0);
                }
                // What follows the first never sees a packet.
                TcOption::U32(TcFilterU32Option::Action(actions)) => {
                    to = target(actions.into_iter().next()?);
                }
                _ => {}
            }
        }
        Some(Self {
            link: LinkIndex(header.index.try_into().ok()?),
            parent: header.parent.into(),
            priority: (header.info >> 16) as u16,
            to: to.filter(|_| matches_all)?,
        })
    }
}

/// `ETH_P_ALL`, in the order of the network as the header wants it.
fn all_protocols() -> u32 {
    u32::from((libc::ETH_P_ALL as u16).to_be())
}

/// One key that looks at no bit.
fn match_all() -> TcU32Selector {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.nkeys = 1;
    selector.keys = vec![TcU32Key::default()];
    selector
}

fn redirect_to(to: LinkIndex) -> TcAction {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = to.0;
    let parameters = TcActionMirrorOption::Parms(mirror);
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(parameters)]),
    ];
    action
}

fn options(attribute: TcAttribute) -> Vec<TcOption> {
    match attribute {
        TcAttribute::Options(options) => options,
        _ => Vec::new(),
    }
}

/// Where an action redirects to; `None` when it does something else.
fn target(action: TcAction) -> Option<LinkIndex> {
    let options = action
        .attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            TcActionAttribute::Options(options) => Some(options),
            _ => None,
        });
    options?.into_iter().find_map(|option| match option {
        TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))
            if mirror.eaction == TcMirrorActionType::EgressRedir =>
        {
            Some(LinkIndex(mirror.ifindex))
        }
        _ => None,
    })
}

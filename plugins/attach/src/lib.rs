//! What every interface plugin does for its attachment, whatever kind of interface it makes: the
//! names of host links, an IPAM plugin's addresses and routes on the pod's link, masquerade,
//! forwarding, flowtables, what CHECK compares, what DEL and GC remove.
//!
//! A plugin reads its configuration (with the keys of [`conf`]), makes its link within an
//! [`Attaching`], hands the rest to [`apply`], and lists what it made. DEL and GC are
//! [`release`], CHECK is a [`check::Checking`] with the plugin's own comparisons, STATUS is
//! [`status`]. A chained plugin starts from [`chained`].
//!
//! What is made is a [`veth`] pair, or one [`link`] in the pod, which may have a [`parent`].
//! The container's namespace belongs to the runtime's container; a pair's host end, found by its
//! computed name and its alias, and a link in the pod, found by its alias, belong to the attachment. Needs CAP_NET_ADMIN
//! in both namespaces and CAP_SYS_ADMIN to enter the container's.

pub mod apply;
pub mod attaching;
pub mod chained;
pub mod check;
pub mod conf;
pub mod error;
pub mod flowtable;
pub mod forwarding;
pub mod holdings;
pub mod identity;
pub mod ipam;
pub mod iptables_turn;
pub mod link;
pub mod mac;
pub mod masquerade;
pub mod netns;
pub mod owner;
pub mod parent;
pub mod record;
pub mod release;
pub mod route;
pub mod settle;
pub mod status;
pub mod veth;

pub use attaching::Attaching;
pub use error::{Error, Errors, Refusal, Result};
pub use identity::Identity;
pub use link::{NewPodLink, PodLink};

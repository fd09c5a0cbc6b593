//! What every interface plugin does for its attachment: the pair's host end and its name,
//! an IPAM plugin's addresses and routes on the container interface, masquerade, forwarding,
//! the checks of CHECK.
//!
//! The container's namespace and interface belong to the runtime's container; the host end,
//! found by its computed name and its alias, belongs to the attachment. Needs CAP_NET_ADMIN
//! in both namespaces and CAP_SYS_ADMIN to enter the container's.

pub mod apply;
pub mod check;
pub mod error;
pub mod forwarding;
pub mod identity;
pub mod ipam;
pub mod mac;
pub mod masquerade;
pub mod netns;
pub mod route;
pub mod settle;
pub mod veth;

pub use error::{Error, Errors, Refusal, Result};
pub use identity::Identity;

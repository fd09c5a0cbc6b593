//! The only crate that touches Linux. It speaks our types, never packet types.
//!
//! Async, because rtnetlink is; plugins drive it with [`block_on`], netd on its own runtime.

mod error;
mod types;

pub mod address;
pub mod cgroup;
pub mod fdb;
pub mod iptables;
pub mod link;
pub mod monitor;
pub mod mount;
pub mod neighbour;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod objects;
pub mod route;
pub mod sandbox;
pub mod sysctl;
#[cfg(feature = "testing")]
pub mod testing;
pub mod undo;

pub use address::Address;
pub use error::{Error, Result};
pub use fdb::FdbEntry;
pub use link::{BridgePort, Link, LinkChange, LinkKind, NewVeth, Vxlan, NewVxlan};
pub use monitor::{Event, Monitor};
pub use neighbour::Neighbour;
pub use netlink::Netlink;
pub use netns::{NetNs, NetNsError};
pub use objects::Change;
pub use route::{Route, RouteKind};
pub use types::{IfName, LinkIndex, MacAddr};
pub use undo::Undo;

/// Drives `future` on a fresh current-thread runtime: the one a plugin call lives on.
pub fn block_on<F: std::future::Future>(_future: F) -> Result<F::Output> { todo!() }

//! The only crate that touches Linux. It speaks our types, never packet types.
//!
//! Async, because netlink is; plugins drive it with [`block_on`], netd on its own runtime. Each
//! module says which capabilities it needs; most need CAP_NET_ADMIN, and CAP_SYS_ADMIN to enter a
//! namespace.

mod answer;
mod error;
mod random;
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
pub use link::{BridgePort, Link, LinkChange, LinkKind, NewBridge, NewVeth, NewVxlan, Vxlan};
pub use monitor::{Event, Monitor};
pub use neighbour::Neighbour;
pub use netlink::Netlink;
pub use netns::{NetNs, NetNsError};
pub use objects::Change;
pub use route::{Route, RouteFilter, RouteKind};
pub use types::{IfName, IfNameError, LinkIndex, LinkIndexError, MacAddr, MacAddrError};
pub use undo::Undo;

/// Drives `future` on a fresh current-thread runtime: the one a plugin call lives on. It has
/// timers and a poller and starts no threads.
///
/// # Errors
/// No descriptors are left for the runtime's poller.
///
/// # Panics
/// Inside another runtime.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| Error::new("start", "runtime", source))?;
    Ok(runtime.block_on(future))
}

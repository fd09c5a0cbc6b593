//! Address allocation, and the IPAM plugins `host-local` and [`static`](STATIC).
//!
//! [`HostLocal`] reads the configuration ([`config`]), opens the network's [`FileStore`] and lets
//! [`allocator`] pick one address per range set. The directory has the reference plugin's layout,
//! byte for byte, and its lock is the reference's, so that both can serve one network in turns.
//!
//! Where this differs from the reference plugin, on purpose:
//! - the lock is held over the whole call, so nobody sees half of a dual-stack allocation;
//! - a reservation appears with its owner inside, in one step: a crash cannot leave an address
//!   that nobody owns. An empty file, which the reference can leave, counts as free;
//! - a failed ADD gives back only what it took itself, never what an earlier ADD of the same
//!   attachment owns;
//! - DEL, CHECK and GC need only the network's name and `dataDir`: a runtime that no longer
//!   supplies `ipRanges` leaks nothing;
//! - GC and STATUS do something;
//! - no call reads every reservation: an index under `/run/podwire` answers who holds what. It is
//!   a cache: losing it costs one pass over the directory.

mod allocator;
mod cidr;
mod config;
mod error;
mod file_store;
mod host_local;
mod index;
mod range;
mod resolv_conf;
mod route;
mod static_;
mod store;

pub use allocator::{Allocation, allocate};
pub use error::Error;
pub use file_store::FileStore;
pub use host_local::{HOST_LOCAL, HostLocal};
pub use range::{Range, RangeError, RangeSet};
pub use route::RouteError;
pub use static_::{Error as StaticError, STATIC, Static};
pub use store::{Owner, Store};

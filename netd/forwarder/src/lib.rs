//! The datapath of netd's backend `udp`: packets of a tun device go to the other nodes as they are, one in
//! each UDP datagram, and come from there.
//!
//! It is a process of its own without capabilities ([`run`]), which netd starts, and tells where packets go
//! ([`Order`]). The kernel hands over and takes what is as large as can be: several TCP segments or UDP
//! datagrams in one, both at the device and at the sockets. On the wire each is a datagram of its own, as
//! flannel's are.

mod checksum;
mod coalesce;
mod counters;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod incoming;
mod kit;
mod outgoing;
mod packet;
mod process;
#[cfg(test)]
mod samples;
mod split;
mod table;
mod talk;
mod unreachable;
mod vnet;
mod worker;

pub use counters::{Carried, Counts};
pub use kit::{Kit, KitError};
pub use process::{ForwarderError, run};
pub use table::{Routes, Subnet, Table};
pub use talk::{Answer, Order, line, receive};

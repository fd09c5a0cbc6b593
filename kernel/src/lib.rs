//! The only crate that touches Linux's network, and the only one with `unsafe`. It speaks our types,
//! never packet types.
//!
//! Requests are plain calls, because the kernel answers them before the send returns; only what
//! really waits, the [`monitor`], is async. Each module says which capabilities it needs; most need
//! CAP_NET_ADMIN, and CAP_SYS_ADMIN to enter a namespace.

mod answer;
mod error;
mod family;
mod framing;
mod generic;
pub mod memory;
mod moment;
mod orphan;
mod procfs;
mod types;

pub mod address;
pub mod bridge_fdb;
pub mod capability;
pub mod congestion;
pub mod conntrack;
pub mod datagram;
pub mod fdb;
pub mod filter;
pub mod forwarding;
pub mod handover;
pub mod iptables;
pub mod link;
pub mod monitor;
pub mod mount;
pub mod neighbour;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod objects;
pub mod offload;
pub mod packet;
pub mod process;
pub mod qdisc;
pub mod random;
pub mod route;
pub mod rule;
pub mod seccomp;
pub mod stdio;
pub mod sysctl;
#[cfg(feature = "testing")]
pub mod testing;
pub mod udp;
pub mod undo;
pub mod unix;
pub mod vlan;
pub mod wait;
pub mod wireguard;

pub use address::{Address, SavedAddress};
pub use bridge_fdb::BridgeFdbEntry;
pub use conntrack::Conntrack;
pub use datagram::{DatagramSocket, Received};
pub use error::{Error, Result, if_there};
pub use family::{Family, overlap};
pub use fdb::FdbEntry;
pub use filter::Redirect;
pub use link::tap::TunQueue;
pub use link::{
    BridgePort, Ipvlan, IpvlanFlag, IpvlanMode, Link, LinkChange, LinkKind, Macvlan, MacvlanMode,
    NewKind, NewLink, Peer, Tap, Tunnel, TunnelProtocol, Vlan, VlanProtocol, Vxlan,
};
pub use moment::Moment;
pub use monitor::{Entry, Event, Monitor};
pub use neighbour::Neighbour;
pub use netlink::Netlink;
pub use netns::{NetNs, NetNsError, NetNsId};
pub use objects::Change;
pub use packet::{PacketChannel, PacketSocket};
pub use qdisc::Qdisc;
pub use route::{Route, RouteFilter, RouteKind};
pub use rule::Rule;
pub use types::{IfName, IfNameError, LinkIndex, LinkIndexError, MacAddr, MacAddrError};
pub use undo::Undo;
pub use vlan::BridgeVlan;
pub use wireguard::{
    PublicKey, Secret, Wireguard, WireguardPeer, WireguardPeerState, WireguardSettings,
};

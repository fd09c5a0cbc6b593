//! Links: `ip link`, `bridge link`.
use std::net::IpAddr;
use crate::*;
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link { pub index: LinkIndex, pub name: IfName, pub mac: Option<MacAddr>, pub mtu: u32, pub up: bool, /** operstate up (or unknown) */ pub oper_up: bool, /** operstate as `ip` prints it */ pub operstate: &'static str, /** IFF_PROMISC */ pub promisc: bool, pub master: Option<LinkIndex>, pub alias: Option<String>, pub kind: LinkKind, /** IFLA_LINK: a veth's peer, a vxlan's lower device */ pub peer: Option<LinkIndex>, /** peer is in another namespace */ pub peer_elsewhere: bool, pub port: Option<BridgePort>, pub loopback: bool }
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind { Bridge, Veth, Vxlan(Vxlan), Other(String), /** physical, lo */ None }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgePort { pub hairpin: bool, pub isolated: bool }
/// A VXLAN device's attributes that netd compares. `port` 0: kernel default 8472.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan { pub vni: u32, pub port: u16, pub lower: Option<LinkIndex>, pub local: Option<IpAddr>, pub learning: bool, pub gbp: bool, pub l2miss: bool, pub group: Option<IpAddr> }
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVxlan { pub name: IfName, pub mac: MacAddr, pub mtu: Option<u32>, pub vxlan: Vxlan, pub alias: Option<String> }
/// A pair, host end here, peer directly in `peer_ns`, in one request.
pub struct NewVeth<'a> { pub name: &'a IfName, pub alias: &'a str, pub master: Option<LinkIndex>, pub mtu: Option<u32>, pub up: bool, /** host txqueuelen; the reference leaves 0 */ pub tx_queue_len: Option<u32>, pub peer: &'a IfName, pub peer_ns: &'a NetNs, pub peer_mac: Option<MacAddr> }
/// `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct LinkChange { pub up: Option<bool>, pub mtu: Option<u32>, pub mac: Option<MacAddr>, pub master: Option<Option<LinkIndex>>, pub promisc: Option<bool>, pub alias: Option<String>, pub name: Option<IfName>, /** bridge port flags, in the same call */ pub port: Option<BridgePort> }
impl Netlink {
    pub async fn link(&self, _name: &IfName) -> Result<Option<Link>> { todo!() }
    pub async fn link_by_index(&self, _index: LinkIndex) -> Result<Option<Link>> { todo!() }
    pub async fn links(&self) -> Result<Vec<Link>> { todo!() }
    pub async fn add_bridge(&self, _name: &IfName, _mtu: Option<u32>) -> Result<()> { todo!() }
    pub async fn add_veth(&self, _veth: &NewVeth<'_>) -> Result<()> { todo!() }
    /// A pair with both ends here, or the peer in `peer_ns` (the lab's underlay).
    pub async fn add_vxlan(&self, _vxlan: &NewVxlan) -> Result<()> { todo!() }
    pub async fn set_link(&self, _index: LinkIndex, _change: &LinkChange) -> Result<()> { todo!() }
    pub async fn delete_link(&self, _index: LinkIndex) -> Result<()> { todo!() }
}

//! Routes: `ip route`.
use std::net::IpAddr;
use ipnetwork::IpNetwork;
use crate::*;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind { Unicast, Blackhole, Other(u8) }
/// Host bits of `dst` must be 0. Defaults ([`Route::to`]): main table (254), protocol boot (3), scope universe (0).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route { pub dst: IpNetwork, pub gateway: Option<IpAddr>, pub link: Option<LinkIndex>, pub table: u32, pub protocol: u8, pub scope: u8, pub priority: Option<u32>, pub onlink: bool, pub source: Option<IpAddr>, pub mtu: Option<u32>, pub advmss: Option<u32>, pub kind: RouteKind }
/// Which routes a dump returns; the kernel filters where it can.
#[derive(Clone, Debug, Default)]
pub struct RouteFilter { pub ipv6: Option<bool>, pub table: Option<u32>, pub link: Option<LinkIndex>, pub protocol: Option<u8> }
impl Route {
    pub const PROTOCOL_BOOT: u8 = 3;
    /// Routes that netd made.
    pub const PROTOCOL_PODWIRE: u8 = 112;
    pub fn to(_dst: IpNetwork) -> Self { todo!() }
}
impl Netlink {
    pub async fn routes(&self, _filter: &RouteFilter) -> Result<Vec<Route>> { todo!() }
    /// Create without NLM_F_EXCL/REPLACE as the reference does (cni-compat 3.5 step 7).
    pub async fn add_route(&self, _route: &Route) -> Result<()> { todo!() }
    pub async fn replace_route(&self, _route: &Route) -> Result<()> { todo!() }
    pub async fn delete_route(&self, _route: &Route) -> Result<()> { todo!() }
    /// `ip route get`: link, gateway and preferred source towards `to`.
    pub async fn route_to(&self, _to: IpAddr) -> Result<Option<Route>> { todo!() }
}

//! Forwarding database of a VXLAN device: `bridge fdb`, `self permanent` entries.
use std::net::IpAddr;
use crate::*;
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdbEntry { pub link: LinkIndex, pub mac: MacAddr, pub dst: IpAddr }
impl Netlink { /// Permanent ones of `link` with a destination.
    pub async fn fdb(&self, _link: LinkIndex) -> Result<Vec<FdbEntry>> { todo!() } }

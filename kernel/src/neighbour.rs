//! Neighbours: `ip neighbour`, permanent entries only.
use std::net::IpAddr;
use crate::*;
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Neighbour { pub link: LinkIndex, pub address: IpAddr, pub mac: MacAddr }
impl Netlink { /// Permanent ones of `link`.
    pub async fn neighbours(&self, _link: LinkIndex) -> Result<Vec<Neighbour>> { todo!() } }

//! Addresses: `ip address`.
use ipnetwork::IpNetwork;
use crate::*;
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address { pub link: LinkIndex, pub address: IpNetwork, pub tentative: bool, pub dad_failed: bool, pub deprecated: bool, pub permanent: bool, pub temporary: bool, /** rtm scope: 0 universe, 253 link, 254 host */ pub scope: u8 }
impl Netlink {
    /// Of one link, or of all.
    pub async fn addresses(&self, _link: Option<LinkIndex>) -> Result<Vec<Address>> { todo!() }
    /// `ip address add`: IPv4 with the subnet's broadcast up to /30, as the reference sets it (cni-compat 3.3).
    pub async fn add_address(&self, _link: LinkIndex, _address: IpNetwork) -> Result<()> { todo!() }
    pub async fn delete_address(&self, _link: LinkIndex, _address: IpNetwork) -> Result<()> { todo!() }
}

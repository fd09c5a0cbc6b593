//! One request path and one dump path over rtnetlink.
use crate::*;
/// A route-netlink socket of one network namespace. Must be opened inside a tokio runtime. Cheap to clone.
#[derive(Clone)]
pub struct Netlink { /* rtnetlink::Handle, ... */ }
impl Netlink {
    /// In the calling thread's namespace.
    pub fn open() -> Result<Self> { todo!() }
    /// Steps into `ns`, opens the socket, steps out.
    pub fn open_in(_ns: &NetNs) -> Result<Self> { todo!() }
}

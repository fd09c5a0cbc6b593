//! `ip monitor`: what others changed.
use crate::*;
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event { Link { index: LinkIndex, name: Option<IfName>, removed: bool }, Address { link: LinkIndex, removed: bool }, Route { route: Route, removed: bool }, Neighbour { link: LinkIndex, removed: bool }, /** the socket overran: look at everything again */ StateLost }
pub struct Monitor {}
impl Monitor {
    /// Links, addresses, routes (both families), neighbours and FDB of the calling thread's namespace.
    pub fn open() -> Result<Self> { todo!() }
    pub async fn next(&mut self) -> Result<Event> { todo!() }
}

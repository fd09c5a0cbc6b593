//! Changes to kernel objects, applied many per send.
use ipnetwork::IpNetwork;
use crate::*;
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change { AddAddress(LinkIndex, IpNetwork), DeleteAddress(LinkIndex, IpNetwork), ReplaceRoute(Route), DeleteRoute(Route), ReplaceNeighbour(Neighbour), DeleteNeighbour(Neighbour), ReplaceFdb(FdbEntry), DeleteFdb(FdbEntry) }
impl Netlink {
    /// Applies in order, many messages per send (bounded by the socket's buffers), one outcome per change.
    /// A delete of what is gone is `Ok`.
    pub async fn apply(&self, _changes: &[Change]) -> Result<Vec<Result<()>>> { todo!() }
}

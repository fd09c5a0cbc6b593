//! What the allocator needs to know and to keep.
use std::{collections::HashSet, net::IpAddr};

use crate::Error;

/// Who an address belongs to: one interface of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// `CNI_CONTAINERID`.
    pub container: &'a str,
    /// `CNI_IFNAME`.
    pub ifname: &'a str,
}

impl Owner<'_> {
    /// What a reservation file holds: container ID, CR LF, interface name.
    pub fn record(&self) -> String {
        format!("{}\r\n{}", self.container, self.ifname)
    }
}

/// Reservations of one network, locked against every other process for as long as the value
/// lives. Every method may block on the disk.
pub trait Store {
    /// Every address that `owner` holds, also by a record of the container alone, in the order
    /// of their texts.
    fn addresses_of(&mut self, owner: &Owner<'_>) -> Result<Vec<IpAddr>, Error>;

    /// Makes `owner` the owner of `address`; `false`: it has an owner already.
    fn reserve(&mut self, address: IpAddr, owner: &Owner<'_>) -> Result<bool, Error>;

    /// Undoes [`Store::reserve`].
    fn unreserve(&mut self, address: IpAddr, owner: &Owner<'_>) -> Result<(), Error>;

    /// Every address that has an owner.
    fn taken(&mut self) -> Result<HashSet<IpAddr>, Error>;

    /// Who has `address`, as text for people; `None` where that cannot be told.
    fn holder(&mut self, address: IpAddr) -> Option<String>;

    /// The address that was reserved last from the range set at this position.
    fn last_reserved(&mut self, set: usize) -> Option<IpAddr>;

    /// Remembers where the next search of this range set starts.
    fn set_last_reserved(&mut self, set: usize, address: IpAddr) -> Result<(), Error>;
}

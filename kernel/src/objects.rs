//! Changes to kernel objects, applied many per send.
//!
//! Needs CAP_NET_ADMIN.

use std::fmt;
use std::io;

use ipnetwork::IpNetwork;
use netlink_packet_route::address::AddressHeaderFlags;

use crate::netlink::{Answer, Connection, Request, is_overrun};
use crate::{
    FdbEntry, LinkIndex, Neighbour, Netlink, Result, Route, address, link, neighbour, route,
};

/// Messages per send. The acknowledgements of one send wait in the socket's receive buffer, 212,992
/// bytes unless the machine is set otherwise, where each takes less than 1 KiB.
const BATCH: usize = 128;

/// One change to one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// `ip address add`
    AddAddress(LinkIndex, IpNetwork),
    /// `ip address add … nodad`, see [`Netlink::add_address_nodad`]
    AddAddressNoDad(LinkIndex, IpNetwork),
    /// `ip address delete`
    DeleteAddress(LinkIndex, IpNetwork),
    /// `ip link set up`
    SetUp(LinkIndex),
    /// `ip route prepend`, see [`Netlink::add_route`]
    AddRoute(Route),
    /// `ip route replace`
    ReplaceRoute(Route),
    /// `ip route delete`
    DeleteRoute(Route),
    /// `ip neighbour replace … nud permanent`
    ReplaceNeighbour(Neighbour),
    /// `ip neighbour delete`
    DeleteNeighbour(Neighbour),
    /// `bridge fdb replace … self permanent`
    ReplaceFdb(FdbEntry),
    /// `bridge fdb delete … self`
    DeleteFdb(FdbEntry),
}

impl Change {
    /// What is done, as in an error: `replace route`.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::AddAddress(..) | Self::AddAddressNoDad(..) => "add address",
            Self::DeleteAddress(..) => "delete address",
            Self::SetUp(_) => "set up link",
            Self::AddRoute(_) => "add route",
            Self::ReplaceRoute(_) => "replace route",
            Self::DeleteRoute(_) => "delete route",
            Self::ReplaceNeighbour(_) => "replace neighbour",
            Self::DeleteNeighbour(_) => "delete neighbour",
            Self::ReplaceFdb(_) => "replace FDB entry",
            Self::DeleteFdb(_) => "delete FDB entry",
        }
    }

    /// To what it is done, as in an error: `10.1.0.0/24 via 10.0.0.1 dev 5`.
    pub fn object(&self) -> impl fmt::Display + '_ {
        Object(self)
    }

    fn request(&self) -> Request {
        let (message, flags) = match self {
            Self::AddAddress(link, address) => {
                let message = address::add_message(*link, *address, AddressHeaderFlags::empty());
                (message, address::ADD_FLAGS)
            }
            Self::AddAddressNoDad(link, address) => {
                let message = address::add_message(*link, *address, AddressHeaderFlags::Nodad);
                (message, address::ADD_FLAGS)
            }
            Self::DeleteAddress(link, address) => (address::delete_message(*link, *address), 0),
            Self::SetUp(link) => (link::up_message(*link), 0),
            Self::AddRoute(route) => (route::new_message(route), route::ADD_FLAGS),
            Self::ReplaceRoute(route) => (route::new_message(route), route::REPLACE_FLAGS),
            Self::DeleteRoute(route) => (route::delete_message(route), 0),
            Self::ReplaceNeighbour(entry) => (entry.replace_message(), neighbour::REPLACE_FLAGS),
            Self::DeleteNeighbour(entry) => (entry.delete_message(), 0),
            Self::ReplaceFdb(entry) => (entry.replace_message(), neighbour::REPLACE_FLAGS),
            Self::DeleteFdb(entry) => (entry.delete_message(), 0),
        };
        Request { message, flags }
    }

    fn is_delete(&self) -> bool {
        use Change::{DeleteAddress, DeleteFdb, DeleteNeighbour, DeleteRoute};
        matches!(
            self,
            DeleteAddress(..) | DeleteRoute(_) | DeleteNeighbour(_) | DeleteFdb(_)
        )
    }

    /// Accepts that what is to be deleted is gone, and that what is to be added is there when
    /// the request was sent `twice`.
    fn outcome(&self, answer: Answer, twice: bool) -> Result<()> {
        let refusal = match answer {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        match refusal.into_error(self.operation(), self.object()) {
            error if self.is_delete() && error.is_gone() => Ok(()),
            error if twice && error.is_exists() => Ok(()),
            error => Err(error),
        }
    }
}

struct Object<'a>(&'a Change);

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::AddAddress(link, address) | Change::AddAddressNoDad(link, address) => {
                write!(f, "{address} to {link}")
            }
            Change::DeleteAddress(link, address) => write!(f, "{address} from {link}"),
            Change::SetUp(link) => link.fmt(f),
            Change::AddRoute(route) | Change::ReplaceRoute(route) | Change::DeleteRoute(route) => {
                route.fmt(f)
            }
            Change::ReplaceNeighbour(entry) | Change::DeleteNeighbour(entry) => entry.fmt(f),
            Change::ReplaceFdb(entry) | Change::DeleteFdb(entry) => entry.fmt(f),
        }
    }
}

/// In a line: `replace route 10.1.0.0/24 via 10.0.0.1 dev 5`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation(), self.object())
    }
}

impl Netlink {
    /// Applies changes in order, many messages per send, and returns one outcome for each. One
    /// that fails does not stop the rest. Deleting what is gone succeeds.
    ///
    /// # Errors
    /// Nothing more could be sent. The outcomes are lost then: read the state again.
    pub fn apply(&self, changes: &[Change]) -> Result<Vec<Result<()>>> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for batch in changes.chunks(BATCH) {
            outcomes.extend(self.apply_batch(batch)?);
        }
        Ok(outcomes)
    }

    fn apply_batch(&self, batch: &[Change]) -> Result<Vec<Result<()>>> {
        let requests: Vec<Request> = batch.iter().map(Change::request).collect();
        let mut connection = self.lock();
        match connection.exchange(&requests) {
            Ok(answers) => {
                let pairs = batch.iter().zip(answers);
                Ok(pairs
                    .map(|(change, answer)| change.outcome(answer, false))
                    .collect())
            }
            // A machine with a smaller receive buffer than usual. Nobody knows which changes were
            // made, but each can be made twice.
            Err(error) if is_overrun(&error) => one_by_one(&mut connection, batch, &requests),
            Err(source) => Err(failed(batch, source)),
        }
    }
}

fn one_by_one(
    connection: &mut Connection,
    batch: &[Change],
    requests: &[Request],
) -> Result<Vec<Result<()>>> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for (change, request) in batch.iter().zip(requests) {
        let answers = connection.exchange(std::slice::from_ref(request));
        let answers = answers.map_err(|source| failed(std::slice::from_ref(change), source))?;
        outcomes.extend(
            answers
                .into_iter()
                .map(|answer| change.outcome(answer, true)),
        );
    }
    Ok(outcomes)
}

fn failed(batch: &[Change], source: io::Error) -> crate::Error {
    let first = batch.first().map(ToString::to_string).unwrap_or_default();
    crate::Error::new(
        "apply",
        format_args!("{} changes from {first:?}", batch.len()),
        source,
    )
}

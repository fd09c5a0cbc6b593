//! Generic netlink: families of messages that the kernel numbers when they are loaded.
//!
//! What a family's messages need of capabilities is the family's; asking for its number needs none.

use std::fmt::Debug;
use std::io;

use netlink_packet_core::{Emitable, ParseableParametrized};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_GENERIC;

use crate::netlink::{Connection, Done, Request, open_socket_of};
use crate::{Error, NetNs, Result};

/// What a family's messages are to this crate.
pub(crate) trait Family: GenlFamily + Emitable + Debug + Payload {}

impl<F: GenlFamily + Emitable + Debug + Payload> Family for F {}

/// A payload that can be read.
pub(crate) trait Payload: ParseableParametrized<[u8], GenlHeader> {}

impl<F: ParseableParametrized<[u8], GenlHeader>> Payload for F {}

/// A generic netlink socket, and the numbers of families that were asked for.
pub(crate) struct Generic {
    connection: Connection,
    numbers: Vec<(&'static str, u16)>,
}

impl Generic {
    /// Opens a socket in the namespace of another one, wherever the calling thread is.
    ///
    /// # Errors
    /// No descriptors or memory left, or the thread is elsewhere and may not enter that namespace.
    pub(crate) fn open_beside(other: &Socket) -> Result<Self> {
        let ns = NetNs::of_socket(other)?;
        let socket = match ns.is_current()? {
            true => open_socket_of(NETLINK_GENERIC),
            false => ns.step_in(|| open_socket_of(NETLINK_GENERIC))?,
        };
        let failed = |source| Error::new("open", "generic netlink socket", source);
        Ok(Self {
            connection: Connection::new(socket.map_err(failed)?),
            numbers: Vec::new(),
        })
    }

    /// Sends requests of a family in one datagram, and returns at the place of each whether it was refused.
    ///
    /// # Errors
    /// The kernel has no such family, nothing was sent, or answers were lost: see [`Connection::order`].
    pub(crate) fn order<F: Family>(
        &mut self,
        payloads: impl IntoIterator<Item = F>,
    ) -> io::Result<Vec<Done>> {
        let number = self.number_of::<F>()?;
        let requests: Vec<Request<GenlMessage<F>>> = payloads
            .into_iter()
            .map(|payload| Request {
                message: numbered(payload, number),
                flags: 0,
            })
            .collect();
        self.connection.order(&requests)
    }

    /// Reads all that a request of a family is answered with: see [`Connection::dump_whole`].
    ///
    /// # Errors
    /// The kernel has no such family, or its answer cannot be had.
    pub(crate) fn dump<F: Family, S: Default>(
        &mut self,
        operation: &'static str,
        object: impl std::fmt::Display,
        payload: F,
        mut take: impl FnMut(&mut S, F),
    ) -> Result<S> {
        let number = self.number_of::<F>();
        let number = number.map_err(|source| Error::new(operation, &object, source))?;
        let take = |found: &mut S, message: GenlMessage<F>| take(found, message.into_parts().1);
        let message = numbered(payload, number);
        self.connection
            .dump_whole(operation, object, &message, take)
    }

    /// The number of a family; the kernel loads its module where that is to be had.
    fn number_of<F: GenlFamily>(&mut self) -> io::Result<u16> {
        let name = F::family_name();
        if let Some((_, number)) = self.numbers.iter().find(|(known, _)| *known == name) {
            return Ok(*number);
        }
        let request = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())],
        });
        let request = Request {
            message: request,
            flags: 0,
        };
        let answers = self.connection.exchange(std::slice::from_ref(&request))?;
        let answer = answers.into_iter().next().transpose();
        let family = answer.map_err(|refusal| refusal.source)?.flatten();
        let number = family.and_then(|family| number_in(&family.into_parts().1));
        let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        self.numbers.push((name, number));
        Ok(number)
    }
}

fn numbered<F: GenlFamily + Debug>(payload: F, number: u16) -> GenlMessage<F> {
    let mut message = GenlMessage::from_payload(payload);
    message.set_resolved_family_id(number);
    message
}

fn number_in(family: &GenlCtrl) -> Option<u16> {
    family.nlas.iter().find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(number) => Some(*number),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Netlink;
    use crate::testing::World;

    /// A family that no kernel has.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Nobodys;

    impl GenlFamily for Nobodys {
        fn family_name() -> &'static str {
            "nobodys"
        }

        fn command(&self) -> u8 {
            0
        }

        fn version(&self) -> u8 {
            1
        }
    }

    #[test]
    fn families_are_found_by_name_and_asked_for_once() {
        let Some(_world) = World::new() else { return };
        let netlink = Netlink::open().unwrap();
        netlink
            .with_generic(|generic| {
                assert_eq!(generic.number_of::<GenlCtrl>().unwrap(), 0x10);
                let missing = generic.number_of::<Nobodys>().unwrap_err();
                assert_eq!(missing.raw_os_error(), Some(nix::libc::ENOENT));
                assert_eq!(generic.numbers, [("nlctrl", 0x10)]);
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn the_socket_is_in_the_namespace_of_its_neighbour() {
        let Some(world) = World::new() else { return };
        let pod = world.pod("pod");
        let netlink = Netlink::open_in(&pod).unwrap();
        netlink
            .with_generic(|generic| {
                let there = NetNs::of_socket(generic.connection.socket()).unwrap();
                assert_eq!(there.id().unwrap(), pod.id().unwrap());
                Ok(())
            })
            .unwrap();
    }
}

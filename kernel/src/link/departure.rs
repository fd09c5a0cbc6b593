//! Deleting a link without waiting for the kernel's last references to it.
//!
//! RTM_DELLINK is answered only when nobody in the kernel refers to the link any more, some 20 ms
//! after the request. The kernel *announces* the deletion (RTNLGRP_LINK) after some 4 ms: from then
//! on the link is unlisted and its name free, its addresses, routes and bridge port are gone. So a
//! child process sends the request and waits for the answer, and the caller goes on at the
//! announcement (decision 0007).
//!
//! For programs that end soon after, as plugins do: nobody waits for the child, which init reaps.
//! Needs CAP_NET_ADMIN where the links are, and CAP_SYS_ADMIN to look into another namespace.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};
use rtnetlink::MulticastGroup;

use super::delete_message;
use crate::answer::{self, Refusal};
use crate::netlink::{is_overrun, open_socket, serialise};
use crate::{Error, LinkIndex, NetNs, Netlink, Result, nft, orphan};

/// An acknowledgement holds no copy of the request, only the kernel's words: bytes.
const ANSWER: usize = 4096;
/// An announcement does not exceed this many bytes.
const ANNOUNCEMENT: usize = 64 * 1024;

/// Where a link is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its namespace; the calling thread's if none.
    pub ns: Option<&'a NetNs>,
    /// Its index there.
    pub index: LinkIndex,
}

/// Deletes `link`, and with it its peer, and returns as soon as the kernel has announced that both
/// are gone: their names are free then, and addresses, routes and bridge ports are no more. A child
/// process waits for what the kernel still has to do. Where an announcement does not come (the peer
/// is not at `peer`, too much was announced at once), the kernel's answer is waited for.
///
/// # Errors
/// [`is_gone`](Error::is_gone) when there is no such link; the kernel refuses.
pub fn delete_link(link: Place<'_>, peer: Option<Place<'_>>) -> Result<()> {
    // Listening begins before the request, so that nothing is missed.
    let places = [Some(link), peer].into_iter().flatten();
    let prepared = places
        .map(Listener::open)
        .collect::<Result<Vec<_>>>()
        .and_then(|awaited| Ok((awaited, Child::start(link)?)));
    let (mut awaited, child) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // No process to be had, no way into the peer's namespace: the answer says the same later.
            tracing::debug!(%error, "the deletion's answer is waited for");
            return link.netlink()?.delete_link(link.index);
        }
    };
    while !awaited.is_empty() {
        let answer = wait(&child, &mut awaited);
        match answer.map_err(|source| failed(link.index, source))? {
            None => {}
            Some(Answer::Done) => break,
            Some(Answer::Refused(refusal)) => {
                return Err(refusal.into_error(OPERATION, link.index));
            }
            Some(Answer::Missing) => {
                tracing::warn!(link = %link.index, "the process that deletes the link has died");
                return link.netlink()?.delete_link(link.index);
            }
        }
    }
    Ok(())
}

const OPERATION: &str = "delete link";

fn failed(link: LinkIndex, source: io::Error) -> Error {
    Error::new(OPERATION, link, source)
}

impl Place<'_> {
    fn netlink(&self) -> Result<Netlink> {
        match self.ns {
            Some(ns) => Netlink::open_in(ns),
            None => Netlink::open(),
        }
    }

    /// What `open` opens, in this place's namespace.
    fn open(
        &self,
        what: &'static str,
        open: impl FnOnce() -> io::Result<Socket> + Send,
    ) -> Result<Socket> {
        let socket = match self.ns {
            Some(ns) => ns.step_in(open)?,
            None => open(),
        };
        socket.map_err(|source| Error::new(what, self.index, source))
    }
}

/// Hears when one link goes.
struct Listener {
    socket: Socket,
    index: LinkIndex,
    buffer: Vec<u8>,
}

impl Listener {
    fn open(place: Place<'_>) -> Result<Self> {
        let socket = place.open("listen to links for", || {
            let mut socket = open_socket()?;
            socket.bind(&SocketAddr::new(0, 1 << (MulticastGroup::Link as u32 - 1)))?;
            Ok(socket)
        })?;
        Ok(Self {
            socket,
            index: place.index,
            buffer: Vec::with_capacity(ANNOUNCEMENT),
        })
    }

    /// Reads what waits; whether the link's end is in it. Announcements that were lost are no error:
    /// the answer comes in their place.
    fn has_gone(&mut self) -> io::Result<bool> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_DONTWAIT) {
                Ok(_) if is_end_of(&self.buffer, self.index) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted || is_overrun(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A bridge announces in its own family that a link is a port no more: that is not its end.
fn is_end_of(datagram: &[u8], index: LinkIndex) -> bool {
    answer::messages(datagram)
        .flatten()
        .any(|message| match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                link.header.index == index.0
                    && link.header.interface_family != AddressFamily::Bridge
            }
            _ => false,
        })
}

/// The kernel's answer to the child's request.
enum Answer {
    Done,
    Refused(Refusal),
    /// The child died before it came.
    Missing,
}

/// Waits until something is heard; the answer, if it has come. Listeners whose link is gone leave
/// `awaited`.
fn wait(child: &Child, awaited: &mut Vec<Listener>) -> io::Result<Option<Answer>> {
    let mut sources: Vec<PollFd<'_>> = awaited
        .iter()
        .map(|listener| PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN))
        .collect();
    sources.push(PollFd::new(child.report.as_fd(), PollFlags::POLLIN));
    match poll(&mut sources, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok(None),
        ready => drop(ready?),
    }
    let answered = sources.last().and_then(PollFd::any).unwrap_or_default();
    drop(sources);
    let mut waiting = Vec::with_capacity(awaited.len());
    for mut listener in awaited.drain(..) {
        if !listener.has_gone()? {
            waiting.push(listener);
        }
    }
    *awaited = waiting;
    if answered {
        child.answer().map(Some)
    } else {
        Ok(None)
    }
}

/// A process that sends the request and passes the kernel's answer on.
struct Child {
    report: OwnedFd,
}

impl Child {
    /// Starts it, with a socket where the link is.
    fn start(link: Place<'_>) -> Result<Self> {
        let request = link.open("open route netlink socket for", open_socket)?;
        Self::fork(&request, link.index)
            .map_err(|source| Error::new("start a process for", link.index, source))
    }

    /// The child also holds the sockets whose closing waits as long as the deletion takes.
    #[allow(unsafe_code, reason = "work of a forked child")]
    fn fork(request: &Socket, link: LinkIndex) -> io::Result<Self> {
        let message = serialise(&delete_message(link), NLM_F_ACK);
        let mut answer = [0; ANSWER];
        let (report, to) = pipe2(OFlag::O_CLOEXEC)?;
        let (socket, pipe) = (request.as_raw_fd(), to.as_raw_fd());
        let mut kept = nft::descriptors_put_aside();
        kept.extend([socket, pipe]);
        let work = || delete(socket, pipe, &message, &mut answer);
        // SAFETY: `delete` makes system calls on buffers that are there already.
        unsafe { orphan::start(&mut kept, work) }?;
        nft::child_has_what_was_put_aside();
        Ok(Self { report })
    }

    fn answer(&self) -> io::Result<Answer> {
        let mut bytes = [0; ANSWER];
        let length = loop {
            match read(&self.report, &mut bytes) {
                Err(Errno::EINTR) => {}
                length => break length?,
            }
        };
        for message in answer::messages::<RouteNetlinkMessage>(&bytes[..length]) {
            if let NetlinkPayload::Error(error) = message?.payload {
                let refusal = Refusal::from_error(&error);
                return Ok(refusal.map_or(Answer::Done, Answer::Refused));
            }
        }
        Ok(Answer::Missing)
    }
}

/// One request, one answer passed on.
#[allow(
    unsafe_code,
    reason = "system calls in a forked child, where nothing may be allocated"
)]
fn delete(request: RawFd, report: RawFd, message: &[u8], answer: &mut [u8]) {
    // SAFETY: these are async-signal-safe; each pointer comes with the length of what it points to.
    unsafe {
        if libc::send(request, message.as_ptr().cast(), message.len(), 0) > 0 {
            let length = libc::recv(request, answer.as_mut_ptr().cast(), answer.len(), 0);
            if let Ok(length) = usize::try_from(length) {
                libc::write(report, answer.as_ptr().cast(), length);
            }
        }
    }
}

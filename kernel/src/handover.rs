//! Descriptors that go from one process to another over a Unix socket (unix(7), SCM_RIGHTS), and who the
//! other process is. No capabilities needed.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, getsockopt, recvmsg, sendmsg, sockopt,
};

/// The kernel passes on no more at once (`SCM_MAX_FD`).
const MOST: usize = 253;

/// Sends descriptors, with one byte that says nothing.
///
/// # Errors
/// There are more than 253; nobody is there to receive them.
pub fn send(socket: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<_> = descriptors.iter().map(|each| each.as_raw_fd()).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::empty();
    let parts = [IoSlice::new(&[0])];
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, &control, flags, None)?;
    Ok(())
}

/// Receives what [`send`] sent; a program that this process starts does not get them.
///
/// # Errors
/// The other side has ended (`UnexpectedEof`).
#[allow(unsafe_code, reason = "descriptors come as numbers")]
pub fn receive(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut control = cmsg_space!([std::os::fd::RawFd; MOST]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let socket = socket.as_raw_fd();
    let message = recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut control), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just opened these descriptors for this process, and nobody else
            // knows them.
            let owned = |number| unsafe { OwnedFd::from_raw_fd(number) };
            descriptors.extend(numbers.into_iter().map(owned));
        }
    }
    match message.bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(descriptors),
    }
}

/// Whether the other side of a connection was opened by a process of this one's user.
///
/// # Errors
/// It is no connection.
pub fn is_of_this_user(socket: &UnixStream) -> io::Result<bool> {
    let other = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(other.uid() == nix::unistd::geteuid().as_raw())
}

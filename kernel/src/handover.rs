//! Descriptors that go from one process to another over a Unix socket (unix(7), SCM_RIGHTS), and who the
//! other process is. No capabilities needed.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, getsockopt, sendmsg, sockopt};

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

/// Why no descriptors came.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Nobody is there.
    #[error("the other side has ended")]
    Ended,
    /// The kernel has opened a part of them, which is closed again; the others are lost (MSG_CTRUNC).
    #[error(
        "only {came} of the descriptors came, since this process may have no more open: raise its limit (ulimit -n)"
    )]
    Incomplete {
        /// So many were opened.
        came: usize,
    },
    /// The socket.
    #[error("the socket cannot be read")]
    Socket(#[source] io::Error),
}

/// Receives what [`send`] sent; a program that this process starts does not get them.
///
/// # Errors
/// See [`ReceiveError`]. What came is closed then.
pub fn receive(socket: &UnixStream) -> Result<Vec<OwnedFd>, ReceiveError> {
    let mut byte = [0u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: byte.len(),
    };
    let mut room = Room::new();
    let mut message = room.message(&mut part);
    // SAFETY: the message points at one part and at the room, which are as large as it says and live on.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
    let read = Errno::result(read).map_err(|errno| ReceiveError::Socket(errno.into()))?;
    // SAFETY: the kernel has just filled in the message, and nobody has taken what it opened.
    let descriptors = unsafe { opened(&message) };
    let came = descriptors.len();
    match read {
        _ if message.msg_flags & libc::MSG_CTRUNC != 0 => Err(ReceiveError::Incomplete { came }),
        0 => Err(ReceiveError::Ended),
        _ => Ok(descriptors),
    }
}

/// Where the kernel writes the numbers, aligned for a header: as many as it passes on.
struct Room(Vec<libc::cmsghdr>);

impl Room {
    fn new() -> Self {
        // SAFETY: this is arithmetic.
        let bytes = unsafe { libc::CMSG_SPACE((MOST * size_of::<RawFd>()) as libc::c_uint) };
        let headers = (bytes as usize).div_ceil(size_of::<libc::cmsghdr>());
        // SAFETY: a header is numbers, which may all be zero.
        Self(vec![unsafe { std::mem::zeroed() }; headers])
    }

    fn message(&mut self, part: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: the structure is numbers and pointers, which may all be zero.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = part;
        message.msg_iovlen = 1;
        message.msg_control = self.0.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(self.0.as_slice()) as _;
        message
    }
}

/// The descriptors that came with a message, all of them, whether or not there should be more.
///
/// # Safety
/// recvmsg(2) has filled in `message`, whose room is still there, and this is called once.
#[allow(clippy::unnecessary_cast, reason = "musl counts in smaller numbers")]
unsafe fn opened(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: by this function's contract; headers, and the numbers after each, lie within the room, since
    // the kernel says how much of it it has used. The numbers may be unaligned. It has opened each for this
    // process, and nobody else knows it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(found) = header.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let bytes = found.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
                descriptors.extend(
                    (0..bytes / size_of::<RawFd>())
                        .map(|at| OwnedFd::from_raw_fd(numbers.add(at).read_unaligned())),
                );
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    descriptors
}

/// Whether the other side of a connection was opened by a process of this one's user.
///
/// # Errors
/// It is no connection.
pub fn is_of_this_user(socket: &UnixStream) -> io::Result<bool> {
    let other = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(other.uid() == nix::unistd::geteuid().as_raw())
}

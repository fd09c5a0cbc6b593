//! Sockets whose closing waits for the kernel.
//!
//! After a deletion the kernel makes the closing of every netfilter socket of the namespace wait until
//! the deleted objects are freed, an RCU grace period of up to 20 ms, and keeps all transactions of
//! the namespace waiting with it (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c). A socket that is
//! closed after that time costs nothing. In a process that lives on, one that is put aside is closed when
//! the next `Nft` is opened after that time.
//!
//! The descriptors of what is put aside are valid as long as no other thread opens an `Nft`: plugins
//! have one thread.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use netlink_sys::Socket;

use crate::orphan;

/// Within this time the kernel has freed what a transaction deleted.
const FREED_AFTER: Duration = Duration::from_millis(100);

/// Sockets to be closed later, with the time since when.
static ASIDE: Mutex<Vec<(Instant, Arc<Socket>)>> = Mutex::new(Vec::new());

fn aside() -> MutexGuard<'static, Vec<(Instant, Arc<Socket>)>> {
    ASIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn is_any_put_aside() -> bool {
    !aside().is_empty()
}

/// Has the socket closed later.
pub(super) fn put_aside(socket: Arc<Socket>) {
    aside().push((Instant::now(), socket));
}

/// Closes those that need not wait any more.
pub(super) fn close_what_is_due() {
    aside().retain(|(since, _)| since.elapsed() < FREED_AFTER);
}

/// The descriptors of those that are put aside, for a child that keeps them open as long as it takes
/// the kernel to free what was deleted.
pub(crate) fn descriptors_put_aside() -> Vec<RawFd> {
    aside()
        .iter()
        .map(|(_, socket)| socket.as_raw_fd())
        .collect()
}

/// Closes what was put aside without waiting: a child has it.
pub(crate) fn child_has_what_was_put_aside() {
    aside().clear();
}

/// Leaves the closing of sockets that would have to wait to a child process, which does nothing else and
/// ends after 100 ms. For programs that end soon after, as plugins do: nobody waits for the child, which
/// init reaps. Without such a socket nothing is done.
///
/// # Errors
/// No process is to be had: then the end of this one waits.
#[allow(unsafe_code, reason = "work of a forked child")]
pub fn leave_closing_to_child() -> io::Result<()> {
    let mut kept = descriptors_put_aside();
    if kept.is_empty() {
        return Ok(());
    }
    // SAFETY: sleeping is a system call on a time of the child's own.
    unsafe { orphan::start(&mut kept, || thread::sleep(FREED_AFTER)) }?;
    child_has_what_was_put_aside();
    Ok(())
}

//! Tap and tun devices: `ip tuntap add`. They are the one kind that route netlink reads and does not
//! make.
//!
//! Needs CAP_NET_ADMIN and /dev/net/tun.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

use super::Tap;
use crate::{Error, IfName, Result};

mod label;
mod queue;

pub(super) use label::create_labelled;
pub use label::{HELPER, help};
pub use queue::TunQueue;

const DEVICE: &str = "/dev/net/tun";

/// Whether tap and tun devices can be made.
///
/// # Errors
/// The kernel has none, or nobody made /dev/net/tun.
pub fn can_make() -> Result<()> {
    open().map(drop)
}

fn open() -> Result<File> {
    let options = File::options().read(true).write(true).open(DEVICE);
    options.map_err(|source| Error::new("open", DEVICE, source))
}

/// Makes a persistent device in the calling thread's namespace.
///
/// # Errors
/// [`is_exists`](Error::is_exists) when the name is taken; the kernel has no such devices.
pub(super) fn create(name: &IfName, tap: Tap) -> Result<()> {
    let failed = |source| Error::new("add tap", name, source);
    let file = open().map_err(|error| Error {
        message: Some(format!("open {DEVICE}")),
        ..failed(error.source)
    })?;
    attach(&file, name, flags(tap) | EXCLUSIVE)
        .map_err(exists)
        .map_err(failed)?;
    // The owner before persistence: up to there the device goes with the file.
    if let Some(owner) = tap.owner {
        set(&file, libc::TUNSETOWNER, owner.into()).map_err(failed)?;
    }
    if let Some(group) = tap.group {
        set(&file, libc::TUNSETGROUP, group.into()).map_err(failed)?;
    }
    set(&file, libc::TUNSETPERSIST, 1).map_err(failed)
}

/// The kernel says 'busy' of a name that is taken, when a device that is there is not wanted.
fn exists(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EBUSY) => io::Error::from_raw_os_error(libc::EEXIST),
        _ => error,
    }
}

/// `IFF_TUN_EXCL`: a device that is there already is not taken over.
const EXCLUSIVE: libc::c_int = 0x8000;

/// What a device is, as `TUNSETIFF` takes it.
fn flags(tap: Tap) -> libc::c_int {
    let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
    let kind = match tap.is_tun {
        true => libc::IFF_TUN,
        false => libc::IFF_TAP,
    };
    kind | flag(!tap.packet_information, libc::IFF_NO_PI)
        | flag(tap.vnet_header, libc::IFF_VNET_HDR)
        | flag(tap.multi_queue, libc::IFF_MULTI_QUEUE)
}

fn attach(file: &File, name: &IfName, flags: libc::c_int) -> io::Result<()> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            // The kernel reads the lower 16 bits.
            ifru_flags: flags as libc::c_short,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the file is open, and `request` is the structure that TUNSETIFF reads and writes; its
    // name ends in a zero because an IfName has at most 15 bytes.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    checked(answer)
}

fn set(file: &File, operation: libc::Ioctl, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the file is open, and these operations take a number, not a pointer.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), operation as _, value) };
    checked(answer)
}

fn checked(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

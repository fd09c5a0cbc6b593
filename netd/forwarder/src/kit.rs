//! The descriptors that a forwarder works with. They go from netd to each forwarder, and from a forwarder
//! whose netd has ended to the next netd, so that none is ever closed and no packet lost in it.

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use kernel::handover::{self, ReceiveError};
use kernel::{DatagramSocket, IfName, LinkIndex, Netlink, TunQueue};

/// Queues of the device and sockets, as many of both; what a later netd finds the forwarder by.
#[derive(Debug)]
pub struct Kit {
    pub(crate) listener: UnixListener,
    pub(crate) queues: Vec<TunQueue>,
    pub(crate) sockets: Vec<DatagramSocket>,
}

/// Why there are no descriptors.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// The device or the UDP port.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// What another process has did not come.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// It is no process of netd's.
    #[error("another process sent descriptors that are none of netd's")]
    Strange,
    /// It was removed just now, and the kernel makes another one for whoever asks for its queues.
    #[error(
        "the device {device} is not link {link} any more, which was made for this; another is made"
    )]
    OtherDevice {
        /// Its name.
        device: IfName,
        /// Its index.
        link: LinkIndex,
    },
    /// The socket for later netds.
    #[error("the socket {path} cannot be made")]
    Listen {
        /// Where.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl KitError {
    /// Another socket has the UDP port.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Kernel(error) if error.is_address_in_use())
    }

    /// The other process is there and sent them, but this one may not have as many.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Receive(ReceiveError::Incomplete { .. }))
    }
}

impl Kit {
    /// `count` queues of the device that is this link, and sockets at an address; the file `path` is made
    /// anew. The socket comes first: a port that is taken is told, whatever the device does.
    ///
    /// # Errors
    /// See [`KitError`].
    pub fn open(
        device: &IfName,
        link: LinkIndex,
        local: SocketAddrV4,
        count: usize,
        path: &Path,
    ) -> Result<Self, KitError> {
        let sockets = DatagramSocket::open(local, count)?;
        let queues = (0..count).map(|_| TunQueue::attach(device));
        let queues = queues.collect::<kernel::Result<_>>()?;
        let listener = listen(path).map_err(|source| KitError::Listen {
            path: path.display().to_string(),
            source,
        })?;
        let kit = Self {
            listener,
            queues,
            sockets,
        };
        match kit.fits(device, link, local)? {
            true => Ok(kit),
            false => Err(KitError::OtherDevice {
                device: device.clone(),
                link,
            }),
        }
    }

    /// Whether they are of that device, which still is there, and at that address.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn fits(
        &self,
        device: &IfName,
        link: LinkIndex,
        local: SocketAddrV4,
    ) -> Result<bool, KitError> {
        let named = Netlink::open()?.link(device)?;
        if named.is_none_or(|found| found.index != link) || self.queues.is_empty() {
            return Ok(false);
        }
        // The queues after the name: one that is of a device which is removed in between has none.
        for queue in &self.queues {
            if queue.device()?.as_ref() != Some(device) {
                return Ok(false);
            }
        }
        for socket in &self.sockets {
            if socket.local()? != local {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the other side the same.
    ///
    /// # Errors
    /// Nobody is there to receive them.
    pub fn send(&self, to: &UnixStream) -> io::Result<()> {
        let mut all = vec![self.listener.as_fd()];
        all.extend(self.queues.iter().map(AsFd::as_fd));
        all.extend(self.sockets.iter().map(AsFd::as_fd));
        handover::send(to, &all)
    }

    /// Takes what the other side sent.
    ///
    /// # Errors
    /// It ended, this process may not have so many, or something else came.
    pub fn receive(from: &UnixStream) -> Result<Self, KitError> {
        let mut all = handover::receive(from)?.into_iter();
        let count = all.len().saturating_sub(1) / 2;
        let listener: OwnedFd = all.next().ok_or(KitError::Strange)?;
        let queues: Vec<_> = all.by_ref().take(count).map(TunQueue::from).collect();
        let sockets: Vec<_> = all.map(DatagramSocket::from).collect();
        match count > 0 && sockets.len() == count {
            true => Ok(Self {
                listener: listener.into(),
                queues,
                sockets,
            }),
            false => Err(KitError::Strange),
        }
    }
}

/// For this user alone.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

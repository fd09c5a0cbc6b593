//! The descriptors that a forwarder works with. They go from netd to each forwarder, and from a forwarder
//! whose netd has ended to the next netd, so that none is ever closed and no packet lost in it.

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use kernel::{DatagramSocket, IfName, LinkIndex, Netlink, TunQueue, handover};

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
        let sockets = (0..count).map(|_| DatagramSocket::open(local));
        let sockets = sockets.collect::<kernel::Result<_>>()?;
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
        match kit.fits(device, link, local) {
            true => Ok(kit),
            false => Err(KitError::OtherDevice {
                device: device.clone(),
                link,
            }),
        }
    }

    /// Whether they are of that device, which still is there, and at that address.
    pub fn fits(&self, device: &IfName, link: LinkIndex, local: SocketAddrV4) -> bool {
        let has_name = |found: Option<kernel::Link>| found.is_some_and(|found| found.index == link);
        let named = Netlink::open().and_then(|netlink| netlink.link(device));
        let of_device = |queue: &TunQueue| queue.device().is_ok_and(|seen| seen == *device);
        let is_local = |socket: &DatagramSocket| socket.local().is_ok_and(|seen| seen == local);
        // The queues after the name: one that is of a device which is removed in between has none.
        named.is_ok_and(has_name)
            && !self.queues.is_empty()
            && self.queues.iter().all(of_device)
            && self.sockets.iter().all(is_local)
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
    /// It ended, or sent something else.
    pub fn receive(from: &UnixStream) -> io::Result<Self> {
        let mut all = handover::receive(from)?.into_iter();
        let count = all.len().saturating_sub(1) / 2;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "other descriptors came");
        let listener: OwnedFd = all.next().ok_or_else(wrong)?;
        let queues: Vec<_> = all.by_ref().take(count).map(TunQueue::from).collect();
        let sockets: Vec<_> = all.map(DatagramSocket::from).collect();
        match count > 0 && sockets.len() == count {
            true => Ok(Self {
                listener: listener.into(),
                queues,
                sockets,
            }),
            false => Err(wrong()),
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

//! Errors of the plugin, in the words of the reference plugin where it has some.

use attach::Refusal;

/// A configuration that cannot work or a step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("specify either \"device\", \"hwaddr\", \"kernelpath\" or \"pciBusID\"")]
    NothingNamed,
    #[error("runtime config DeviceID {0} not found or unsupported")]
    DeviceId(String),
    #[error("error with host device: lstat /sys/bus/pci/devices/{0}: no such file or directory")]
    NoCard(String),
    #[error("failed to find host device")]
    NotFound(#[from] NotFound),
    #[error("failed to move link failed to move {interface:?} (host: {device:?}) to container NS")]
    Move {
        interface: String,
        device: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to move {interface:?} back to the host as {device:?}")]
    MoveBack {
        interface: String,
        device: String,
        #[source]
        source: Refusal,
    },
    #[error(
        "failed to give the link {link:?}, which came back from a pod that is gone, its name {device:?} again"
    )]
    RenameBack {
        link: String,
        device: String,
        #[source]
        source: Refusal,
    },
    #[error(
        "Interface {name} has the alias {alias:?}, which is not the name of its device on the host: \
         DEL could not give it back"
    )]
    Alias { name: String, alias: String },
    #[error("Interface {0} is down")]
    Down(String),
    #[error(transparent)]
    NoNetNs(#[from] kernel::NetNsError),
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// Of an IPAM plugin: passed on unchanged.
    #[error(transparent)]
    Cni(#[from] cni::Error),
}

/// Why the device is not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotFound {
    #[error("Link not found: the host has no link {0:?}")]
    Name(String),
    #[error("failed to parse MAC address {0:?}: address {0}: invalid MAC address")]
    Mac(String),
    #[error("failed to find physical interface: no link of the host is at {0}")]
    NoInterface(String),
    #[error("kernel device path {0:?} must be absolute and begin with /sys/devices/")]
    OutsideOfDevices(String),
    #[error("failed to read directory {path}")]
    Unreadable {
        path: String,
        #[source]
        source: Refusal,
    },
    #[error("no net directory under pci device {0}")]
    NoNetOfPci(String),
    #[error("no net directory under auxiliary device {0}")]
    NoNetOfAuxiliary(String),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cni(error) => error,
            other => Self::internal(other),
        }
    }
}

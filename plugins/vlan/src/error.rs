//! Errors of the plugin, in the words of the reference plugin where it has some.

/// A configuration that cannot work, a step that failed, or a difference that CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "\"master\" field is required. It specifies the host interface name to create the VLAN for"
    )]
    NoMaster,
    #[error(
        "failed to execute IPAM delegate: no plugin name provided: vlan needs ipam.type, the pod has no address otherwise"
    )]
    NoIpam,
    #[error("invalid VLAN ID {0} (must be between 0 and 4094)")]
    VlanId(i64),
    #[error("master {0:?} is down, the kernel sets no VLAN up on it")]
    MasterDown(String),
    #[error(
        "failed to create vlan: file exists: {master:?} has an interface for VLAN {id} already, in this namespace or another"
    )]
    Taken { master: String, id: u16 },
    #[error("Error: VLAN ID of link {name} is {seen}, configured is {wanted}")]
    OtherId {
        name: String,
        wanted: u16,
        seen: u16,
    },
    #[error("Error: Tuning configured MTU of {name} is {wanted}, current value is {seen}")]
    OtherMtu {
        name: String,
        wanted: i64,
        seen: u32,
    },
    #[error(transparent)]
    Attach(#[from] attach::Error),
    /// Of an IPAM plugin: code and details are passed on unchanged.
    #[error(transparent)]
    Cni(#[from] cni::Error),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cni(error) => error,
            other => Self::internal(other),
        }
    }
}

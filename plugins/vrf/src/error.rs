//! Errors of the plugin, in the words of the reference plugin where it has some.

use attach::{Refusal, chained};

/// A configuration that cannot work, a step that failed, or a difference that CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration is expected to have a valid vrf name")]
    NoName,
    #[error("missing prevResult from earlier plugin; {}", chained::REMEDY)]
    NoPrevious,
    /// What a step of ADD failed with.
    #[error("cmdAdd failed")]
    Add(#[source] Box<Error>),
    #[error("could not get link by name {0}")]
    NoLink(String),
    #[error("interface {interface} has already a master set: {master}")]
    HasMaster { interface: String, master: String },
    #[error("Netlink {0} is not a VRF")]
    NotAVrf(String),
    #[error("VRF {name} already exist with different routing table {table}")]
    OtherTable { name: String, table: u32 },
    #[error("could not add VRF {name}")]
    MakeVrf {
        name: String,
        #[source]
        source: Refusal,
    },
    #[error("could not add VRF {name:?}")]
    VrfName {
        name: String,
        #[source]
        source: kernel::IfNameError,
    },
    #[error("could not set vrf {vrf} as the master of {interface}")]
    Enslave {
        interface: String,
        vrf: String,
        #[source]
        source: Refusal,
    },
    #[error("could not take {interface} out of vrf {vrf}")]
    Release {
        interface: String,
        vrf: String,
        #[source]
        source: Refusal,
    },
    #[error("could not delete vrf {vrf}, which has no interface any more")]
    DeleteVrf {
        vrf: String,
        #[source]
        source: Refusal,
    },
    #[error("could not {change}")]
    Restore {
        change: String,
        #[source]
        source: Refusal,
    },
    #[error("VRF {0}: Link not found")]
    VrfMissing(String),
    #[error("failed to find {interface} associated to vrf {vrf}")]
    NotAMember { interface: String, vrf: String },
    #[error("VRF {name} has routing table {seen}, not {wanted} as configured")]
    Table {
        name: String,
        seen: u32,
        wanted: u32,
    },
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        Self::internal(error)
    }
}

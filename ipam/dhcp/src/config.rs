//! The plugin's configuration.

use std::path::{Path, PathBuf};

use cni::json::JsonError;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the daemon listens unless it is told otherwise.
pub(crate) const SOCKET: &str = "/run/cni/dhcp.sock";

/// The configuration of a network whose addresses a DHCP server gives.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    /// Where the addresses come from.
    pub(crate) ipam: Option<Ipam>,
}

/// The `ipam` object of type `dhcp`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Ipam {
    /// The socket of the daemon, `/run/cni/dhcp.sock` unless the daemon was told otherwise.
    #[schemars(extend("default" = "/run/cni/dhcp.sock"))]
    pub(crate) daemon_socket_path: String,
    /// The metric of all routes that the server gives; 0 leaves it to the kernel.
    #[schemars(extend("x-since" = "1.6.0"))]
    pub(crate) priority: i64,
    /// Options that are sent to the server.
    pub(crate) provide: Vec<Provided>,
    /// Options that the server is asked for, beside mask, routers and name resolution.
    pub(crate) request: Vec<Requested>,
}

/// An option that is sent to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Provided {
    /// Its name or number: `host-name`, `vendor-class-identifier`, `user-class`,
    /// `dhcp-client-identifier`, or one up to 255.
    #[schemars(extend("examples" = ["host-name", "60"]))]
    pub(crate) option: String,
    /// Its value, up to 255 bytes.
    #[schemars(extend("examples" = ["web"]))]
    pub(crate) value: String,
    /// The key of `CNI_ARGS` whose value is sent instead.
    #[schemars(extend("examples" = ["K8S_POD_NAME"]))]
    pub(crate) from_arg: String,
}

/// An option that the server is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Requested {
    /// Its name or number.
    #[schemars(extend("examples" = ["121", "routers"]))]
    pub(crate) option: String,
    /// Nothing is asked for but what is listed here.
    pub(crate) skip_default: bool,
}

impl Config {
    /// # Errors
    /// A value of the wrong type.
    pub(crate) fn read(stdin: &[u8]) -> Result<Self, JsonError> {
        cni::json::from_slice(stdin)
    }

    /// Where the daemon is.
    pub(crate) fn socket(&self) -> PathBuf {
        let written = self.ipam.as_ref().map(|ipam| &*ipam.daemon_socket_path);
        let written = written.filter(|path| !path.is_empty());
        Path::new(written.unwrap_or(SOCKET)).to_owned()
    }
}

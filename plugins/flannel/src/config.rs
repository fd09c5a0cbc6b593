//! The plugin's own configuration, as written and then as checked.

use std::path::PathBuf;

use cni::{Call, Error, code};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where subnet.env is when `subnetFile` does not say.
const SUBNET_FILE: &str = "/run/flannel/subnet.env";
/// Where state files are when `dataDir` does not say.
const DATA_DIR: &str = "/var/lib/cni/flannel";

/// What the keys of the network configuration are, once checked.
#[derive(Debug)]
pub(super) struct Config {
    /// `cniVersion` as given; empty when it is not.
    pub(super) cni_version: String,
    /// Where subnet.env is.
    pub(super) subnet_file: PathBuf,
    /// Where state files are.
    pub(super) data_dir: PathBuf,
    /// Base of the delegate's configuration.
    pub(super) delegate: Map<String, Value>,
    /// Base of the delegate's `ipam`.
    pub(super) ipam: Map<String, Value>,
    /// For the delegate as it is.
    pub(super) runtime_config: Option<Value>,
    /// For the delegate's CHECK as it is.
    pub(super) prev_result: Option<Value>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Written {
    #[serde(rename = "cniVersion")]
    cni_version: String,
    /// The file in which netd or flanneld says what this node's subnet is.
    #[serde(rename = "subnetFile")]
    #[schemars(extend("default" = SUBNET_FILE))]
    subnet_file: String,
    /// Where it is kept what was passed to the delegate, a file for each attachment.
    #[serde(rename = "dataDir")]
    #[schemars(extend("default" = DATA_DIR))]
    data_dir: String,
    /// Configuration of the plugin that makes the interface: its `type`, `bridge` when there is
    /// none, and any of its keys but `name` and `ipam`.
    #[schemars(extend("examples" = [{"isDefaultGateway": true, "hairpinMode": true}]))]
    delegate: Map<String, Value>,
    ipam: Map<String, Value>,
    #[serde(rename = "runtimeConfig")]
    runtime_config: Option<Value>,
    #[serde(rename = "prevResult")]
    prev_result: Option<Value>,
}

impl Config {
    /// # Errors
    /// A value of the wrong type; a key in `delegate` that the plugin itself decides.
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Error> {
        let written: Written = call.config()?;
        check_delegate(&written.delegate)?;
        Ok(Self {
            cni_version: written.cni_version,
            subnet_file: path(written.subnet_file, SUBNET_FILE),
            data_dir: path(written.data_dir, DATA_DIR),
            delegate: written.delegate,
            ipam: written.ipam,
            runtime_config: written.runtime_config,
            prev_result: written.prev_result,
        })
    }

    /// The plugin that does the work.
    pub(super) fn delegate_type(&self) -> &str {
        super::netconf::delegate_type(&self.delegate)
    }
}

fn path(given: String, default: &str) -> PathBuf {
    PathBuf::from(if given.is_empty() {
        default.to_owned()
    } else {
        given
    })
}

fn check_delegate(delegate: &Map<String, Value>) -> Result<(), Error> {
    let invalid = |msg: String| Err(Error::new(code::INVALID_CONFIG, msg));
    if let Some(other) = delegate.get("type").filter(|value| !value.is_string()) {
        return invalid(format!(
            "'delegate' dictionary, if present, must have (string) 'type' field, not {other}"
        ));
    }
    for key in ["name", "ipam"] {
        if delegate.contains_key(key) {
            return invalid(format!(
                "'delegate' dictionary must not have '{key}' field, it is set from the network's"
            ));
        }
    }
    Ok(())
}

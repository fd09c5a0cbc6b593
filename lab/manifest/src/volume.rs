//! What containers of a pod share, or see of the machine.

use serde::{Deserialize, Serialize};

use crate::Quantity;
use crate::probe::{NotOne, exactly_one};

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "WrittenVolume")]
pub struct Volume {
    /// Its name, one in the pod.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub source: VolumeSource,
}

/// A volume as it is written: what is flattened cannot refuse fields that do not exist.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename = "Volume", deny_unknown_fields)]
struct WrittenVolume {
    name: String,
    empty_dir: Option<EmptyDir>,
    host_path: Option<HostPath>,
    config_map: Option<ConfigMapItems>,
}

impl TryFrom<WrittenVolume> for Volume {
    type Error = NotOne;

    fn try_from(written: WrittenVolume) -> Result<Self, NotOne> {
        let sources = [
            written.empty_dir.map(VolumeSource::EmptyDir),
            written.host_path.map(VolumeSource::HostPath),
            written.config_map.map(VolumeSource::ConfigMap),
        ];
        Ok(Self {
            name: written.name,
            source: exactly_one(sources).ok_or(NotOne("emptyDir, hostPath and configMap"))?,
        })
    }
}

/// What a volume is: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    /// Empty when the pod starts, gone with it.
    EmptyDir(EmptyDir),
    /// A file or directory of the node.
    HostPath(HostPath),
    /// Files whose content stands in the same file, as a document of kind `ConfigMap` beside the pod's.
    ConfigMap(ConfigMapItems),
}

/// Empty when the pod starts, gone with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmptyDir {
    /// Disk when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
    /// Bytes at most; of `Memory` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<Quantity>,
}

/// Where an empty directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// A tmpfs.
    Memory,
}

/// A file or directory of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPath {
    /// Absolute.
    pub path: String,
    /// What has to be there; anything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<HostPathType>,
}

/// What has to be at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// A directory.
    Directory,
    /// A directory; it is made when missing.
    DirectoryOrCreate,
    /// A file.
    File,
    /// A file; it is made when missing.
    FileOrCreate,
    /// A UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// The files of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapItems {
    /// The name of the ConfigMap.
    pub name: String,
    /// Mode bits of the files; 0644 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_mode: Option<u32>,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeMount {
    /// The volume's name.
    pub name: String,
    /// Where, absolute.
    pub mount_path: String,
    /// Whether it can only be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// A path in the volume instead of its root: relative, without `..`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
}

//! Volumes.

use manifest::{Medium, Volume, VolumeSource};

use super::lines::{Lines, NONE};

pub(super) fn text(volumes: &[Volume]) -> String {
    if volumes.is_empty() {
        return format!("Volumes:  {NONE}\n");
    }
    let mut text = "Volumes:\n".to_owned();
    for volume in volumes {
        text.push_str(&format!("  {}:\n", volume.name));
        text.push_str(&one(&volume.source).text());
    }
    text
}

fn one(source: &VolumeSource) -> Lines {
    let mut lines = Lines::default();
    match source {
        VolumeSource::EmptyDir(directory) => {
            lines.add(
                4,
                "Type",
                "EmptyDir (a temporary directory that shares a pod's lifetime)",
            );
            let medium = directory.medium.map(|Medium::Memory| "Memory");
            lines.add(4, "Medium", medium.unwrap_or_default());
            let limit = directory.size_limit.as_ref().map(ToString::to_string);
            lines.add(
                4,
                "SizeLimit",
                limit.unwrap_or_else(|| "<unset>".to_owned()),
            );
        }
        VolumeSource::HostPath(host) => {
            lines.add(4, "Type", "HostPath (bare host directory volume)");
            lines.add(4, "Path", &host.path);
            let kind = host.r#type.map(|kind| format!("{kind:?}"));
            lines.add(4, "HostPathType", kind.unwrap_or_default());
        }
        VolumeSource::ConfigMap(map) => {
            lines.add(4, "Type", "ConfigMap (a volume populated by a ConfigMap)");
            lines.add(4, "Name", &map.name);
        }
    }
    lines
}

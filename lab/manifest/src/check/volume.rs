//! Volumes and their mounts.

use std::collections::BTreeSet;

use super::{Complaints, name};
use crate::path::Path;
use crate::{EmptyDir, PodSpec, Volume, VolumeMount, VolumeSource};

/// All permission bits.
const MOST_MODE: u32 = 0o777;

/// The volumes of a pod.
pub(super) fn all(
    complaints: &mut Complaints,
    place: &Path,
    volumes: &[Volume],
    config_maps: &BTreeSet<&str>,
) {
    let names = volumes.iter().enumerate();
    complaints.unique(
        names.map(|(index, each)| (place.element(index).field("name"), each.name.as_str())),
    );
    for (index, volume) in volumes.iter().enumerate() {
        let place = place.element(index);
        complaints.add_some(place.field("name"), name::label(&volume.name));
        match &volume.source {
            VolumeSource::EmptyDir(directory) => {
                empty_dir(complaints, &place.field("emptyDir"), directory);
            }
            VolumeSource::HostPath(host) => {
                complaints.add_some(
                    place.field("hostPath").field("path"),
                    name::absolute(&host.path),
                );
            }
            VolumeSource::ConfigMap(map) => {
                let place = place.field("configMap");
                if !config_maps.contains(map.name.as_str()) {
                    let message = format!(
                        "there is no ConfigMap {:?} in these files: add it as a document",
                        map.name
                    );
                    complaints.add(place.field("name"), message);
                }
                if map.default_mode.is_some_and(|mode| mode > MOST_MODE) {
                    complaints.add(
                        place.field("defaultMode"),
                        "give 0 to 0777 (octal), or 511 (decimal)",
                    );
                }
            }
        }
    }
}

fn empty_dir(complaints: &mut Complaints, place: &Path, directory: &EmptyDir) {
    let place = place.field("sizeLimit");
    match (&directory.size_limit, directory.medium) {
        (Some(_), None) => {
            let message = "the lab cannot keep this on disk: add `medium: Memory`, or leave it out";
            complaints.add(place, message);
        }
        (Some(limit), Some(_)) if limit.whole() == 0 => complaints.add(place, "give 1 or more"),
        _ => {}
    }
}

/// The mounts of a container.
pub(super) fn mounts(
    complaints: &mut Complaints,
    place: &Path,
    mounts: &[VolumeMount],
    spec: &PodSpec,
) {
    let places = mounts.iter().enumerate();
    complaints.unique(places.map(|(index, each)| {
        let place = place.element(index).field("mountPath");
        (place, each.mount_path.trim_end_matches('/'))
    }));
    for (index, mount) in mounts.iter().enumerate() {
        let place = place.element(index);
        if !spec.volumes.iter().any(|volume| volume.name == mount.name) {
            complaints.add(
                place.field("name"),
                format!("the pod has no volume {:?}", mount.name),
            );
        }
        complaints.add_some(place.field("mountPath"), name::absolute(&mount.mount_path));
        if mount.mount_path.bytes().all(|byte| byte == b'/') {
            complaints.add(
                place.field("mountPath"),
                "the root itself cannot be a volume",
            );
        }
        if let Some(path) = &mount.sub_path {
            complaints.add_some(place.field("subPath"), name::relative(path));
        }
    }
}

//! Security contexts.

use caps::Capability;

use super::Complaints;
use crate::path::Path;
use crate::{PodSecurity, PodSpec, Security, Sysctl};

/// Settings of the IPC namespace, or how they begin.
const OF_IPC: [&str; 4] = ["kernel.sem", "kernel.shm*", "kernel.msg*", "fs.mqueue.*"];
/// The largest number of a user or group, as Kubernetes has it.
const MOST_ID: u32 = i32::MAX.unsigned_abs();
/// The largest of a pod with `hostUsers: false`.
const MOST_OWN_ID: u32 = u16::MAX as u32;

/// Settings of the network namespace.
const OF_NETWORK: &str = "net.*";

pub(super) fn of_pod(
    complaints: &mut Complaints,
    place: &Path,
    settings: &PodSecurity,
    spec: &PodSpec,
) {
    for (field, id) in [
        ("runAsUser", settings.run_as_user),
        ("runAsGroup", settings.run_as_group),
        ("fsGroup", settings.fs_group),
    ] {
        complaints.add_some(place.field(field), no_id(id, spec));
    }
    for (index, group) in settings.supplemental_groups.iter().enumerate() {
        let place = place.field("supplementalGroups").element(index);
        complaints.add_some(place, no_id(Some(*group), spec));
    }
    let place = place.field("sysctls");
    let places = settings.sysctls.iter().enumerate();
    complaints.unique(
        places.map(|(index, each)| (place.element(index).field("name"), each.name.as_str())),
    );
    for (index, sysctl) in settings.sysctls.iter().enumerate() {
        complaints.add_some(
            place.element(index).field("name"),
            not_of_the_pod(sysctl, spec),
        );
    }
}

/// Why a number is none of a user or group: the kernel's -1 means "as it is".
fn no_id(id: Option<u32>, spec: &PodSpec) -> Option<String> {
    let (most, pods) = match spec.has_own_users() {
        true => (MOST_OWN_ID, " in a pod with `hostUsers: false`"),
        false => (MOST_ID, ""),
    };
    id.filter(|id| *id > most)
        .map(|_| format!("give a number from 0 to {most}{pods}"))
}

/// Why a setting cannot be a pod's own.
fn not_of_the_pod(sysctl: &Sysctl, spec: &PodSpec) -> Option<String> {
    let name = sysctl.name.as_str();
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    };
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let well_formed = name
        .split('.')
        .all(|word| !word.is_empty() && word.bytes().all(part));
    if !well_formed {
        Some(format!(
            "{name:?} is not a name of a setting: give one with dots, like net.core.somaxconn"
        ))
    } else if matches(OF_NETWORK) {
        spec.host_network
            .then(|| format!("{name} is the node's in a pod with hostNetwork"))
    } else if OF_IPC.into_iter().any(matches) {
        spec.host_ipc
            .then(|| format!("{name} is the node's in a pod with hostIPC"))
    } else {
        Some(format!(
            "{name} is no setting of a pod's own: those are {OF_NETWORK}, {}",
            OF_IPC.join(", ")
        ))
    }
}

pub(super) fn of_container(
    complaints: &mut Complaints,
    place: &Path,
    settings: &Security,
    spec: &PodSpec,
) {
    if settings.privileged == Some(true) && settings.allow_privilege_escalation == Some(false) {
        let message = "a privileged container can always gain privileges: leave one of them out";
        complaints.add(place.field("allowPrivilegeEscalation"), message);
    }
    for (field, id) in [
        ("runAsUser", settings.run_as_user),
        ("runAsGroup", settings.run_as_group),
    ] {
        complaints.add_some(place.field(field), no_id(id, spec));
    }
    let Some(capabilities) = &settings.capabilities else {
        return;
    };
    let place = place.field("capabilities");
    for (field, names) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
        for (index, name) in names.iter().enumerate() {
            if name != "ALL" && !is_capability(name) {
                let message = format!(
                    "{name:?} is no capability: give ALL or a name as in capabilities(7) without CAP_"
                );
                complaints.add(place.field(field).element(index), message);
            }
        }
    }
}

/// As Kubernetes writes it: without `CAP_`, in capitals.
fn is_capability(name: &str) -> bool {
    format!("CAP_{name}").parse::<Capability>().is_ok()
}

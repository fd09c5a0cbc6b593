//! What a pod asks for and a lab without root has not: said before anything is made.

use anyhow::{Result, bail};
use manifest::{CPUSET, Container, IO_READ, IO_WRITE, Pod, PodSpec};
use sandbox::rootless::{groups_are_fixed, has_group, has_user};

use super::is_without_root;
use crate::pod::founder::annotations;

/// # Errors
/// This lab is without root, and the pod asks for what it has not.
pub fn refuse(pod: &Pod) -> Result<()> {
    if !is_without_root() {
        return Ok(());
    }
    let asked = annotations(pod);
    for (name, is_there) in [
        (IO_READ, asked.io_read.is_some()),
        (IO_WRITE, asked.io_write.is_some()),
        (CPUSET, asked.processors.is_some()),
    ] {
        if is_there {
            bail!(
                "the annotation {name} is a limit, and a lab without root has no control groups to hold the pod to that: \
                 leave it out, or start the lab as root"
            );
        }
    }
    let pod = &pod.spec;
    for container in pod.init_containers.iter().chain(&pod.containers) {
        if let Some(resource) = limited(container) {
            bail!(
                "container {} has a limit or request of {resource}, and a lab without root has no control groups to \
                 hold it to that: leave it out, or start the lab as root",
                container.name
            );
        }
    }
    if pod.has_own_users() {
        bail!(
            "`hostUsers: false` needs 65536 users that are nobody's, and a lab without root has none to give: leave it \
             out (root of the pod is the user who started the lab, and not the machine's), or start the lab as root"
        );
    }
    if let Some(who) = nobody(pod) {
        bail!(
            "{who}, and this lab without root has none of that number: newuidmap, newgidmap and ranges in /etc/subuid \
             and /etc/subgid give it more; else leave it out, or start the lab as root"
        );
    }
    Ok(())
}

/// A user or group that a pod asks for and that there is not.
fn nobody(pod: &PodSpec) -> Option<String> {
    let no_user = |user: &u32| !has_user(*user);
    let no_group = |group: &u32| !has_group(*group);
    let containers = pod.init_containers.iter().chain(&pod.containers);
    let own = containers.filter_map(|each| each.security_context.as_ref());
    let own: Vec<_> = own
        .map(|each| (each.run_as_user, each.run_as_group))
        .collect();
    let of_pod = pod.security_context.as_ref();
    let all = of_pod.map(|pod| (pod.run_as_user, pod.run_as_group));
    for (user, group) in own.into_iter().chain(all) {
        if let Some(user) = user.filter(no_user) {
            return Some(format!("runAsUser is {user}"));
        }
        if let Some(group) = group.filter(no_group) {
            return Some(format!("runAsGroup is {group}"));
        }
    }
    let of_pod = of_pod?;
    let cannot_have = |group: &&u32| groups_are_fixed() || no_group(group);
    let mut further = of_pod.supplemental_groups.iter().chain(&of_pod.fs_group);
    let group = further.find(cannot_have)?;
    Some(format!("supplementalGroups or fsGroup has {group}"))
}

fn limited(container: &Container) -> Option<&str> {
    let resources = &container.resources;
    let mut names = resources.limits.keys().chain(resources.requests.keys());
    names.next().map(|name| name.as_ref())
}

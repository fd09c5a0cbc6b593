//! The pod's files, on a tmpfs that lives in the supervisor's mount namespace: nobody has to remove them.
//!
//! | path | what |
//! |---|---|
//! | `hosts`, `hostname`, `resolv.conf` | what every container sees in `/etc` |
//! | `shm/` | `/dev/shm` of every container |
//! | `volumes/NAME/` | volumes |
//! | `roots/CONTAINER/` | where a container makes its root |

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result, bail};
use manifest::{EmptyDir, HostPath, HostPathType, Medium, Volume, VolumeSource};
use sandbox::mount;

use super::Held;
use crate::node::Node;
use crate::pod::launch::scratch;
use crate::pod::{Pod, process};

/// Makes them, but what the network has to say.
///
/// # Errors
/// A `hostPath` is not what it should be; a file cannot be made.
pub(super) fn make(pod: &Pod, held: &Held) -> Result<()> {
    let scratch = scratch(&pod.name);
    mount::make_directory(&scratch)?;
    mount::tmpfs(&scratch, "mode=0755")?;
    let shared_memory = scratch.join("shm");
    mount::make_directory(&shared_memory)?;
    // As much as container runtimes give.
    mount::tmpfs(&shared_memory, "mode=1777,size=64m")?;
    own(pod, &shared_memory)?;
    for volume in &pod.spec().volumes {
        make_volume(pod, volume, &scratch, held)
            .with_context(|| format!("volume {} of pod {}", volume.name, pod.name))?;
    }
    Ok(())
}

/// Writes what `/etc` has of the network.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write_network(pod: &Pod, node: &Node) -> Result<()> {
    let hostname = match pod.spec().host_network {
        true => node.name.as_str(),
        false => process::hostname(pod),
    };
    let resolv_conf = match &pod.network {
        Some(network) => network.resolv_conf.clone(),
        None => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    let scratch = scratch(&pod.name);
    for (name, text) in [
        ("hosts", hosts(pod, node, hostname)),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", resolv_conf),
    ] {
        write(pod, &scratch.join(name), &text, 0o644)?;
    }
    Ok(())
}

/// Makes the pod's root the owner of what was made for it, where that is not the machine's.
fn own(pod: &Pod, path: &Path) -> Result<()> {
    match pod.users {
        Some(users) => Ok(users.own(path)?),
        None => Ok(()),
    }
}

/// hosts(5).
fn hosts(pod: &Pod, node: &Node, hostname: &str) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    match &pod.network {
        Some(network) => {
            for address in &network.addresses {
                text.push_str(&format!("{} {hostname}\n", address.ip()));
            }
        }
        None => {
            for address in &node.addresses {
                text.push_str(&format!("{address} {hostname}\n"));
            }
        }
    }
    for alias in &pod.spec().host_aliases {
        text.push_str(&format!("{} {}\n", alias.ip, alias.hostnames.join(" ")));
    }
    text
}

fn make_volume(pod: &Pod, volume: &Volume, scratch: &Path, held: &Held) -> Result<()> {
    let path = process::volume(scratch, &volume.name);
    match &volume.source {
        VolumeSource::EmptyDir(empty) => make_empty(pod, empty, &path),
        VolumeSource::HostPath(host) => {
            check_host_path(host)?;
            held.check_volume(Path::new(&host.path))
        }
        VolumeSource::ConfigMap(items) => {
            mount::make_directory(&path)?;
            own(pod, &path)?;
            let files = pod.workload.config_maps.get(&items.name);
            let files = files.with_context(|| format!("there is no ConfigMap {}", items.name))?;
            files.iter().try_for_each(|(name, text)| {
                write(
                    pod,
                    &path.join(name),
                    text,
                    items.default_mode.unwrap_or(0o644),
                )
            })
        }
    }
}

fn make_empty(pod: &Pod, empty: &EmptyDir, path: &Path) -> Result<()> {
    mount::make_directory(path)?;
    if empty.medium == Some(Medium::Memory) {
        let size = empty.size_limit.as_ref();
        let size = size.map_or(String::new(), |size| format!(",size={}", size.whole()));
        mount::tmpfs(path, &format!("mode=0777{size}"))?;
    }
    own(pod, path)?;
    // Its group owns what is made in it, as kubelet has it.
    let security = pod.spec().security_context.as_ref();
    let mode = match security.and_then(|security| security.fs_group) {
        Some(group) => {
            let on_machine = pod.users.map_or(group, |users| users.on_machine(group));
            chown(path, None, Some(on_machine))
                .with_context(|| format!("give {} to group {group}", path.display()))?;
            0o2777
        }
        None => 0o777,
    };
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
}

fn check_host_path(host: &HostPath) -> Result<()> {
    let path = Path::new(&host.path);
    let made = match host.r#type {
        Some(HostPathType::DirectoryOrCreate) => fs::create_dir_all(path),
        Some(HostPathType::FileOrCreate) if !path.exists() => fs::write(path, ""),
        _ => Ok(()),
    };
    made.with_context(|| format!("create {}", path.display()))?;
    let kind = fs::metadata(path).with_context(|| format!("hostPath {}", path.display()))?;
    let kind = kind.file_type();
    let (fits, wanted) = match host.r#type {
        None => (true, ""),
        Some(HostPathType::Directory | HostPathType::DirectoryOrCreate) => {
            (kind.is_dir(), "a directory")
        }
        Some(HostPathType::File | HostPathType::FileOrCreate) => (kind.is_file(), "a file"),
        Some(HostPathType::Socket) => (kind.is_socket(), "a socket"),
        Some(HostPathType::CharDevice) => (kind.is_char_device(), "a character device"),
        Some(HostPathType::BlockDevice) => (kind.is_block_device(), "a block device"),
    };
    if !fits {
        bail!("hostPath {} is not {wanted}", path.display());
    }
    Ok(())
}

fn write(pod: &Pod, path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    own(pod, path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
}

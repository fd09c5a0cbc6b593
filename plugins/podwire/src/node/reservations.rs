//! host-local's reservations: `<dataDir>/<network>/<address>`, in it the container ID and, on the
//! second line, the interface.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use attach::owner::Owner;

use super::{Node, NodeError, Places, networks};

/// Puts them in.
pub(super) fn collect(node: &mut Node, places: &Places) -> Result<(), NodeError> {
    let mut dirs: BTreeSet<PathBuf> = places.data_dirs.iter().cloned().collect();
    dirs.extend(networks::data_dirs(&node.networks));
    for dir in dirs {
        for network in entries(&dir)? {
            let path = dir.join(&network);
            if path.is_dir() {
                collect_network(node, &network, &path)?;
                node.reserving.insert(path, network);
            }
        }
    }
    Ok(())
}

fn collect_network(node: &mut Node, network: &str, dir: &Path) -> Result<(), NodeError> {
    for name in entries(dir)? {
        let Ok(address) = name.parse::<IpAddr>() else {
            continue;
        };
        let path = dir.join(&name);
        let (owner, unread) = match files::read_to_string(&path, files::Links::Refuse) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // It counts as taken, and may be a pod's that lives.
            Err(error) => {
                let why = format!("cannot read {}: {error}", path.display());
                (Some(unknown(network)), Some(why))
            }
            Ok(file) => (owner(node, network, &file), None),
        };
        // The reference leaves empty files when it crashes; nobody owns their addresses.
        let Some(owner) = owner else { continue };
        let since = fs::symlink_metadata(&path).and_then(|file| file.modified());
        let attachment = node.at(owner);
        attachment.addresses.insert(address);
        attachment.reserved.insert(address);
        attachment.reservations.push(path);
        attachment.unread.extend(unread);
        attachment.seen_since(since.ok());
    }
    Ok(())
}

/// Whose the reservations of a network are that cannot be read.
fn unknown(network: &str) -> Owner {
    Owner {
        network: network.to_owned(),
        container_id: String::new(),
        ifname: String::new(),
    }
}

/// Old releases wrote no interface: it is the container's only one then, or not known.
fn owner(node: &Node, network: &str, file: &str) -> Option<Owner> {
    let mut lines = file.lines().map(str::trim);
    let container_id = lines.next().filter(|id| !id.is_empty())?;
    let of_container =
        |owner: &&Owner| owner.network == network && owner.container_id == container_id;
    let ifname = match lines.next().filter(|ifname| !ifname.is_empty()) {
        Some(ifname) => ifname.to_owned(),
        None => {
            let mut known = node.attachments.keys().filter(of_container);
            known
                .next()
                .map_or_else(String::new, |owner| owner.ifname.clone())
        }
    };
    Some(Owner {
        network: network.to_owned(),
        container_id: container_id.to_owned(),
        ifname,
    })
}

fn entries(dir: &Path) -> Result<Vec<String>, NodeError> {
    let failed = |error| NodeError::new(format!("read {}", dir.display()))(error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry =
            entry.map_err(|error| NodeError::new(format!("read {}", dir.display()))(error))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

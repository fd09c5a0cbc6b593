//! The machine's images, as a node sees them.
//!
//! A node's `/var/lib` is an overlay, and through an overlay the whiteouts of layers cannot be seen: they would
//! hide nothing. So the store is mounted on the node as it is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sandbox::mount::{Detached, make_directory};
use sandbox::{Namespace, Namespaces, Process};

use super::{Base, Pod};
use crate::home;
use crate::node::machines_root;

/// Where the store is on a node.
const ON_NODE: &str = "/run/podwire-images";

/// Shows the store, if the pod needs it, in the mount namespace of a process: that of its node, or its supervisor where
/// that may have begun before the node saw the store.
///
/// # Errors
/// The kernel refused; the process has ended.
pub(super) fn share(with: &Process, pod: &Pod) -> Result<()> {
    let Ok(root) = home::images() else {
        // Nothing comes from a store that is nowhere.
        return Ok(());
    };
    let mut layers = pod.bases.values().flat_map(|base| &base.layers);
    let needed = layers.any(|layer| layer.starts_with(&root));
    if !needed || is_shared(with, &root) {
        return Ok(());
    }
    let store = Detached::read_only_copy(&root)?;
    let attach = || {
        let target = Path::new(ON_NODE);
        make_directory(target).and_then(|()| store.attach(target))
    };
    Ok(Namespaces::of(with, &[Namespace::Mount])?.run(attach)??)
}

/// Whether the process sees this store, and not one that has been removed since.
fn is_shared(with: &Process, root: &Path) -> bool {
    let identity = |path: &Path| {
        fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    let store = identity(root);
    store.is_some()
        && store == identity(&PathBuf::from(format!("/proc/{}/root{ON_NODE}", with.pid)))
}

/// What a container's root is a view of, the lowest first, as the node sees it.
pub(super) fn lower(base: &Base) -> Vec<PathBuf> {
    match base.is_the_machines() {
        true => vec![machines_root().to_owned()],
        false => base.layers.iter().map(|layer| on_node(layer)).collect(),
    }
}

/// A path of the machine, as the node sees it.
fn on_node(path: &Path) -> PathBuf {
    let root = home::images().ok();
    match root.and_then(|root| path.strip_prefix(root).ok()) {
        Some(inside) => Path::new(ON_NODE).join(inside),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_where_the_node_has_the_store() {
        let layer = Path::new(image::ROOT).join("layers/sha256/ab");
        let seen = on_node(&layer);
        assert_eq!(seen, Path::new("/run/podwire-images/layers/sha256/ab"));
        assert_eq!(on_node(Path::new("/srv/root")), Path::new("/srv/root"));
    }
}

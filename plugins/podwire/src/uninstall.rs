//! `podwire uninstall`: what podwire leaves on a node on purpose, and how each thing goes.

mod host;
mod netd;

use std::{
    error::Error,
    fs,
    io::{self, ErrorKind::NotFound},
    path::{Path, PathBuf},
};

use crate::{
    OWN_NAME,
    node::{Node, NodeError, Places},
    remove::{Removal, Removed},
    runtime::bin_dirs,
    table::printable,
    verify,
};

/// Where the plugin tuning keeps what was there before: it stays when the last file goes.
const KEPT_BY_TUNING: &str = "/run/cni/tuning";

/// What of the node is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Where the executables are.
    pub(crate) bin_dir: PathBuf,
    /// Also what netd left.
    pub(crate) netd: bool,
    /// Where attachments are told of.
    pub(crate) places: Places,
}

/// Why a thing stays.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// One thing that goes.
pub(crate) struct Part<'a> {
    /// What it is.
    pub(crate) what: String,
    /// How it goes.
    pub(crate) remove: Box<dyn FnOnce() -> Outcome + 'a>,
}

impl<'a> Part<'a> {
    fn new(what: impl Into<String>, remove: impl FnOnce() -> Outcome + 'a) -> Self {
        Self {
            what: printable(&what.into()),
            remove: Box::new(remove),
        }
    }
}

/// What is there, in the order in which it goes: the executables last, so that whatever fails can
/// be tried again. Of what pods that live need, nothing.
///
/// # Errors
/// Something cannot be looked at; netd runs although what it left shall go.
pub(crate) fn parts<'a>(node: &'a Node, scope: &'a Scope) -> Result<Vec<Part<'a>>, NodeError> {
    let nobody_lives = node.living().next().is_none();
    let mut parts = left_of_pods(node, scope);
    if scope.netd {
        parts.extend(netd::parts()?);
    }
    if nobody_lives {
        parts.extend(host::passages()?);
        parts.extend(host::tables()?);
        parts.extend(host::made_tables(scope.netd)?);
    }
    parts.extend(host::bridges(node)?);
    parts.extend(reservations(node));
    if nobody_lives {
        let flannel = Path::new("/var/lib/cni/flannel");
        parts.extend(directory(flannel));
        parts.extend(directory(Path::new("/run/podwire")));
        parts.extend(empty_directory(Path::new(KEPT_BY_TUNING)));
    }
    parts.extend(executables(&scope.bin_dir)?);
    Ok(parts)
}

fn left_of_pods<'a>(node: &'a Node, scope: &'a Scope) -> Vec<Part<'a>> {
    let part = |(owner, attachment): (&'a _, &'a crate::node::Attachment)| {
        let attach::owner::Owner {
            network,
            container_id,
            ifname,
        } = owner;
        let left = attachment.left().join(", ");
        Part::new(
            format!("attachment {network}/{container_id}/{ifname} ({left})"),
            move || {
                let removal = Removal {
                    node,
                    places: &scope.places,
                    bin_dirs: bin_dirs(vec![scope.bin_dir.clone()]),
                };
                match removal.remove(owner, attachment) {
                    Removed::Yes => {
                        // Not while there is anything in it.
                        let _ = fs::remove_dir(KEPT_BY_TUNING);
                        Ok(())
                    }
                    stays => Err(stays.to_string().into()),
                }
            },
        )
    };
    node.gone().map(part).collect()
}

/// Directories of networks without a pod that lives.
fn reservations(node: &Node) -> Vec<Part<'_>> {
    let lives = |network: &String| node.living().any(|owner| owner.network == *network);
    let unused = node.reserving.iter().filter(|(_, network)| !lives(network));
    let part = |path: &PathBuf| {
        let of_all = path.parent().map(Path::to_owned);
        let Part { what, remove } = directory(path)?;
        Some(Part::new(what, move || {
            remove()?;
            // The directory of all networks goes with the last of them.
            let _ = of_all.map(fs::remove_dir);
            Ok(())
        }))
    };
    unused.filter_map(|(path, _)| part(path)).collect()
}

/// A directory with all that is in it, if it is there.
fn directory(path: &Path) -> Option<Part<'static>> {
    let path = path.to_owned();
    let is_there = fs::symlink_metadata(&path).is_ok();
    is_there.then(|| {
        Part::new(path.display().to_string(), move || {
            match netd::runs() && path.starts_with("/run/podwire") {
                true => Ok(clear_beside_netd(&path)?),
                false => Ok(gone(fs::remove_dir_all(&path))?),
            }
        })
    })
}

/// A directory with nothing in it. Where somebody puts something there meanwhile, it stays.
fn empty_directory(path: &'static Path) -> Option<Part<'static>> {
    let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    is_empty.then(|| {
        Part::new(path.display().to_string(), move || {
            match fs::remove_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                outcome => Ok(gone(outcome)?),
            }
        })
    })
}

/// All but the socket of a netd that runs.
fn clear_beside_netd(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == netd::SOCKET_NAME {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => gone(fs::remove_dir_all(entry.path()))?,
            false => gone(fs::remove_file(entry.path()))?,
        }
    }
    Ok(())
}

/// What is not there any more is as good as removed.
fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Every name of podwire's, of whatever build; the command line goes last.
fn executables(dir: &Path) -> Result<Vec<Part<'static>>, NodeError> {
    let failed = |error: io::Error| NodeError::new(format!("read {}", dir.display()))(error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| NodeError::new(format!("read {}", dir.display()))(error))?
            .path();
        if verify::is_podwires(&path) {
            paths.push(path);
        }
    }
    paths.sort_by_key(|path| (path.ends_with(OWN_NAME), path.clone()));
    let part = |path: PathBuf| {
        Part::new(path.display().to_string(), move || {
            Ok(gone(fs::remove_file(&path))?)
        })
    };
    Ok(paths.into_iter().map(part).collect())
}

//! The layers below one that is unpacked, seen as overlayfs merges them.

use std::io;
use std::path::{Path, PathBuf};

use super::Summary;
use super::tree::{is_opaque, is_whiteout};

/// A layer that lies in its place, or will.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked {
    /// What is in the image.
    pub root: PathBuf,
    pub summary: Summary,
}

/// Layers, the lowest first.
pub(crate) struct Lower<'a>(&'a [Unpacked]);

impl<'a> Lower<'a> {
    /// Of all layers below, those that are seen.
    pub(crate) fn new(layers: &'a [Unpacked]) -> Self {
        let bottom = layers.iter().rposition(|layer| layer.summary.hides_all);
        Self(&layers[bottom.unwrap_or(0)..])
    }

    /// The layers that are seen.
    pub(crate) fn layers(&self) -> &'a [Unpacked] {
        self.0
    }

    /// Whether one of them describes the root directory.
    pub(crate) fn has_root(&self) -> bool {
        self.0.last().is_some_and(|layer| layer.summary.has_root)
    }

    /// Where the file lies that is seen at a path without links.
    ///
    /// # Errors
    /// A layer cannot be read.
    pub(super) fn find(&self, at: &Path) -> io::Result<Option<PathBuf>> {
        // The same directory in several layers, the topmost first.
        let mut merged: Vec<PathBuf> = self
            .0
            .iter()
            .rev()
            .map(|layer| layer.root.clone())
            .collect();
        let mut parts = at.components().peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            merged = step(&merged, Path::new(&part), is_last)?;
        }
        Ok(merged.into_iter().next())
    }
}

/// The same one further; what is no directory is the end of a path only, since the kernel would follow a link
/// there, on the machine.
fn step(directories: &[PathBuf], part: &Path, is_last: bool) -> io::Result<Vec<PathBuf>> {
    let mut merged = Vec::new();
    for directory in directories {
        let path = directory.join(part);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if is_whiteout(&metadata) {
            break;
        }
        if !metadata.is_dir() {
            if merged.is_empty() && is_last {
                merged.push(path);
            }
            break;
        }
        let hides = is_opaque(&path)?;
        merged.push(path);
        if hides {
            break;
        }
    }
    Ok(merged)
}

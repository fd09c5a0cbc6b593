//! What a container's root is made of: an image, a directory, or the machine's own root.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::Image;
use serde::{Deserialize, Serialize};

/// What a container's root is made of, and what is run in it unless the container says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Digest of the image, or the directory; empty for the machine's root.
    pub id: String,
    /// Lowest first; none for the machine's root.
    pub layers: Vec<PathBuf>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments.
    pub cmd: Vec<String>,
    /// Where the program starts.
    pub working_dir: Option<String>,
    /// Who it runs as: names or numbers, `USER` or `USER:GROUP`.
    pub user: Option<String>,
    /// What asks it to end; SIGTERM when absent.
    pub stop_signal: Option<String>,
}

impl Base {
    /// For what a container names as its image: nothing, the name of an image that was loaded, or the absolute
    /// path of an unpacked one.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn find(image: Option<&str>) -> Result<Self> {
        match image {
            None => Ok(Self::default()),
            Some(path) if path.starts_with('/') => Self::of_directory(Path::new(path)),
            Some(name) => Ok(Self::of_image(crate::image::store()?.find(name)?)),
        }
    }

    fn of_image(image: Image) -> Self {
        let config = image.config;
        Self {
            id: image.digest,
            layers: image.layers,
            env: config.env,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            working_dir: config.working_dir,
            user: config.user,
            stop_signal: config.stop_signal,
        }
    }

    fn of_directory(path: &Path) -> Result<Self> {
        let root =
            std::fs::canonicalize(path).with_context(|| format!("image {}", path.display()))?;
        if !root.is_dir() {
            bail!("image {}: not a directory", path.display());
        }
        Ok(Self {
            id: root.display().to_string(),
            layers: vec![root],
            ..Self::default()
        })
    }

    /// Whether it is the machine's own root.
    pub(super) fn is_the_machines(&self) -> bool {
        self.layers.is_empty()
    }
}

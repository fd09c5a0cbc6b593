//! What the store notes of an image.

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

/// An image of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// What it is called, without `docker.io/library/`: `busybox:latest`.
    pub name: String,
    /// Digest of its manifest, `sha256:HEX`; of its configuration where there was no manifest.
    pub digest: String,
    /// Directories for overlayfs, the lowest first; none, where the image is empty. The topmost one's root
    /// directory is the image's. They stay as long as a name of the image does.
    pub layers: Vec<PathBuf>,
    /// How it is to be run.
    pub config: ImageConfig,
    /// Bytes of the files in all its layers.
    pub size_bytes: u64,
}

/// How an image is to be run, where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Environment, in the image's order.
    pub env: Vec<(String, String)>,
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments after `entrypoint`; the program itself, where that is empty.
    pub cmd: Vec<String>,
    /// The directory to start in.
    pub working_dir: Option<String>,
    /// Who runs it: `user`, `uid`, `user:group`, `uid:gid`, `uid:group` or `user:gid`.
    pub user: Option<String>,
    /// The signal that ends it, by name or number.
    pub stop_signal: Option<String>,
}

impl ImageConfig {
    /// What a configuration says; what is empty is not said.
    pub(crate) fn of(configuration: &ImageConfiguration) -> Self {
        let Some(config) = configuration.config() else {
            return Self::default();
        };
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let env = config.env().iter().flatten();
        let env = env.map(|each| match each.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (each.clone(), String::new()),
        });
        Self {
            env: env.collect(),
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            working_dir: said(config.working_dir()),
            user: said(config.user()),
            stop_signal: said(config.stop_signal()),
        }
    }
}

/// A file of the store for each name of an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// In full.
    pub name: String,
    pub digest: String,
    /// Names of the layers' directories in the store, the lowest first.
    pub layers: Vec<String>,
    pub config: ImageConfig,
    pub size_bytes: u64,
}

//! What goes wrong with images.

use std::io;
use std::path::{Path, PathBuf};

use crate::limits::MOST_LAYERS;

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refuses a step.
    #[error("{what}")]
    System {
        /// The step and its object.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that is read as an image is none, or not one that can be had here.
    #[error("{} is no image: {reason}", path.display())]
    NoImage {
        /// The file or directory.
        path: PathBuf,
        /// What is missing or wrong, and what would be right.
        reason: String,
    },
    /// A part of an image cannot be read.
    #[error("{part}")]
    Damaged {
        /// The index, manifest, configuration or layer.
        part: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A part of an image is not what its name says.
    #[error("{part} has the digest {found}, not {expected}: it was damaged or changed")]
    Digest {
        /// The manifest, configuration or layer.
        part: String,
        /// The digest that names it.
        expected: String,
        /// That of its content.
        found: String,
    },
    /// None of an image's platforms is this machine's.
    #[error(
        "the image is not for {wanted}, which this machine is, but for {}",
        list(found)
    )]
    Platform {
        /// This machine's.
        wanted: String,
        /// The image's.
        found: Vec<String>,
    },
    /// There are several images in a file.
    #[error("{} holds several images: choose one by its name, {}", path.display(), list(names))]
    Several {
        /// The file or directory.
        path: PathBuf,
        /// What they are called there.
        names: Vec<String>,
    },
    /// An image does not say what it is called.
    #[error("{} does not say what its image is called: give it a name", path.display())]
    NoName {
        /// The file or directory.
        path: PathBuf,
    },
    /// A word that names no image.
    #[error("{name:?} is no name of an image: give one like busybox:1.36")]
    Name {
        /// The word.
        name: String,
        /// What is wrong with it.
        source: oci_spec::distribution::ParseError,
    },
    /// There is no such image in the store.
    #[error("there is no image {name}: {}", known(others))]
    Unknown {
        /// As it was asked for, in full.
        name: String,
        /// What there is.
        others: Vec<String>,
    },
    /// What the store notes of an image cannot be read.
    #[error("{}, the record of an image, cannot be read: remove this file, and load the image again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel cannot put so many layers over each other.
    #[error(
        "the image has {layers} layers, and overlayfs takes {MOST_LAYERS} at most: build it with fewer, as \
         `podman build --squash-all` does"
    )]
    TooManyLayers {
        /// So many.
        layers: usize,
    },
    /// Somebody else uses the store for too long.
    #[error("lock {}", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// What happened.
        source: files::LockError,
    },
}

/// What an image is read or changed with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn no_image(path: &Path, reason: impl Into<String>) -> Self {
        Self::NoImage {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn damaged(
        part: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Damaged {
            part: part.into(),
            source: source.into(),
        }
    }
}

/// Names the step that the system refused.
pub(crate) trait Step<T> {
    /// `VERB PATH`
    fn step(self, verb: &str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Step<T> for std::result::Result<T, E> {
    fn step(self, verb: &str, path: &Path) -> Result<T> {
        self.map_err(|refused| Error::System {
            what: format!("{verb} {}", path.display()),
            source: refused.into(),
        })
    }
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

fn known(names: &[String]) -> String {
    match names {
        [] => "none is loaded; `lab image load FILE` loads one".to_owned(),
        names => format!("there are {}", list(names)),
    }
}

//! Images of containers: OCI image layouts and archives of `docker save`, read from files and unpacked into
//! a store, each layer a directory as overlayfs stacks it.
//!
//! What is read comes from strangers. Every digest is checked, nothing is written but below the store, an
//! image has [`Limits`], and one that is refused leaves nothing.

#![warn(missing_docs)]

mod archive;
mod compression;
mod digest;
mod error;
mod found;
mod layer;
mod limits;
mod record;
mod reference;
mod source;
mod store;

pub use error::{Error, Result};
pub use limits::{LeftOut, Limits, Progress};
pub use record::{Image, ImageConfig};
pub use source::Origin;
pub use store::Store;

/// Where the lab's images lie.
pub const ROOT: &str = "/var/lib/podwire-lab/images";

//! What images a directory or archive holds, and the one of them that is wanted.

mod docker;
mod layout;

use std::path::Path;

use oci_spec::distribution::Reference;
use oci_spec::image::{Arch, Descriptor, ImageConfiguration, Os};

use crate::error::{Error, Result};
use crate::reference;
use crate::source::Source;

/// One image of a source.
pub(crate) struct Found {
    /// What it is called there.
    names: Vec<Reference>,
    described: Described,
}

/// By what it is described.
enum Described {
    /// Manifests, one for each platform.
    Manifests(Vec<Descriptor>),
    /// An entry of `manifest.json`.
    Saved(docker::Entry),
}

/// An image, all of whose documents were read and checked.
pub(crate) struct Parts {
    /// Of the manifest; of the configuration where there is none.
    pub digest: String,
    pub configuration: ImageConfiguration,
    /// The lowest first.
    pub layers: Vec<LayerPart>,
}

/// A layer that is not read yet.
pub(crate) struct LayerPart {
    /// Its name in the source.
    pub file: String,
    /// The digest of that file, where a manifest says it.
    pub digest: Option<String>,
    /// The digest of the archive in it, `sha256:HEX`.
    pub diff_id: String,
}

/// The image that is wanted, and the names that it gets: `name`, or its own.
///
/// # Errors
/// The source holds no image, or several, none of which is called `name`.
pub(crate) fn choose(source: &Source, name: Option<&Reference>) -> Result<(Found, Vec<Reference>)> {
    let mut found = match (source.has("oci-layout"), source.has("manifest.json")) {
        (true, _) => layout::images(source)?,
        (false, true) => docker::images(source)?,
        (false, false) => {
            let reason = "neither oci-layout nor manifest.json is in it: give an OCI image layout, an \
                          archive of one, or one of `docker save`";
            return Err(Error::no_image(source.path(), reason));
        }
    };
    if found.len() > 1 {
        let is_wanted = |image: &Found| name.is_some_and(|name| image.names.contains(name));
        let Some(wanted) = found.iter().position(is_wanted) else {
            return Err(several(source.path(), &found));
        };
        found.swap(0, wanted);
    }
    let first = found.into_iter().next();
    let first = first.ok_or_else(|| Error::no_image(source.path(), "it holds none"))?;
    let names = match name {
        Some(name) => vec![name.clone()],
        None => first.names.clone(),
    };
    match names.is_empty() {
        true => Err(Error::NoName {
            path: source.path().to_owned(),
        }),
        false => Ok((first, names)),
    }
}

fn several(path: &Path, found: &[Found]) -> Error {
    let names = found.iter().flat_map(|image| &image.names);
    Error::Several {
        path: path.to_owned(),
        names: names.map(reference::familiar).collect(),
    }
}

/// Reads the image's documents, of this machine's platform.
///
/// # Errors
/// A document is missing, damaged, or not what its digest says; the image is for other machines.
pub(crate) fn read(source: &Source, found: Found) -> Result<Parts> {
    let parts = match found.described {
        Described::Manifests(manifests) => layout::read(source, &manifests)?,
        Described::Saved(entry) => docker::read(source, &entry)?,
    };
    let (arch, os) = (parts.configuration.architecture(), parts.configuration.os());
    match *arch == Arch::default() && *os == Os::default() {
        true => Ok(parts),
        false => Err(other_platform(vec![format!("{os}/{arch}")])),
    }
}

fn other_platform(found: Vec<String>) -> Error {
    Error::Platform {
        wanted: format!("{}/{}", Os::default(), Arch::default()),
        found,
    }
}

/// The layers' files with the digests of what is in them, in the configuration's order.
fn paired(
    part: &str,
    configuration: &ImageConfiguration,
    files: Vec<(String, Option<String>)>,
) -> Result<Vec<LayerPart>> {
    let diff_ids = configuration.rootfs().diff_ids();
    if diff_ids.len() != files.len() {
        return Err(Error::damaged(
            part,
            format!(
                "it names {} layers, its configuration {}",
                files.len(),
                diff_ids.len()
            ),
        ));
    }
    let layers = files.into_iter().zip(diff_ids);
    let checked = layers.map(|((file, digest), diff_id)| {
        let parsed = diff_id
            .parse()
            .map_err(|wrong| Error::damaged(part, wrong))?;
        crate::digest::hex(&file, &parsed)?;
        Ok(LayerPart {
            file,
            digest,
            diff_id: diff_id.clone(),
        })
    });
    checked.collect()
}

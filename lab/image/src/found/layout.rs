//! OCI image layouts (image-spec, "OCI Image Layout"): `index.json` leads to manifests by their digests.

use oci_spec::distribution::Reference;
use oci_spec::image::{
    Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout, Os,
    ToDockerV2S2 as _,
};
use serde::de::DeserializeOwned;

use super::{Described, Found, Parts, other_platform, paired};
use crate::digest;
use crate::error::{Error, Result};
use crate::reference;
use crate::source::Source;

/// Indexes within indexes.
const MOST_DEPTH: usize = 4;

/// The full name that containerd and Docker write.
const FULL_NAME: &str = "io.containerd.image.name";
/// A tag, or a full name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) fn images(source: &Source) -> Result<Vec<Found>> {
    let layout: OciLayout = parse("oci-layout", &source.document("oci-layout")?)?;
    if layout.image_layout_version() != "1.0.0" {
        let version = layout.image_layout_version();
        let reason = format!("it is an OCI image layout of version {version}, not 1.0.0");
        return Err(Error::no_image(source.path(), reason));
    }
    let index: ImageIndex = parse("index.json", &source.document("index.json")?)?;
    let mut found: Vec<Found> = Vec::new();
    for descriptor in index.manifests() {
        let name = name(source, descriptor);
        let mut manifests = Vec::new();
        expand(source, descriptor, MOST_DEPTH, &mut manifests)?;
        add(&mut found, name, manifests);
    }
    Ok(found)
}

/// A further name of an image, a further platform of one, or another image.
fn add(found: &mut Vec<Found>, name: Option<Reference>, manifests: Vec<Descriptor>) {
    let digests = |manifests: &[Descriptor]| -> Vec<String> {
        manifests
            .iter()
            .map(|each| each.digest().to_string())
            .collect()
    };
    for image in found.iter_mut() {
        let Described::Manifests(others) = &mut image.described else {
            continue;
        };
        if digests(others) == digests(&manifests) {
            image.names.extend(name);
            return;
        }
        let has_platform = manifests.iter().all(|each| each.platform().is_some());
        if has_platform && image.names.iter().eq(&name) {
            others.extend(manifests);
            return;
        }
    }
    found.push(Found {
        names: name.into_iter().collect(),
        described: Described::Manifests(manifests),
    });
}

/// What an image is called; where that is a tag alone, the rest is the name of the file.
fn name(source: &Source, descriptor: &Descriptor) -> Option<Reference> {
    let annotations = descriptor.annotations().as_ref()?;
    if let Some(full) = annotations.get(FULL_NAME) {
        return reference::parse_tagged(full).ok();
    }
    let name = annotations.get(REF_NAME)?;
    if name.contains(['/', ':']) {
        return reference::parse_tagged(name).ok();
    }
    let file = source.file_name()?;
    let stem = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".oci"]
        .iter()
        .find_map(|ending| file.strip_suffix(ending));
    reference::parse_tagged(&format!("{}:{name}", stem.unwrap_or(file))).ok()
}

fn expand(
    source: &Source,
    descriptor: &Descriptor,
    depth: usize,
    manifests: &mut Vec<Descriptor>,
) -> Result<()> {
    if !is(descriptor, MediaType::ImageIndex) {
        manifests.push(descriptor.clone());
        return Ok(());
    }
    let part = format!("the index {}", descriptor.digest());
    if depth == 0 {
        return Err(Error::damaged(part, "indexes are nested too deeply"));
    }
    let index: ImageIndex = parse(&part, &blob(source, &part, descriptor)?)?;
    for each in index.manifests() {
        expand(source, each, depth - 1, manifests)?;
    }
    Ok(())
}

/// Whether it is of OCI's media type, or of Docker's that came before it.
fn is(descriptor: &Descriptor, media_type: MediaType) -> bool {
    let said = descriptor.media_type().as_ref();
    let dockers = media_type.to_docker_v2s2().ok();
    said == media_type.as_ref() || dockers.is_some_and(|dockers| said == dockers)
}

/// The manifest of this machine's platform, with what it leads to.
pub(super) fn read(source: &Source, manifests: &[Descriptor]) -> Result<Parts> {
    let chosen = manifests.iter().find(|each| is_for_this_machine(each));
    let Some(chosen) = chosen else {
        return Err(other_platform(platforms(manifests)));
    };
    let part = format!("the manifest {}", chosen.digest());
    if !is(chosen, MediaType::ImageManifest) {
        let reason = format!("it is of the kind {}, and no image", chosen.media_type());
        return Err(Error::damaged(part, reason));
    }
    let manifest: ImageManifest = parse(&part, &blob(source, &part, chosen)?)?;
    let config_part = format!("the configuration {}", manifest.config().digest());
    if !is(manifest.config(), MediaType::ImageConfig) {
        let reason = format!("it is of the kind {}", manifest.config().media_type());
        return Err(Error::damaged(
            config_part,
            format!("{reason}, not that of an image"),
        ));
    }
    let text = blob(source, &config_part, manifest.config())?;
    let configuration: ImageConfiguration = parse(&config_part, &text)?;
    let files = manifest.layers().iter().map(|layer| {
        require_layer(layer)?;
        Ok((file_of(layer)?, Some(layer.digest().to_string())))
    });
    let files = files.collect::<Result<_>>()?;
    let layers = paired(&part, &configuration, files)?;
    Ok(Parts {
        digest: chosen.digest().to_string(),
        configuration,
        layers,
    })
}

/// One without a platform may be; its configuration says it.
fn is_for_this_machine(descriptor: &Descriptor) -> bool {
    descriptor.platform().as_ref().is_none_or(|platform| {
        *platform.architecture() == Arch::default() && *platform.os() == Os::default()
    })
}

/// Those that are any machine's: builders add attestations for the platform `unknown`.
fn platforms(manifests: &[Descriptor]) -> Vec<String> {
    let platforms = manifests.iter().filter_map(|each| each.platform().as_ref());
    let names = platforms.map(|platform| match platform.variant() {
        Some(variant) => format!("{}/{}/{variant}", platform.os(), platform.architecture()),
        None => format!("{}/{}", platform.os(), platform.architecture()),
    });
    names.filter(|name| name != "unknown/unknown").collect()
}

fn require_layer(layer: &Descriptor) -> Result<()> {
    let said = layer.media_type().as_ref();
    let is_known = matches!(
        layer.media_type(),
        MediaType::ImageLayer
            | MediaType::ImageLayerGzip
            | MediaType::ImageLayerZstd
            | MediaType::ImageLayerNonDistributable
            | MediaType::ImageLayerNonDistributableGzip
            | MediaType::ImageLayerNonDistributableZstd
    );
    match is_known || said.starts_with("application/vnd.docker.image.rootfs.") {
        true => Ok(()),
        false => {
            let part = format!("the layer {}", layer.digest());
            let reason =
                format!("it is of the kind {said}, which is no layer that can be unpacked");
            Err(Error::damaged(part, reason))
        }
    }
}

fn file_of(descriptor: &Descriptor) -> Result<String> {
    let part = descriptor.digest().to_string();
    let hex = digest::hex(&part, descriptor.digest())?;
    Ok(format!("blobs/sha256/{hex}"))
}

/// A document that is what its digest says.
fn blob(source: &Source, part: &str, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let bytes = source.document(&file_of(descriptor)?)?;
    digest::require(part, descriptor.digest().as_ref(), &digest::of(&bytes))?;
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(part: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|wrong| Error::damaged(part, wrong))
}

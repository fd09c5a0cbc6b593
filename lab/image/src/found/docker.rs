//! `docker save`: `manifest.json` names configurations, layers and tags; from before OCI, and after.

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::{Described, Found, Parts, paired};
use crate::digest;
use crate::error::{Error, Result};
use crate::reference;
use crate::source::Source;

const MANIFEST: &str = "manifest.json";

/// One image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn images(source: &Source) -> Result<Vec<Found>> {
    let text = source.document(MANIFEST)?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&text).map_err(|wrong| Error::damaged(MANIFEST, wrong))?;
    let found = entries.into_iter().map(|entry| {
        let tags = entry.repo_tags.iter().flatten();
        Ok(Found {
            names: tags
                .map(|tag| reference::parse_tagged(tag))
                .collect::<Result<_>>()?,
            described: Described::Saved(entry),
        })
    });
    found.collect()
}

pub(super) fn read(source: &Source, entry: &Entry) -> Result<Parts> {
    let text = source.document(&entry.config)?;
    let found = digest::of(&text);
    if let Some(expected) = said_by_name(&entry.config) {
        digest::require("the configuration", &expected, &found)?;
    }
    let configuration: ImageConfiguration = serde_json::from_slice(&text)
        .map_err(|wrong| Error::damaged(format!("the configuration {}", entry.config), wrong))?;
    let files = entry.layers.iter();
    let files = files.map(|file| (file.clone(), said_by_blob(file)));
    let layers = paired(MANIFEST, &configuration, files.collect())?;
    Ok(Parts {
        digest: found,
        configuration,
        layers,
    })
}

/// `HEX.json`, or a blob.
fn said_by_name(file: &str) -> Option<String> {
    let hex = file.strip_suffix(".json").filter(|name| is_hex(name));
    let digest = hex.map(|hex| format!("sha256:{hex}"));
    digest.or_else(|| said_by_blob(file))
}

fn said_by_blob(file: &str) -> Option<String> {
    let hex = file.strip_prefix("blobs/sha256/")?;
    is_hex(hex).then(|| format!("sha256:{hex}"))
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

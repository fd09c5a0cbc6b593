//! Where images lie:
//!
//! ```text
//! images/HEX.json          a name of an image, by the name's digest
//! layers/sha256/HEX/root   a layer; HEX is the digest of its archive, or of it and all below it
//!                  /layer.json
//! new/                     what is being unpacked
//! lock                     held shared by who loads, exclusively by who removes
//! ```
//!
//! A record that cannot be read is told of where it matters, and keeps all layers there are.
//!
//! A layer that does not depend on those below it is there once, whatever images have it. What a load leaves
//! that was killed goes with the next load or removal.

mod loading;
mod lock;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use oci_spec::distribution::Reference;
use serde::de::DeserializeOwned;

use crate::digest;
use crate::error::{Error, Result, Step as _};
use crate::limits::{Limits, Progress};
use crate::record::{Image, Record};
use crate::reference::{self, familiar, parse};
use crate::source::Origin;

/// Images hold setuid programs and devices of strangers: nobody but root may reach them.
const DIRECTORY_MODE: u32 = 0o700;

const IMAGES: &str = "images";
const LAYERS: &str = "layers/sha256";
const NEW: &str = "new";
/// In a layer's directory.
const SUMMARY: &str = "layer.json";

/// All records of a store.
#[derive(Default)]
struct Records {
    good: Vec<Record>,
    /// What is wrong with the others.
    damaged: Vec<Error>,
}

/// Images that were loaded.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store below a directory, which [`Store::load`] makes.
    ///
    /// # Errors
    /// The path is relative, and there is no working directory.
    pub fn open(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).step("find", root)?;
        Ok(Self { root })
    }

    /// Loads an image from an OCI image layout, an archive of one, or one of `docker save`, for this
    /// machine's platform. It gets the name `name`, or without one its own; where there are several in the
    /// file, `name` chooses one. Another image of the same name is replaced.
    ///
    /// Waits for whoever removes images.
    ///
    /// # Errors
    /// The file cannot be read or holds no such image, a digest is wrong, a layer leads out of the image, or
    /// the image goes beyond `limits`. Nothing is left of it then.
    pub fn load(&self, source: &Path, name: Option<&str>, limits: &Limits) -> Result<Image> {
        let source = Origin::Path(source);
        self.load_watched(source, name, limits, &mut |_| ControlFlow::Continue(()))
    }

    /// The same; `watcher` is told of the progress often, and may end it, which is an error then.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub fn load_watched(
        &self,
        source: Origin<'_>,
        name: Option<&str>,
        limits: &Limits,
        watcher: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Image> {
        let name = name.map(reference::parse_tagged).transpose()?;
        self.make_directories()?;
        self.clear_if_unused()?;
        let held = lock::shared(&self.root)?;
        let loaded = loading::load(self, source, name.as_ref(), *limits, watcher);
        drop(held);
        let (records, has_replaced) = match loaded {
            Ok(loaded) => loaded,
            Err(refused) => {
                // Layers may have their places already; why the image has not is what matters.
                let _ = self.clear_if_unused();
                return Err(refused);
            }
        };
        if has_replaced {
            self.clear_if_unused()?;
        }
        // An image has a name at least.
        let first = records.into_iter().next();
        let first = first.ok_or_else(|| Error::no_image(source.path(), "it has no name"))?;
        self.image(first)
    }

    /// An image by a name, `busybox` for `docker.io/library/busybox:latest`, or by name and digest.
    ///
    /// # Errors
    /// There is none; the error says what there is.
    pub fn find(&self, name: &str) -> Result<Image> {
        let wanted = parse(name)?;
        let record = self.record(&wanted)?;
        self.image(record)
    }

    /// All images, by name, whose records can be read.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>> {
        let records = self.records()?.good.into_iter();
        let mut images: Vec<Image> = records
            .map(|record| self.image(record))
            .collect::<Result<_>>()?;
        images.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(images)
    }

    /// What is wrong with the other records, each an [`Error::Record`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn damage(&self) -> Result<Vec<Error>> {
        Ok(self.records()?.damaged)
    }

    /// Removes a name of an image, and its layers, if no other image has them. A mount of them keeps what
    /// it has until it goes.
    ///
    /// Waits for whoever loads images.
    ///
    /// # Errors
    /// There is no such image; images are loaded for too long.
    pub fn remove(&self, name: &str) -> Result<()> {
        let wanted = parse(name)?;
        // Without a store there is no lock.
        self.place_of_record(&wanted)?;
        let _lock = lock::exclusive(&self.root)?;
        let path = self.place_of_record(&wanted)?;
        fs::remove_file(&path).step("remove", &path)?;
        self.clear()
    }

    /// Where the record of an image is, whether or not it can be read.
    fn place_of_record(&self, wanted: &Reference) -> Result<PathBuf> {
        match self.record(wanted) {
            Ok(record) => Ok(self.record_path(&record.name)),
            Err(Error::Record { path, .. }) => Ok(path),
            Err(other) => Err(other),
        }
    }

    fn make_directories(&self) -> Result<()> {
        for name in [IMAGES, LAYERS, NEW] {
            make_directory(&self.root.join(name))?;
        }
        Ok(())
    }

    fn clear_if_unused(&self) -> Result<()> {
        match lock::exclusive_if_free(&self.root)? {
            Some(_lock) => self.clear(),
            None => Ok(()),
        }
    }

    /// Removes what was not completed, and layers that no image has.
    fn clear(&self) -> Result<()> {
        for path in entries(&self.root.join(NEW))? {
            fs::remove_dir_all(&path).step("remove", &path)?;
        }
        let records = self.records()?;
        if !records.damaged.is_empty() {
            // Nobody knows which layers those have.
            return Ok(());
        }
        let used: BTreeSet<&str> = records
            .good
            .iter()
            .flat_map(|record| record.layers.iter().map(String::as_str))
            .collect();
        for path in entries(&self.root.join(LAYERS))? {
            let is_used = path.file_name().and_then(|name| name.to_str());
            if !is_used.is_some_and(|name| used.contains(name)) {
                fs::remove_dir_all(&path).step("remove", &path)?;
            }
        }
        Ok(())
    }

    fn record_path(&self, name: &str) -> PathBuf {
        let file = format!("{}.json", digest::hex_of(name.as_bytes()));
        self.root.join(IMAGES).join(file)
    }

    fn layer_path(&self, key: &str) -> PathBuf {
        self.root.join(LAYERS).join(key)
    }

    fn record(&self, wanted: &Reference) -> Result<Record> {
        let found = match wanted.digest() {
            None => self.read_record(&self.record_path(&wanted.whole()))?,
            Some(digest) => self.records()?.good.into_iter().find(|record| {
                let named = parse(&record.name);
                record.digest == digest
                    && named.is_ok_and(|named| {
                        named.registry() == wanted.registry()
                            && named.repository() == wanted.repository()
                            && (wanted.tag().is_none() || named.tag() == wanted.tag())
                    })
            }),
        };
        match found {
            Some(record) => Ok(record),
            None => Err(Error::Unknown {
                name: familiar(wanted),
                others: self.list()?.into_iter().map(|image| image.name).collect(),
            }),
        }
    }

    fn records(&self) -> Result<Records> {
        let paths = entries(&self.root.join(IMAGES))?.into_iter();
        let paths = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        let mut records = Records::default();
        for path in paths {
            match self.read_record(&path) {
                Ok(record) => records.good.extend(record),
                Err(damaged) => records.damaged.push(damaged),
            }
        }
        Ok(records)
    }

    /// `None` where there is none: one may be removed meanwhile.
    ///
    /// # Errors
    /// [`Error::Record`]
    fn read_record(&self, path: &Path) -> Result<Option<Record>> {
        let damaged = |source| Error::Record {
            path: path.to_owned(),
            source,
        };
        let record: Option<Record> = read_json(path).map_err(|wrong| damaged(wrong.into()))?;
        if let Some(record) = &record
            && self.record_path(&record.name) != path
        {
            return Err(damaged("it is of another name".into()));
        }
        Ok(record)
    }

    fn image(&self, record: Record) -> Result<Image> {
        let layers = record.layers.iter();
        let layers = layers.map(|key| self.layer_path(key).join("root"));
        Ok(Image {
            name: familiar(&parse(&record.name)?),
            digest: record.digest,
            layers: layers.collect(),
            config: record.config,
            size_bytes: record.size_bytes,
        })
    }
}

fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(DIRECTORY_MODE).create(path);
    made.step("make the directory", path)
}

/// What is in a directory; nothing, where it is missing.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.step("read", directory)?,
    };
    let paths = listed.map(|entry| Ok(entry?.path()));
    paths.collect::<io::Result<_>>().step("read", directory)
}

/// `None` where there is no such file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match files::read(path, files::Links::Refuse) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.step("read", path)?,
    };
    let value = serde_json::from_slice(&text);
    value
        .map(Some)
        .map_err(|wrong| Error::damaged(path.display().to_string(), wrong))
}

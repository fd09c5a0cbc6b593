//! From a file to an image of the store: all layers are unpacked aside, and get their places together.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use files::Modes;
use oci_spec::distribution::Reference;

use super::{NEW, SUMMARY, Store, make_directory, read_json};
use crate::archive::{Archive, Input};
use crate::compression;
use crate::digest::{self, Hashing};
use crate::error::{Error, Result, Step as _};
use crate::found::{self, LayerPart, Parts};
use crate::layer::{self, Fault, Lower, Summary, Unpacked};
use crate::limits::{Limits, MOST_LAYERS, Meter, Metered, Progress};
use crate::record::{ImageConfig, Record};
use crate::source::{Origin, Source};

/// A layer of the image that is loaded.
struct Layer {
    key: String,
    /// Where it was unpacked, unless the store had it.
    new: Option<PathBuf>,
}

/// Loads an image; its records, and whether one of another image was replaced.
pub(super) fn load(
    store: &Store,
    origin: Origin<'_>,
    name: Option<&Reference>,
    limits: Limits,
    watcher: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Vec<Record>, bool)> {
    let work = Work::new(&store.root)?;
    let mut watcher = watcher;
    let meter = Meter::new(limits, &mut watcher);
    let source = Source::open(origin, &work.0, &meter)?;
    let (found, names) = found::choose(&source, name)?;
    let parts = found::read(&source, found)?;
    // A compressed archive was counted as such; what counts is what is in it.
    meter.restart();
    let (layers, unpacked) = unpack(store, &source, &parts, &work, &meter)?;
    let seen = Lower::new(&unpacked).layers();
    if seen.len() > MOST_LAYERS {
        return Err(Error::TooManyLayers { layers: seen.len() });
    }
    meter.finish().step("unpack", origin.path())?;
    let record = |name: &Reference| Record {
        name: name.whole(),
        digest: parts.digest.clone(),
        layers: layers[layers.len() - seen.len()..]
            .iter()
            .map(|layer| layer.key.clone())
            .collect(),
        config: ImageConfig::of(&parts.configuration),
        size_bytes: seen.iter().map(|layer| layer.summary.bytes).sum(),
    };
    let records: Vec<Record> = names.iter().map(record).collect();
    let texts = records.iter().map(text).collect::<Result<Vec<_>>>()?;
    if layers.iter().any(|layer| layer.new.is_some()) {
        sync(&work.0)?;
    }
    for layer in &layers {
        settle(store, layer)?;
    }
    let mut has_replaced = false;
    for (record, text) in records.iter().zip(&texts) {
        has_replaced |= write(store, &work, record, text)?;
    }
    Ok((records, has_replaced))
}

/// A directory for what is not complete; it goes at the end.
struct Work(PathBuf);

impl Work {
    fn new(root: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = root
                .join(NEW)
                .join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                // Of a process that was killed and had this one's number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    return made
                        .map(|()| Self(path.clone()))
                        .step("make the directory", &path);
                }
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays goes with the next load or removal.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unpack(
    store: &Store,
    source: &Source,
    parts: &Parts,
    work: &Work,
    meter: &Meter<'_>,
) -> Result<(Vec<Layer>, Vec<Unpacked>)> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut unpacked: Vec<Unpacked> = Vec::new();
    let mut chain = String::new();
    for (index, part) in parts.layers.iter().enumerate() {
        meter.begin_layer(index + 1, parts.layers.len());
        chain = chain_id(&chain, &part.diff_id);
        let lower = Lower::new(&unpacked);
        let keys = Keys {
            own: hex(&part.diff_id),
            chained: hex(&chain),
            // Overlayfs takes no directory twice.
            is_taken: layers.iter().any(|layer| layer.key == hex(&part.diff_id)),
        };
        let (layer, done) = match known(store, &keys, &lower)? {
            Some(found) => {
                take(&found.1.summary, meter)
                    .map_err(|beyond| Error::damaged(layer_name(part), beyond))?;
                found
            }
            None => {
                let place = work.0.join(format!("layer-{index}"));
                let done = unpack_one(source, part, &place, &lower, meter)?;
                let key = keys.of(&done.summary, &lower).to_owned();
                let new = Some(place);
                (Layer { key, new }, done)
            }
        };
        layers.push(layer);
        unpacked.push(done);
    }
    Ok((layers, unpacked))
}

/// The names that a layer's directory may have.
struct Keys<'a> {
    /// Where it does not depend on those below it.
    own: &'a str,
    chained: &'a str,
    is_taken: bool,
}

impl<'a> Keys<'a> {
    fn of(&self, summary: &Summary, lower: &Lower<'_>) -> &'a str {
        let is_lowest = self.own == self.chained;
        match is_lowest || (!self.is_taken && is_independent(summary, lower)) {
            true => self.own,
            false => self.chained,
        }
    }
}

/// Whether a layer would be the same above these others.
fn is_independent(summary: &Summary, lower: &Lower<'_>) -> bool {
    !summary.asked_below && (summary.describes_root || !lower.has_root())
}

/// The layer, if the store has it.
fn known(store: &Store, keys: &Keys<'_>, lower: &Lower<'_>) -> Result<Option<(Layer, Unpacked)>> {
    for key in [keys.own, keys.chained] {
        let path = store.layer_path(key);
        let summary: Option<Summary> = read_json(&path.join(SUMMARY))?;
        let summary = summary.filter(|summary| keys.of(summary, lower) == key);
        if let Some(summary) = summary {
            let layer = Layer {
                key: key.to_owned(),
                new: None,
            };
            let root = path.join("root");
            return Ok(Some((layer, Unpacked { root, summary })));
        }
    }
    Ok(None)
}

fn take(summary: &Summary, meter: &Meter<'_>) -> io::Result<()> {
    meter.take_entries(summary.entries)?;
    meter.take_bytes(summary.bytes)
}

/// Unpacks a layer into a new directory and checks both its digests.
fn unpack_one(
    source: &Source,
    part: &LayerPart,
    place: &Path,
    lower: &Lower<'_>,
    meter: &Meter<'_>,
) -> Result<Unpacked> {
    let root = place.join("root");
    make_directory(&root)?;
    let (packed, packed_sum) = Hashing::new(source.file(&part.file)?);
    let of_layer = |source: io::Error| Error::damaged(layer_name(part), source);
    let plain = compression::decompressed(packed).map_err(of_layer)?;
    let (plain, plain_sum) = Hashing::new(Metered::new(plain, meter));
    let mut archive = Archive::new(Stream(plain));
    let summary =
        layer::unpack(&mut archive, &root, lower, meter).map_err(|fault| of_fault(part, fault))?;
    // The digests are those of everything, what follows the archive's end too.
    io::copy(&mut archive.into_inner().0, &mut io::sink()).map_err(of_layer)?;
    if let Some(expected) = &part.digest {
        digest::require(&layer_name(part), expected, &packed_sum.digest())?;
    }
    let unpacked = format!("{}, unpacked,", layer_name(part));
    digest::require(&unpacked, &part.diff_id, &plain_sum.digest())?;
    let path = place.join(SUMMARY);
    let text = serde_json::to_vec(&summary)
        .map_err(io::Error::from)
        .step("write", &path)?;
    fs::write(&path, text).step("write", &path)?;
    Ok(Unpacked { root, summary })
}

struct Stream<R>(R);

impl<R: io::Read> io::Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: io::Read> Input for Stream<R> {}

fn layer_name(part: &LayerPart) -> String {
    format!("layer {}", part.file)
}

fn of_fault(part: &LayerPart, fault: Fault) -> Error {
    let name = match fault.member {
        Some(member) => format!("{}: {member}", layer_name(part)),
        None => layer_name(part),
    };
    Error::damaged(name, fault.source)
}

/// The digest of a layer with all those below it (image-spec, "Layer ChainID").
fn chain_id(below: &str, diff_id: &str) -> String {
    match below {
        "" => diff_id.to_owned(),
        below => digest::of(format!("{below} {diff_id}").as_bytes()),
    }
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// Whatever has a place counts as checked, also after a crash: so the disk has it before.
fn sync(work: &Path) -> Result<()> {
    let directory = File::open(work).step("open", work)?;
    rustix::fs::syncfs(&directory).step("sync", work)
}

/// Gives a new layer its place, unless somebody else has put it there meanwhile.
fn settle(store: &Store, layer: &Layer) -> Result<()> {
    let Some(new) = &layer.new else {
        return Ok(());
    };
    let path = store.layer_path(&layer.key);
    match fs::rename(new, &path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        moved => moved.step("make", &path),
    }
}

/// A record as it is written: no larger than what is read again.
fn text(record: &Record) -> Result<Vec<u8>> {
    let refused = |why: Box<dyn std::error::Error + Send + Sync>| {
        Error::damaged(format!("the configuration of {}", record.name), why)
    };
    let text = serde_json::to_vec_pretty(record).map_err(|error| refused(error.into()))?;
    match text.len() as u64 > files::LIMIT {
        true => Err(refused(
            "its environment and commands are larger than 1 MiB".into(),
        )),
        false => Ok(text),
    }
}

/// Notes a name of an image; whether it was that of another one.
fn write(store: &Store, work: &Work, record: &Record, text: &[u8]) -> Result<bool> {
    let path = store.record_path(&record.name);
    let before = store.read_record(&path);
    let modes = Modes {
        file: 0o600,
        directory: super::DIRECTORY_MODE,
    };
    files::write_atomically_by(&path, &work.0.join("record"), text, modes)
        .map_err(|refused| refused.into_source())
        .step("write", &path)?;
    Ok(match before {
        Ok(before) => before.is_some_and(|before| before.layers != record.layers),
        // Nobody knows which layers that one had.
        Err(_) => true,
    })
}

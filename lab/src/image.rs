//! `lab image`: images of containers, in one store for all labs of the machine.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use image::{Image, LeftOut, Limits, Origin, Progress, Store};
use sandbox::{Interrupt, unbuffered};

use crate::cli::ImageLoadArgs;
use crate::home;
use crate::interrupt;
use crate::output::{Table, complain, mebibytes, warn};
use crate::pod::Pod;
use crate::progress::notice;
use crate::state::{self, LabDir};

/// How often is said how far it is.
const PACE: Duration = Duration::from_secs(1);

/// As much of a digest as people compare.
const SHORT: usize = 12;

/// The store of this machine, or of the user.
///
/// # Errors
/// As [`Store::open`].
pub fn store() -> Result<Store> {
    Ok(Store::open(&home::images()?)?)
}

/// `lab image load`; what takes longer than a second is told on standard error.
///
/// # Errors
/// The file holds no image that can be used; [`interrupt::Interrupted`]. Nothing is left then.
pub fn load(args: &ImageLoadArgs, interrupt: Interrupt) -> Result<Image> {
    let limits = Limits {
        bytes: args.max_size,
        without_root: home::is_without_root(),
        ..Limits::default()
    };
    let mut next = Instant::now() + PACE;
    let mut left_out = LeftOut::default();
    let mut watcher = |progress: Progress| {
        left_out = progress.left_out;
        if Instant::now() >= next {
            next = Instant::now() + PACE;
            warn(tell(progress));
        }
        match interrupt.received() {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    };
    let standard_input = unbuffered(std::io::stdin())?;
    let origin = match args.file.to_str() {
        // By their path the kernel would open them anew: no socket, and no pipe of another user's.
        Some("-" | "/dev/stdin") => Origin::Open {
            file: &standard_input,
            called: Path::new("standard input"),
        },
        _ => Origin::Path(&args.file),
    };
    let loaded = store()?.load_watched(origin, args.name.as_deref(), &limits, &mut watcher);
    if loaded.is_err() {
        interrupt::check(interrupt)?;
    }
    let loaded = loaded?;
    if left_out != LeftOut::default() {
        complain(tell_of_what_is_missing(left_out));
    }
    Ok(loaded)
}

fn tell_of_what_is_missing(left_out: LeftOut) -> String {
    let LeftOut {
        owners,
        devices,
        attributes,
    } = left_out;
    let mut said = Vec::new();
    for (count, what) in [
        (owners, "files are root's instead of their owners'"),
        (devices, "devices are not there"),
        (attributes, "extended attributes are not there"),
    ] {
        if count > 0 {
            said.push(format!("{count} {what}"));
        }
    }
    format!("without root, of this image {}", said.join(", "))
}

fn tell(progress: Progress) -> String {
    let bytes = mebibytes(progress.bytes);
    match progress.layers {
        0 => format!("reading the archive: {bytes}"),
        layers => format!("layer {} of {layers}: {bytes} unpacked", progress.layer),
    }
}

/// `lab image rm`; a name given twice, however it is written, counts once. Returns the names that were removed.
///
/// # Errors
/// One of the images does not exist, or running pods have layers that would go, unless that is `forced`; none is
/// removed then.
pub fn remove(names: &[String], forced: bool) -> Result<BTreeSet<String>> {
    let store = store()?;
    let _notice = notice(|| "removing images, after those that are being loaded".to_owned());
    let found = names.iter().map(|name| match store.find(name) {
        // That is a reason to remove it.
        Err(image::Error::Record { .. }) => Ok(name.clone()),
        found => Ok(found?.name),
    });
    let names = found.collect::<Result<BTreeSet<_>>>()?;
    if !forced {
        require_unused(&lost_layers(&store.list()?, &names))?;
    }
    for name in &names {
        store.remove(name)?;
    }
    Ok(names)
}

/// Layers that no image has any more once those of these names are gone.
fn lost_layers(images: &[Image], names: &BTreeSet<String>) -> BTreeSet<PathBuf> {
    let (gone, kept): (Vec<&Image>, Vec<&Image>) =
        images.iter().partition(|image| names.contains(&image.name));
    let layers = |images: &[&Image]| -> BTreeSet<PathBuf> {
        let layers = images.iter().flat_map(|image| &image.layers);
        layers.cloned().collect()
    };
    layers(&gone).difference(&layers(&kept)).cloned().collect()
}

/// # Errors
/// Pods that run have some of the layers: which, in all labs.
fn require_unused(layers: &BTreeSet<PathBuf>) -> Result<()> {
    let mut users = Vec::new();
    for lab in state::labs()? {
        let dir = LabDir::of(&lab);
        for pod in Pod::all(&dir)?.into_iter().filter(Pod::is_supervised) {
            let mut own = pod.bases.values().flat_map(|base| &base.layers);
            if own.any(|layer| layers.contains(layer)) {
                users.push(format!("{} of lab {lab}", pod.name));
            }
            for beside in pod.ephemeral(&dir)? {
                let mut its = beside.layers_in_use().iter();
                if its.any(|layer| layers.contains(layer)) {
                    let name = &beside.container.name;
                    users.push(format!("{} of lab {lab} (its container {name})", pod.name));
                }
            }
        }
    }
    if !users.is_empty() {
        bail!(
            "pods that run have its layers: {}; delete them first, or take the layers from under them with --force",
            users.join(", ")
        );
    }
    Ok(())
}

/// All images.
///
/// # Errors
/// The store cannot be read.
pub fn list() -> Result<Vec<Image>> {
    Ok(store()?.list()?)
}

/// # Errors
/// Some images are not listed, since their records cannot be read.
pub fn require_all_listed() -> Result<()> {
    let damage = store()?.damage()?;
    let lines: Vec<String> = damage
        .into_iter()
        .map(|each| format!("{:#}", anyhow::Error::from(each)))
        .collect();
    match lines.is_empty() {
        true => Ok(()),
        false => bail!(lines.join("\n")),
    }
}

/// The table of `lab image ls`.
pub fn table(images: &[Image]) -> Table {
    let mut table = Table::new(&["NAME", "DIGEST", "LAYERS", "SIZE"]);
    for image in images {
        let digest = image.digest.trim_start_matches("sha256:");
        table.row([
            image.name.clone(),
            digest.get(..SHORT).unwrap_or(digest).to_owned(),
            image.layers.len().to_string(),
            mebibytes(image.size_bytes),
        ]);
    }
    table
}

/// One image in a line.
pub fn describe(image: &Image) -> String {
    let size = mebibytes(image.size_bytes);
    match image.layers.len() {
        1 => format!("{}: 1 layer, {size}", image.name),
        layers => format!("{}: {layers} layers, {size}", image.name),
    }
}

//! `podwire install`: the executable and a name for every plugin in one directory.
//!
//! Every name is put in place by rename(2), so a runtime that looks for a plugin meanwhile finds
//! the old file or the new one, whole, at any moment.
use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::OWN_NAME;

/// A file operation of the installation failed.
#[derive(Debug, thiserror::Error)]
#[error("install: {operation} {path}")]
pub(crate) struct InstallError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl InstallError {
    /// Message and cause.
    pub(crate) fn text(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    move |source| InstallError {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// How the names come to their file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Hard links to one file, but for those that [`OVERWRITTEN`] names.
    Links,
    /// A file of its own for each.
    Copies,
}

/// Names that others write over in place: kube-flannel's installer runs `cp -f` on it, and `cp`
/// writes through a hard link into every other name of the file.
const OVERWRITTEN: &[&str] = &["flannel"];

/// A small program that executes the `podwire` beside it (`kernel/launcher`); empty where there is
/// none for the architecture.
pub(crate) const LAUNCHER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launcher"));

/// Puts this executable into `bin_dir`, which is made when missing, with a hard link or a copy for
/// each of `names`; files of these names are replaced. Returns what was done, a line each.
pub(crate) fn install(
    bin_dir: &Path,
    names: &[&str],
    method: Method,
) -> Result<String, InstallError> {
    fs::create_dir_all(bin_dir).map_err(failed("make directory", bin_dir))?;
    let own = bin_dir.join(OWN_NAME);
    refuse_directories(bin_dir, names)?;
    let mut report = String::new();
    let mut tell = |path: &Path, how: &str, replaced: bool| {
        let replaced = if replaced { ", replaced" } else { "" };
        // Writing into a text cannot fail.
        let _ = writeln!(report, "{}: {how}{replaced}", path.display());
    };
    let replaced = replace(&own, copy_self)?;
    tell(&own, "copied", replaced);
    for name in names {
        let path = bin_dir.join(name);
        let mut how = String::new();
        let replaced = replace(&path, |temporary| {
            how = if method == Method::Copies {
                copy_self(temporary).map(|()| "copied".to_owned())
            } else if OVERWRITTEN.contains(name) {
                separate(temporary).map(str::to_owned)
            } else {
                link(&own, temporary)
            }?;
            Ok(())
        })?;
        tell(&path, &how, replaced);
    }
    sync_directory(bin_dir)?;
    Ok(report)
}

/// A network's configuration that is put in its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// What is copied; a link is followed, because files of a ConfigMap are links.
    pub(crate) from: PathBuf,
    /// Its place; missing directories are made.
    pub(crate) to: PathBuf,
}

/// Copies a configuration with its mode, as flannel's installer does; nothing is written when it is there already, because runtimes load what
/// changes. Returns what was done, in a line.
pub(crate) fn install_config(config: &Config) -> Result<String, InstallError> {
    let Config { from, to } = config;
    let text = files::read(from, files::Links::Follow).map_err(failed("read", from))?;
    let mode = fs::metadata(from)
        .map_err(failed("read", from))?
        .permissions();
    let modes = files::Modes {
        file: mode.mode() & 0o777,
        directory: 0o755,
    };
    let there = fs::read(to).ok();
    let how = match &there {
        Some(there) if *there == text => "this configuration, kept",
        Some(_) => "configuration copied, replaced",
        None => "configuration copied",
    };
    if there.as_ref() != Some(&text) {
        files::write_atomically(to, &text, modes)
            .map_err(|error| failed("write", to)(error.into_source()))?;
    }
    Ok(format!("{}: {how}\n", to.display()))
}

/// A file that others may write over. Returns what it became.
fn separate(to: &Path) -> Result<&'static str, InstallError> {
    if LAUNCHER.is_empty() {
        return copy_self(to).map(|()| "copied, because others overwrite it");
    }
    write(&mut &*LAUNCHER, to)?;
    Ok("a file that executes podwire, because others overwrite it")
}

/// A hard link, or a copy where the file system has none. Returns what it became.
fn link(own: &Path, to: &Path) -> Result<String, InstallError> {
    match fs::hard_link(own, to) {
        Ok(()) => Ok("hard link".to_owned()),
        Err(error) if cannot_link(&error) => {
            copy_self(to)?;
            Ok(format!(
                "copied, because a hard link is not possible here ({error})"
            ))
        }
        Err(error) => Err(failed("link", to)(error)),
    }
}

/// A file is replaced whatever it is; a directory cannot be, and half an installation helps nobody.
fn refuse_directories(bin_dir: &Path, names: &[&str]) -> Result<(), InstallError> {
    let paths = names
        .iter()
        .chain(&[OWN_NAME])
        .map(|name| bin_dir.join(name));
    let is_dir = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    match paths.into_iter().find(is_dir) {
        Some(path) => Err(failed("replace", &path)(io::ErrorKind::IsADirectory.into())),
        None => Ok(()),
    }
}

/// Makes a file under a temporary name with `make`, then gives it the name `path`. Returns
/// whether there was one of that name.
fn replace(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<(), InstallError>,
) -> Result<bool, InstallError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let replaced = fs::symlink_metadata(path).is_ok();
    let result = make(&temporary)
        .and_then(|()| fs::rename(&temporary, path).map_err(failed("replace", path)));
    // Still there after a failure, and where both names were the same file already.
    let _ = fs::remove_file(&temporary);
    result.map(|()| replaced)
}

/// The running executable's bytes, on the disk before the name is.
fn copy_self(to: &Path) -> Result<(), InstallError> {
    // The link leads to the file that is running even when its name is gone or another's now.
    let running = Path::new("/proc/self/exe");
    write(
        &mut File::open(running).map_err(failed("open", running))?,
        to,
    )
}

/// A new executable file, on the disk before this returns.
fn write(from: &mut impl io::Read, to: &Path) -> Result<(), InstallError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o755).open(to);
    let mut file = file.map_err(failed("create", to))?;
    io::copy(from, &mut file).map_err(failed("write", to))?;
    file.sync_all().map_err(failed("write", to))
}

fn sync_directory(path: &Path) -> Result<(), InstallError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("write", path))
}

/// The file system has no hard links, or no more of them for this file.
fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(
        error.kind(),
        CrossesDevices | PermissionDenied | TooManyLinks | Unsupported
    )
}

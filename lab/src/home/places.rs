//! Where labs and images of a user are.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sandbox::rootless::Caller;

use super::{VARIABLE, own};

/// Labs of the machine's root.
const LABS: &str = "/run/podwire-lab";

/// The environment variables that say where a user's files are.
const DATA: &str = "XDG_DATA_HOME";
const HOME: &str = "HOME";

/// Nobody else may look at it.
const MODE: u32 = 0o700;

/// Where labs are.
pub fn labs() -> &'static Path {
    own().unwrap_or(Path::new(LABS))
}

/// The environment variables by which the lab, started anew, finds the same labs and images; none for the machine's
/// root, whose places are fixed.
pub fn variables() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = [VARIABLE, DATA, HOME].into_iter();
    let of_user = names.filter(|_| own().is_some());
    of_user.filter_map(|name| Some((name, env::var_os(name)?)))
}

/// Where images are.
///
/// # Errors
/// A user has no home directory.
pub fn images() -> Result<PathBuf> {
    if own().is_none() {
        return Ok(PathBuf::from(image::ROOT));
    }
    let data = absolute(DATA).or_else(|| absolute(HOME).map(|home| home.join(".local/share")));
    let data = data.context("there is no place for images: set HOME or XDG_DATA_HOME")?;
    Ok(data.join("podwire-lab/images"))
}

/// Makes the directory where labs are; one that is there is fine, unless it is another user's.
///
/// # Errors
/// There is something else at that place, or its directory is missing.
pub fn make_labs() -> io::Result<()> {
    let labs = labs();
    let Some(own) = own() else {
        return make_private(labs);
    };
    match DirBuilder::new().mode(MODE).create(own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if is_private(own, Caller::this()) => Ok(()),
        _ => Err(io::Error::other(NOT_PRIVATE)),
    }
}

/// Root's, whatever the umask is and whoever has made it: environments and logs of pods are there, and locks, which
/// anybody could hold who may open them.
fn make_private(labs: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(labs)?;
    match fs::metadata(labs)?.mode() & 0o7777 {
        MODE => Ok(()),
        _ => fs::set_permissions(labs, Permissions::from_mode(MODE)),
    }
}

const NOT_PRIVATE: &str = "it is no directory that is this user's alone (mode 0700)";

/// Where labs of a user are, who is the caller.
///
/// # Errors
/// There is something there that is not the user's alone.
pub(super) fn of(caller: Caller) -> Result<PathBuf> {
    let runtime = absolute("XDG_RUNTIME_DIR").filter(|path| is_private(path, caller));
    let labs = match runtime {
        Some(runtime) => runtime.join("podwire-lab"),
        None => env::temp_dir().join(format!("podwire-lab-{}", caller.outside()?)),
    };
    let labs = std::path::absolute(&labs).with_context(|| format!("find {}", labs.display()))?;
    if fs::symlink_metadata(&labs).is_ok() && !is_private(&labs, caller) {
        bail!(
            "{} is to hold this user's labs: {NOT_PRIVATE}",
            labs.display()
        );
    }
    Ok(labs)
}

fn absolute(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?);
    path.is_absolute().then_some(path)
}

/// Whether it is a directory, not a link to one, of the user's that no other one may look into.
fn is_private(path: &Path, caller: Caller) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_dir() && found.uid() == caller.user && found.mode() & 0o077 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_roots_labs_are_is_roots_alone_also_where_it_was_not() {
        let outer = tempfile::tempdir().unwrap();
        let labs = outer.path().join("run/labs");
        let mode = || fs::metadata(&labs).unwrap().mode() & 0o7777;
        make_private(&labs).unwrap();
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&labs, Permissions::from_mode(0o755)).unwrap();
        make_private(&labs).unwrap();
        assert_eq!(mode(), 0o700);
    }
}

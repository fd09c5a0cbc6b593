//! The status socket's file: a stale socket is replaced, anything else is left alone.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::HttpError;

/// A socket file of ours; removed when dropped, if it is still that one.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

/// Listens on `path`. Directories are made as needed.
///
/// # Errors
/// The file is something else than a socket (a symbolic link is something else, wherever it
/// leads), another process answers on it, or the kernel refuses.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, Socket), HttpError> {
    let failed = |source| HttpError::Unix {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    make_room(path)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let socket = Socket {
        path: path.to_owned(),
        identity: identity(path).ok(),
    };
    Ok((listener, socket))
}

fn make_room(path: &Path) -> Result<(), HttpError> {
    let failed = |source| HttpError::Unix {
        path: path.to_owned(),
        source,
    };
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !kind.is_socket() {
        return Err(HttpError::NotASocket {
            path: path.to_owned(),
            kind: name(kind),
        });
    }
    if UnixStream::connect(path).is_ok() {
        return Err(HttpError::InUse(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

fn name(kind: fs::FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a regular file"
    } else {
        "a device or a pipe"
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.identity.is_none() || identity(&self.path).ok() != self.identity {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "status socket not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("run/netd.sock");
        fs::create_dir(directory.path().join("run")).expect("directory");
        drop(UnixListener::bind(&path).expect("stale socket"));
        let (_listener, socket) = bind(&path).expect("replaced");
        let second = bind(&path);
        assert!(matches!(second, Err(HttpError::InUse(_))), "{second:?}");
        drop(socket);
        assert!(!path.exists(), "removed at the end");
    }

    #[test]
    fn any_other_file_is_refused_and_stays() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "precious").expect("file");
        fs::create_dir(at("dir")).expect("directory");
        drop(UnixListener::bind(at("stale")).expect("socket"));
        for (link, target) in [
            ("link", "file"),
            ("dangling", "nothing"),
            ("to-socket", "stale"),
        ] {
            std::os::unix::fs::symlink(at(target), at(link)).expect("link");
        }
        for (name, kind) in [
            ("file", "a regular file"),
            ("dir", "a directory"),
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("to-socket", "a symbolic link"),
        ] {
            let error = bind(&at(name)).expect_err(name).to_string();
            assert!(error.contains(kind), "{name}: {error}");
            assert!(fs::symlink_metadata(at(name)).is_ok(), "{name} is gone");
        }
        assert_eq!(fs::read(at("file")).expect("file"), b"precious");
        assert!(!at("nothing").exists(), "a link is not followed");
    }

    #[test]
    fn somebody_elses_file_is_not_removed_at_the_end() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("netd.sock");
        let (_listener, socket) = bind(&path).expect("bind");
        fs::remove_file(&path).expect("remove");
        fs::write(&path, "another's").expect("write");
        drop(socket);
        assert_eq!(fs::read(&path).expect("file"), b"another's");
    }
}

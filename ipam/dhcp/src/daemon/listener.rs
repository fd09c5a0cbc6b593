//! The socket at which the daemon is asked: the service manager's, or its own.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream as AsyncStream};

/// Why nobody can ask.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenerError {
    /// The service manager hands over several.
    #[error("Too many ({0}) file descriptors passed through socket activation")]
    TooMany(usize),
    /// The service manager's is none to listen at.
    #[error("the socket of the service manager cannot be used: {0}")]
    Activated(io::Error),
    /// Somebody else serves.
    #[error("{} is served by another daemon", .0.display())]
    Served(PathBuf),
    /// A file is in the way.
    #[error("{} is there and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// The system refuses.
    #[error("listen unix {}: {problem}", path.display())]
    System { path: PathBuf, problem: io::Error },
}

/// A socket to listen at.
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// The file goes with the daemon: not where the service manager made it.
    is_own: bool,
}

impl Listener {
    /// The service manager's socket, or one at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, ListenerError> {
        let mut activated =
            kernel::process::activated_sockets().map_err(ListenerError::Activated)?;
        match (activated.pop(), activated.len()) {
            (None, _) => Self::bind(path),
            (Some(socket), 0) => Self::activated(socket.into(), path),
            (Some(_), more) => Err(ListenerError::TooMany(more + 1)),
        }
    }

    fn activated(
        socket: std::os::unix::net::UnixListener,
        path: &Path,
    ) -> Result<Self, ListenerError> {
        let opened = socket.local_addr().and_then(|address| {
            socket.set_nonblocking(true)?;
            let path = address.as_pathname().unwrap_or(path).to_owned();
            Ok((UnixListener::from_std(socket)?, path))
        });
        let (socket, path) = opened.map_err(ListenerError::Activated)?;
        Ok(Self {
            socket,
            path,
            is_own: false,
        })
    }

    fn bind(path: &Path) -> Result<Self, ListenerError> {
        clear_away(path)?;
        let bound = make_directory(path).and_then(|()| {
            let socket = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(socket)
        });
        let socket = bound.map_err(|problem| ListenerError::System {
            path: path.to_owned(),
            problem,
        })?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            is_own: true,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<AsyncStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.is_own {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// A socket at which nobody listens any more is what a killed daemon left.
fn clear_away(path: &Path) -> Result<(), ListenerError> {
    let failed = |problem| ListenerError::System {
        path: path.to_owned(),
        problem,
    };
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there.map_err(failed)?,
    };
    if !there.file_type().is_socket() {
        return Err(ListenerError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
        Ok(_) => Err(ListenerError::Served(path.to_owned())),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

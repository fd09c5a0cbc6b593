//! Network namespaces: step in, open the socket, step out; or run a closure on a thread of its own.
use std::path::{Path, PathBuf};
use crate::*;
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// Texts as cni-compat 3.2 gives them.
    #[error("failed to Statfs {path:?}: no such file or directory")] Missing { path: PathBuf },
    #[error("unknown FS magic on {path:?}: {magic:x}")] NotANamespace { path: PathBuf, magic: i64 },
    #[error("open {path:?}")] Io { path: PathBuf, #[source] source: std::io::Error },
}
pub struct NetNs { _fd: std::os::fd::OwnedFd, _path: PathBuf }
impl NetNs {
    pub fn open(_path: impl AsRef<Path>) -> std::result::Result<Self, NetNsError> { todo!() }
    pub fn current() -> std::result::Result<Self, NetNsError> { todo!() }
    /// Makes a namespace and binds it to `path` (`ip netns add` for /run/netns/NAME).
    pub fn create(_path: impl AsRef<Path>) -> Result<Self> { todo!() }
    /// Unmounts and removes a bound namespace (`ip netns delete`); missing is fine.
    pub fn remove(_path: impl AsRef<Path>) -> Result<()> { todo!() }
    pub fn path(&self) -> &Path { todo!() }
    /// Runs `f` inside, on a fresh thread that never switches back.
    pub fn run<T: Send>(&self, _f: impl FnOnce() -> T + Send) -> Result<T> { todo!() }
}

//! The file with the daemon's process number.

use std::path::{Path, PathBuf};

use files::Modes;

use super::DaemonError;

const MODES: Modes = Modes {
    file: 0o644,
    directory: 0o755,
};

/// Removed when dropped.
pub(super) struct Pidfile(PathBuf);

impl Pidfile {
    pub(super) fn write(path: &Path) -> Result<Self, DaemonError> {
        let failed = |problem: String| DaemonError::Pidfile {
            path: path.to_owned(),
            problem,
        };
        if !path.is_absolute() {
            return Err(failed("path not absolute".to_owned()));
        }
        let number = std::process::id().to_string();
        let written = files::write_atomically(path, number.as_bytes(), MODES);
        written.map_err(|error| failed(error.into_source().to_string()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the pidfile");
        }
    }
}

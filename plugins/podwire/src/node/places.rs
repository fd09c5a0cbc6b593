//! Where to look.

use std::path::PathBuf;

use lexopt::Parser;

use crate::{
    cli::{UsageError, value_of},
    commands::{Opt, Takes},
};

/// Directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Networks' configurations.
    pub(crate) conf_dir: PathBuf,
    /// Each holds `results/` of a runtime.
    pub(crate) cache_dirs: Vec<PathBuf>,
    /// Each holds a directory of reservations for each network.
    pub(crate) data_dirs: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            conf_dir: PathBuf::from("/etc/cni/net.d"),
            cache_dirs: vec![PathBuf::from("/var/lib/cni")],
            data_dirs: vec![PathBuf::from("/var/lib/cni/networks")],
        }
    }
}

/// The options that say where to look.
pub(crate) const OPTIONS: [Opt; 3] = [
    Opt {
        name: "--conf-dir",
        takes: Takes::Directory,
        about: "where networks are configured, instead of /etc/cni/net.d",
    },
    Opt {
        name: "--cache-dir",
        takes: Takes::Directory,
        about: "where a runtime keeps results/, besides /var/lib/cni; may be repeated",
    },
    Opt {
        name: "--data-dir",
        takes: Takes::Directory,
        about: "where host-local keeps reservations, besides /var/lib/cni/networks and every \
                dataDir of a configuration; may be repeated",
    },
];

impl Places {
    /// The option of this name, without dashes, if it is one of [`OPTIONS`].
    pub(crate) fn option(name: &str) -> Option<&'static str> {
        let mut names = OPTIONS.iter().map(|option| option.name);
        names.find(|option| option.strip_prefix("--") == Some(name))
    }

    /// Takes the value of such an option.
    pub(crate) fn take(
        &mut self,
        option: &'static str,
        parser: &mut Parser,
    ) -> Result<(), UsageError> {
        let value = PathBuf::from(value_of(parser, option)?);
        match option {
            "--conf-dir" => self.conf_dir = value,
            "--cache-dir" => self.cache_dirs.push(value),
            _ => self.data_dirs.push(value),
        }
        Ok(())
    }
}

//! STATUS: whether ADD could work with this configuration on this node.

use std::path::{Path, PathBuf};

use attach::status::not_available;
use cni::Call;

use crate::{allow_list, config::Config, error::Error};

/// Stands for an interface that nobody has named yet; of the length of most.
const ANY: &str = "eth0";

/// Looks at the configuration, the list of allowed sysctls and the directory.
///
/// # Errors
/// A field of the wrong type; code 50 with what is in ADD's way.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let config = Config::read_keys(call, ANY)?.map_err(not_available)?;
    attach::status::may_change_networks()?;
    allow_list::check(&config.sysctls).map_err(not_available)?;
    is_a_directory(&config.data_dir).map_err(not_available)
}

/// It, or what it can be made in.
fn is_a_directory(path: &Path) -> Result<(), Error> {
    let there = path.ancestors().find_map(|path| {
        let metadata = path.metadata().ok()?;
        Some((PathBuf::from(path), metadata))
    });
    match there {
        Some((path, metadata)) if !metadata.is_dir() => Err(Error::NotADirectory(path)),
        _ => Ok(()),
    }
}

//! Reading the directory: names, and what a reservation file says.
use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};

use files::Links;

use super::{LAST_RESERVED, LOCK, STAGED};
use crate::{Error, cidr::parse_address};

/// No record is longer: a container ID and 15 bytes of interface name. A file that is longer is
/// cut and matches nobody, unless an ID of that length is looked for.
const RECORD_LIMIT: usize = 4096;

/// Everything that may hold a record.
#[derive(Default)]
pub(super) struct Scan {
    /// Every file with its content, white space around it removed, in the order of the paths.
    pub(super) files: Vec<(PathBuf, String)>,
    /// Reservations that cannot be read, and so may be anybody's.
    pub(super) unread: Vec<(PathBuf, io::Error)>,
    /// There are files that are no reservations, or directories.
    pub(super) foreign: bool,
}

/// Whom a reservation file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Attachment {
        container: String,
        ifname: String,
    },
    /// A record of an old release.
    Container(String),
    /// An empty file.
    Nobody,
}

impl Holder {
    pub(super) fn of(record: &str) -> Self {
        match record.split_once("\r\n") {
            Some((container, ifname)) => Self::Attachment {
                container: container.to_owned(),
                ifname: ifname.to_owned(),
            },
            None if record.is_empty() => Self::Nobody,
            None => Self::Container(record.to_owned()),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachment { container, ifname } => {
                write!(f, "container {container}, interface {ifname}")
            }
            Self::Container(container) => write!(f, "container {container}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// The container that a record names, as the index has it.
pub(super) fn container_of(record: &str) -> &str {
    record
        .split_once("\r\n")
        .map_or(record, |(container, _)| container)
}

/// Whether `name` is what a reservation of an address is called.
pub(super) fn reservation(name: &str) -> Option<IpAddr> {
    parse_address(name).filter(|address| address.to_string() == name)
}

/// Whether the plugin uses `name` for something else.
fn is_own(name: &str) -> bool {
    name == LOCK || name == STAGED || name.starts_with(LAST_RESERVED)
}

/// The addresses that have a file, owner or not.
pub(super) fn addresses(dir: &Path) -> Result<HashSet<IpAddr>, Error> {
    let entries = fs::read_dir(dir).map_err(|source| Error::file("open", dir, source))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| reservation(&name)).collect())
}

/// Whether `path` is a regular file without content.
pub(super) fn is_empty_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}

/// The record in `path`; `None` where there is no regular file.
///
/// # Errors
/// The file cannot be read.
pub(super) fn record(path: &Path) -> io::Result<Option<String>> {
    let mut buffer = [0; RECORD_LIMIT];
    let read = files::open(path, Links::Refuse, OpenOptions::new().read(true))
        .and_then(|mut file| read_up_to(&mut file, &mut buffer));
    match read {
        Ok(length) => Ok(Some(
            String::from_utf8_lossy(&buffer[..length]).trim().to_owned(),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound || files::is_unfit(&error) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A read that returns less than asked for has met the end of a regular file.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads everything below `dir` but the plugin's own files. A file of another name that cannot be
/// read is left out, as the reference does.
pub(super) fn scan(dir: &Path) -> Result<Scan, Error> {
    let mut scan = Scan::default();
    scan_into(&mut scan, dir, true).map_err(|source| Error::file("open", dir, source))?;
    scan.files.sort_unstable();
    Ok(scan)
}

fn scan_into(scan: &mut Scan, dir: &Path, top: bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str();
        if top && name.is_some_and(is_own) {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type()?;
        scan.foreign |= !(top && kind.is_file() && name.is_some_and(|n| reservation(n).is_some()));
        if kind.is_dir() {
            match scan_into(scan, &path, false) {
                Err(error) if files::is_shortage(&error) => return Err(error),
                // A directory that cannot be read holds nothing for the reference either.
                _ => {}
            }
        } else if kind.is_file() {
            match record(&path) {
                Ok(record) => scan.files.extend(record.map(|record| (path, record))),
                Err(error) if files::is_shortage(&error) => return Err(error),
                Err(error) if top && name.is_some_and(|name| reservation(name).is_some()) => {
                    scan.unread.push((path, error));
                }
                Err(_) => {}
            }
        } else if name.is_some_and(|name| reservation(name).is_some()) {
            tracing::warn!(path = %path.display(), "a reservation that is no regular file is not read");
        }
    }
    Ok(())
}

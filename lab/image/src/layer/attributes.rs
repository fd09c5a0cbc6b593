//! Owner, mode, time and extended attributes of a file.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{lgetxattr, lgetxattr_query, llistxattr, llistxattr_query};

use super::refused;
use crate::archive::{Member, Time};

/// What overlayfs keeps in extended attributes: whoever writes them says where files are.
const OVERLAYFS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// `None`: when it was made.
    pub mtime: Option<Time>,
    pub extended: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    /// As the archive says.
    pub(super) fn of(member: &Member) -> io::Result<Self> {
        let is_overlayfs = |name: &[u8]| OVERLAYFS.iter().any(|prefix| name.starts_with(prefix));
        if let Some((name, _)) = member
            .attributes
            .iter()
            .find(|(name, _)| is_overlayfs(name))
        {
            return Err(refused(format!(
                "its extended attribute {} is one of overlayfs's own",
                name.escape_ascii()
            )));
        }
        Ok(Self {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: Some(member.mtime),
            extended: member.attributes.clone(),
        })
    }

    /// Those of a directory that no archive describes.
    pub(super) fn of_new_directory() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: None,
            extended: Vec::new(),
        }
    }

    /// Those of a file in a layer.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: Some(Time {
                seconds: metadata.mtime(),
                // Below a thousand million.
                nanoseconds: metadata.mtime_nsec() as u32,
            }),
            extended: extended(path)?,
        })
    }
}

/// All but overlayfs's.
fn extended(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let size = llistxattr_query(path)?;
    let mut names = vec![0; size];
    let size = llistxattr(path, names.as_mut_slice())?;
    let names = names[..size].split(|&byte| byte == 0);
    let is_own =
        |name: &&[u8]| !name.is_empty() && !OVERLAYFS.iter().any(|prefix| name.starts_with(prefix));
    names
        .filter(is_own)
        .map(|name| {
            let key = std::ffi::OsStr::from_bytes(name);
            let size = lgetxattr_query(path, key)?;
            let mut value = vec![0; size];
            let size = lgetxattr(path, key, value.as_mut_slice())?;
            value.truncate(size);
            Ok((name.to_owned(), value))
        })
        .collect()
}

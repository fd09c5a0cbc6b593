//! Why a file that is there cannot be read. Under netd.service root has none of root's powers: what
//! another user keeps to itself is closed to netd, too.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whose the file is, and how netd is let in: to be put behind a message that says which file cannot be
/// read. Empty where permissions are not what is wrong.
pub fn hint(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => explain(path).unwrap_or_default(),
        _ => String::new(),
    }
}

fn explain(path: &Path) -> Option<String> {
    // What is behind a directory that may not be searched cannot be looked at.
    let (closed, meta) = path
        .ancestors()
        .find_map(|place| Some((place, fs::metadata(place).ok()?)))?;
    let what = match closed == path {
        true => "it".to_owned(),
        false => format!("the directory {}", closed.display()),
    };
    let (kind, file) = match meta.is_dir() {
        true => ("x", closed.display()),
        false => ("r", path.display()),
    };
    Some(format!(
        " ({what} belongs to {}, mode {:04o}; without CAP_DAC_OVERRIDE, as under netd.service, root must \
         be let in as any user is: setfacl -m u:root:{kind} {file}, or give netd a copy that is root's, \
         or LoadCredential= in a drop-in of the unit)",
        owner(&meta),
        meta.mode() & 0o7777,
    ))
}

fn owner(meta: &Metadata) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(meta.uid(), &users).unwrap_or_else(|| format!("user {}", meta.uid()))
}

/// `NAME:PASSWORD:UID:…`
fn name_of(uid: u32, users: &str) -> Option<String> {
    let is_it = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
    let line = users.lines().find(is_it)?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let users = "root:x:0:0:root:/root:/bin/bash\netcd:x:105:110::/var/lib/etcd/:/bin/false\n";
        assert_eq!(name_of(105, users).as_deref(), Some("etcd"));
        assert_eq!(name_of(0, users).as_deref(), Some("root"));
        assert_eq!(name_of(110, users), None);
    }

    #[test]
    fn only_permissions_are_explained() {
        let missing = io::ErrorKind::NotFound.into();
        assert_eq!(hint(Path::new("/nobody/has/this"), &missing), "");
    }
}

//! `podwire install --verify`: whose file is behind each name.
use std::{fmt, fmt::Write as _, fs, io, path::Path};

use crate::{OWN_NAME, install::LAUNCHER};

/// Every build carries these bytes, its version behind them: another build of podwire is told from
/// another program without running it.
const MARK: &[u8] = b"\0podwire executable, version ";
#[used]
static VERSION_MARK: &str = concat!(
    "\0podwire executable, version ",
    env!("CARGO_PKG_VERSION"),
    "\0"
);

/// What was found.
pub(crate) struct Verification {
    /// A line for each name.
    pub(crate) report: String,
    /// How many names were looked at.
    pub(crate) names: usize,
    /// How many of them are not this build.
    pub(crate) strangers: usize,
}

/// Whose file it is.
#[derive(Debug)]
enum Owner {
    ThisBuild,
    OtherBuild { version: String },
    OtherProgram,
    NoFile,
    Missing,
    Unreadable(io::Error),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisBuild => f.write_str("this build"),
            Self::OtherBuild { version } => {
                write!(f, "another build of {OWN_NAME}, version {version}")
            }
            Self::OtherProgram => f.write_str("another program"),
            Self::NoFile => f.write_str("not a regular file"),
            Self::Missing => f.write_str("missing"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

/// Looks at the executable and at each of `names` in `bin_dir`; changes and runs nothing.
pub(crate) fn verify(bin_dir: &Path, names: &[&str]) -> Verification {
    let mut found = Verification {
        report: String::new(),
        names: 0,
        strangers: 0,
    };
    for name in [OWN_NAME].iter().chain(names) {
        let path = bin_dir.join(name);
        let owner = owner(&path);
        found.names += 1;
        found.strangers += usize::from(!matches!(owner, Owner::ThisBuild));
        // Writing into a text cannot fail.
        let _ = writeln!(found.report, "{}: {owner}", path.display());
    }
    found
}

/// Whether a file is podwire's, of whatever build.
pub(crate) fn is_podwires(path: &Path) -> bool {
    matches!(owner(path), Owner::ThisBuild | Owner::OtherBuild { .. })
}

fn owner(path: &Path) -> Owner {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Owner::Missing,
        Err(error) => return Owner::Unreadable(error),
        Ok(metadata) if !metadata.is_file() => return Owner::NoFile,
        Ok(_) => {}
    }
    if cni::delegate::is_own_build(path) {
        return Owner::ThisBuild;
    }
    match fs::read(path) {
        Err(error) => Owner::Unreadable(error),
        // It executes the `podwire` beside it, which has a line of its own.
        Ok(content) if !LAUNCHER.is_empty() && content == LAUNCHER => Owner::ThisBuild,
        Ok(content) => marked_version(&content)
            .map_or(Owner::OtherProgram, |version| Owner::OtherBuild { version }),
    }
}

/// The version behind the mark. The mark itself may stand in the file once more, without one.
fn marked_version(content: &[u8]) -> Option<String> {
    let marks = content.windows(MARK.len()).enumerate();
    marks
        .filter(|(_, window)| *window == MARK)
        .find_map(|(at, _)| {
            let rest = &content[at + MARK.len()..];
            let end = rest.iter().take(64).position(|&byte| byte == 0)?;
            let version = str::from_utf8(&rest[..end]).ok()?;
            version
                .starts_with(|first: char| first.is_ascii_digit())
                .then(|| version.to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_tells_the_version() {
        assert!(VERSION_MARK.as_bytes().starts_with(MARK));
        for (content, version) in [
            (VERSION_MARK.to_owned(), Some(env!("CARGO_PKG_VERSION"))),
            (
                format!("ELF\0podwire executable, version {VERSION_MARK}..."),
                Some(env!("CARGO_PKG_VERSION")),
            ),
            ("\0podwire executable, version 1.2".to_owned(), None),
            ("\0podwire executable, version x\0".to_owned(), None),
            ("podwire executable, version 1.2.0\0".to_owned(), None),
            (String::new(), None),
        ] {
            let found = marked_version(content.as_bytes());
            assert_eq!(found.as_deref(), version, "{content:?}");
        }
    }
}

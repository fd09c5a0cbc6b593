//! Regular files alone: a FIFO would be waited for, a device never ends, and a link in a directory
//! of ours leads to what is not ours.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;

/// No file that podwire reads is larger than this, 1 MiB.
pub const LIMIT: u64 = 1 << 20;

/// What a symbolic link in place of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// The administrator's choice: the file is one that he names.
    Follow,
    /// Wrong: the file lies in a directory that podwire owns.
    Refuse,
}

/// What is there and is no file to read; the cause inside an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Another kind of file.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// Longer than [`LIMIT`].
    #[error("it is larger than 1 MiB")]
    TooLarge,
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::new(io::ErrorKind::InvalidInput, unfit)
    }
}

/// Whether a file could not be opened or read because the process or the machine has no
/// descriptor or memory left for it: that says nothing about the file.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    )
}

/// Whether there is something, but no file to read.
pub fn is_unfit(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Unfit>())
}

/// Opens a regular file.
///
/// # Errors
/// The system's; [`Unfit::NotRegular`].
pub fn open(path: &Path, links: Links, options: &mut OpenOptions) -> io::Result<File> {
    // Opening a device may do something; in a directory of ours there is none.
    if links == Links::Follow
        && let Ok(there) = fs::metadata(path)
    {
        require_regular(there.file_type())?;
    }
    // A FIFO is not waited for, a terminal not made ours; neither is anything to a regular file.
    let no_follow = match links {
        Links::Follow => 0,
        Links::Refuse => libc::O_NOFOLLOW,
    };
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | no_follow);
    let file = options
        .open(path)
        .map_err(|refused| why(path, links, refused))?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// The whole content of a regular file.
///
/// # Errors
/// The system's; [`Unfit`].
pub fn read(path: &Path, links: Links) -> io::Result<Vec<u8>> {
    let file = open(path, links, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LIMIT {
        false => Ok(bytes),
        true => Err(Unfit::TooLarge.into()),
    }
}

/// The same as text.
///
/// # Errors
/// As [`read`]; content that is not UTF-8.
pub fn read_to_string(path: &Path, links: Links) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(read(path, links)?).map_err(not_text)
}

/// The system's answer says little where something else lies in the file's place.
fn why(path: &Path, links: Links, refused: io::Error) -> io::Error {
    let there = match links {
        Links::Follow => fs::metadata(path),
        Links::Refuse => fs::symlink_metadata(path),
    };
    let unfit = there
        .ok()
        .and_then(|there| require_regular(there.file_type()).err());
    unfit.map_or(refused, Into::into)
}

fn require_regular(kind: FileType) -> Result<(), Unfit> {
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Unfit::NotRegular(what))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a FIFO needs a program")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_none_is_waited_for() {
        let dir = tempfile::tempdir().expect("directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "text").expect("file");
        fs::create_dir(path("directory")).expect("directory");
        let made = Command::new("mkfifo").arg(path("fifo")).status();
        assert!(made.expect("mkfifo").success());
        let _socket = UnixListener::bind(path("socket")).expect("socket");
        symlink(path("file"), path("link")).expect("link");
        symlink("/dev/zero", path("device")).expect("link");
        symlink(path("fifo"), path("fifo link")).expect("link");
        symlink("nowhere", path("dangling")).expect("link");
        for (name, followed, refused) in [
            ("file", None, None),
            ("link", None, Some("a symbolic link")),
            ("directory", Some("a directory"), Some("a directory")),
            ("fifo", Some("a FIFO"), Some("a FIFO")),
            ("fifo link", Some("a FIFO"), Some("a symbolic link")),
            ("socket", Some("a socket"), Some("a socket")),
            ("device", Some("a device"), Some("a symbolic link")),
        ] {
            for (links, expected) in [(Links::Follow, followed), (Links::Refuse, refused)] {
                let expected = expected.map(|what| format!("it is {what}, not a regular file"));
                let seen = read(&path(name), links)
                    .err()
                    .map(|error| error.to_string());
                assert_eq!(seen, expected, "{name}, {links:?}");
                let mut writing = OpenOptions::new();
                writing.write(true).create(true).truncate(false);
                let seen = open(&path(name), links, &mut writing).err();
                let seen = seen.map(|error| error.to_string());
                assert_eq!(seen, expected, "{name}, {links:?}, to write");
            }
        }
        let mut writing = OpenOptions::new();
        writing.write(true).create(true).truncate(false);
        open(&path("dangling"), Links::Refuse, &mut writing).expect_err("a link");
        assert!(!path("nowhere").exists());
        assert_eq!(
            read(&path("missing"), Links::Follow)
                .expect_err("missing")
                .kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn nothing_larger_than_the_limit_is_read() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("file");
        for (length, fits) in [(LIMIT, true), (LIMIT + 1, false), (1 << 40, false)] {
            File::create(&path)
                .and_then(|file| file.set_len(length))
                .expect("sparse file");
            let read = read(&path, Links::Refuse);
            assert_eq!(read.is_ok(), fits, "{length}");
            if let Err(error) = read {
                assert_eq!(error.to_string(), "it is larger than 1 MiB");
            }
        }
    }
}

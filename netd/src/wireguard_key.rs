//! This node's WireGuard key, in the file where flanneld keeps it, and the key that all nodes share.
//!
//! No error shows what is in such a file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cluster::{Psk, parse_key, print_key};
use files::{Links, Modes, WriteError, write_atomically};
use kernel::{LinkKind, Netlink, Secret};

use crate::unreadable;

/// Only its owner reads the file; anybody finds it.
const KEY_FILE: Modes = Modes {
    file: 0o600,
    directory: 0o755,
};

/// Bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there and cannot be read.
    #[error("the key file {} cannot be read{}", path.display(), unreadable::hint(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "the key file {} holds no private key (32 bytes in base64, as `wg genkey` prints them): put \
         the key back, or remove the file, and netd makes a new one that the other nodes learn", .0.display()
    )]
    NoKey(PathBuf),
    /// The same of the key that all nodes share.
    #[error(
        "the file {} holds no preshared key: give one with 32 bytes in base64, as `wg genpsk` prints \
         them", .0.display()
    )]
    NoPsk(PathBuf),
    /// A new key cannot be kept.
    #[error("the key file cannot be written")]
    Write(#[from] WriteError),
    /// The kernel does not say which key a device has, or gives no random bytes.
    #[error("the kernel gives no key")]
    Kernel(#[from] kernel::Error),
}

/// The key in the file, else the one that a device of ours has (the file went with a reboot of
/// `/run`, the device did not), else a new one; either is written to the file.
///
/// # Errors
/// See [`KeyError`].
pub fn obtain(path: &Path, netlink: &Netlink) -> Result<Secret, KeyError> {
    if let Some(text) = read(path)? {
        let key = parse_key(&text).filter(|key| *key != [0; 32]);
        let key = key.ok_or_else(|| KeyError::NoKey(path.to_owned()))?;
        return Ok(Secret::private_key(key));
    }
    let (key, origin) = match of_device(netlink)? {
        Some(key) => (key, "taken from the device"),
        None => (Secret::new_private_key()?, "made"),
    };
    write_atomically(path, print_key(key.reveal()).as_bytes(), KEY_FILE)?;
    tracing::info!(path = %path.display(), "WireGuard key {origin}");
    Ok(key)
}

/// The key in a file that an operator has put on every node.
///
/// # Errors
/// The file is missing, or holds something else.
pub fn shared(path: &Path) -> Result<Psk, KeyError> {
    let missing = || KeyError::Read {
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    };
    let text = read(path)?.ok_or_else(missing)?;
    Psk::parse(&text).map_err(|_| KeyError::NoPsk(path.to_owned()))
}

/// `None` where there is no file. A newline at its end is not part of the key.
fn read(path: &Path) -> Result<Option<String>, KeyError> {
    match files::read_to_string(path, Links::Follow) {
        Ok(text) => {
            warn_of_others(path);
            Ok(Some(text.trim().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn warn_of_others(path: &Path) {
    let mode = fs::metadata(path).map(|file| file.permissions().mode());
    if mode.is_ok_and(|mode| mode & OTHERS != 0) {
        tracing::warn!(
            "others than its owner may read the key file {0}: chmod 600 {0}",
            path.display()
        );
    }
}

fn of_device(netlink: &Netlink) -> Result<Option<Secret>, KeyError> {
    let links = netlink.links()?.into_iter().filter(|link| {
        link.kind == LinkKind::Wireguard && cluster::is_wireguard_device(link.name.as_str())
    });
    for link in links {
        if let Some(key) = netlink.wireguard(link.index)?.private_key {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain;

    const KEY: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICEg=";

    fn in_a_world(test: impl FnOnce(&Netlink, &Path)) {
        let Some(_world) = kernel::testing::World::new() else {
            return;
        };
        let dir = tempfile::tempdir().expect("directory");
        test(&Netlink::open().expect("netlink"), dir.path());
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        in_a_world(|netlink, dir| {
            let path = dir.join("flannel/wgkey");
            let key = obtain(&path, netlink).expect("a new key");
            assert_eq!(obtain(&path, netlink).expect("the same"), key);
            let text = fs::read_to_string(&path).expect("file");
            assert_eq!(text.len(), 44, "base64 without a newline");
            assert_eq!(parse_key(&text).as_ref(), Some(key.reveal()));
            let mode = |path: &Path| fs::metadata(path).expect("file").permissions().mode();
            assert_eq!(mode(&path) & 0o777, 0o600);
            assert_eq!(
                fs::read_dir(dir.join("flannel"))
                    .expect("directory")
                    .count(),
                1
            );
        });
    }

    #[test]
    fn a_key_of_flannels_is_read_with_and_without_a_newline() {
        in_a_world(|netlink, dir| {
            let path = dir.join("wgkey");
            for text in [KEY.to_owned(), format!("{KEY}\n")] {
                fs::write(&path, &text).expect("file");
                let key = obtain(&path, netlink).expect("key");
                assert_eq!(print_key(key.reveal()), KEY);
                let kept = fs::read_to_string(&path).expect("file");
                assert_eq!(kept, text, "what is there is left alone");
            }
        });
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        in_a_world(|netlink, dir| {
            let path = dir.join("wgkey");
            let zeros = print_key(&[0; 32]);
            for text in ["", "\n", "secret", &KEY[4..], &zeros] {
                fs::write(&path, text).expect("file");
                let error = obtain(&path, netlink).expect_err("no key");
                let words = chain(&error);
                assert!(words.contains("holds no private key"), "{words}");
                assert!(text.trim().is_empty() || !words.contains(text), "{words}");
                let kept = fs::read_to_string(&path).expect("file");
                assert_eq!(kept, text, "not overwritten");
            }
        });
    }

    #[test]
    fn the_shared_key_must_be_there() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("psk");
        let words = chain(&shared(&path).expect_err("missing"));
        assert!(words.contains("cannot be read"), "{words}");
        fs::write(&path, "12345").expect("file");
        let words = chain(&shared(&path).expect_err("no key"));
        assert!(
            words.contains("holds no preshared key") && !words.contains("12345"),
            "{words}"
        );
        fs::write(&path, format!("{KEY}\n")).expect("file");
        assert_eq!(Some(shared(&path).expect("key").reveal()), parse_key(KEY));
    }
}

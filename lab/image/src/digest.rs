//! SHA-256 digests, of what is read as it is read.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::rc::Rc;

use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// The hexadecimal part of a digest that is SHA-256.
///
/// # Errors
/// `part` is named by a digest of another kind.
pub(crate) fn hex<'a>(part: &str, digest: &'a Digest) -> Result<&'a str> {
    match digest.algorithm() {
        DigestAlgorithm::Sha256 => Ok(digest.digest()),
        other => Err(Error::damaged(
            part,
            format!("its digest is of the kind {other}; only sha256 can be checked"),
        )),
    }
}

/// The digest of bytes: `sha256:HEX`.
pub(crate) fn of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex_of(bytes))
}

/// Its hexadecimal part.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    in_hex(&Sha256::digest(bytes))
}

fn in_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// # Errors
/// The two differ.
pub(crate) fn require(part: &str, expected: &str, found: &str) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Digest {
            part: part.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }),
    }
}

/// Takes the digest of what passes through it.
pub(crate) struct Hashing<R> {
    input: R,
    sum: Sum,
}

/// The digest so far.
#[derive(Clone, Default)]
pub(crate) struct Sum(Rc<RefCell<Sha256>>);

impl<R> Hashing<R> {
    pub(crate) fn new(input: R) -> (Self, Sum) {
        let sum = Sum::default();
        let hashing = Self {
            input,
            sum: sum.clone(),
        };
        (hashing, sum)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.sum.0.borrow_mut().update(&buffer[..read]);
        Ok(read)
    }
}

impl Sum {
    /// `sha256:HEX`
    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", in_hex(&self.0.borrow().clone().finalize()))
    }
}

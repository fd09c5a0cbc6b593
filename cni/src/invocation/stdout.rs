//! Standard output, which may be missing, full, or read by nobody any more.

use std::io::{self, Write};

use crate::{Error, code};

/// Where the document goes; `None` where the process has no standard output.
pub(super) struct Stdout<'a>(pub(super) Option<&'a mut dyn Write>);

/// The document could not be written, or not all of it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct Undelivered(#[source] io::Error);

impl Stdout<'_> {
    /// That there is one, known before any work is done.
    ///
    /// # Errors
    /// Code 5.
    pub(super) fn require(&self) -> Result<(), Error> {
        match self.0 {
            Some(_) => Ok(()),
            None => Err(undelivered(closed())),
        }
    }

    /// Writes a result.
    ///
    /// # Errors
    /// Code 5.
    pub(super) fn deliver(&mut self, document: &str) -> Result<(), Error> {
        self.print(document).map_err(undelivered)
    }

    pub(super) fn print(&mut self, document: &str) -> io::Result<()> {
        let stdout = self.0.as_mut().ok_or_else(closed)?;
        stdout.write_all(document.as_bytes())?;
        stdout.flush()
    }
}

fn closed() -> io::Error {
    io::Error::other("it is closed")
}

fn undelivered(cause: io::Error) -> Error {
    let msg = format!("nobody can read the result: cannot write to standard output: {cause}");
    Error {
        source: Some(Box::new(Undelivered(cause))),
        ..Error::new(code::IO_FAILURE, msg)
    }
}

//! The plugin's side of the protocol.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::AddResult;
use kernel::unix::connect_within;

use crate::error::{EncodingError, Error};
use crate::gob::{GobError, Reader, Value, Writer};
use crate::rpc::{self, Arguments, CONNECT, CONNECTED, Method};

/// How long a daemon may take for what needs no server.
const PATIENCE: Duration = Duration::from_secs(60);
/// An answer to CONNECT is shorter.
const LONGEST_HEAD: usize = 4096;

/// A connection to the daemon.
pub(crate) struct Daemon {
    stream: UnixStream,
    socket: PathBuf,
    reader: Reader,
    writer: Writer,
    calls: u64,
}

impl Daemon {
    /// Connects to whoever listens at this path, and makes sure that it is a daemon.
    pub(crate) fn dial(socket: &Path) -> Result<Self, Error> {
        let failed = |source| unanswered(socket, source);
        let mut stream = connect_within(socket, PATIENCE).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(CONNECT.as_bytes()).map_err(failed)?;
        let head = read_head(&mut stream).map_err(failed)?;
        let line = head.lines().next().unwrap_or_default();
        let status = line.split_once(' ').map(|(_, status)| status.trim());
        if status != Some(CONNECTED) {
            return Err(Error::NotADaemon {
                socket: socket.to_owned(),
                answer: line.to_owned(),
            });
        }
        Ok(Self {
            stream,
            socket: socket.to_owned(),
            reader: Reader::default(),
            writer: Writer::default(),
            calls: 0,
        })
    }

    /// The lease for an attachment. The daemon says when it gives up.
    pub(crate) fn allocate(&mut self, arguments: &Arguments) -> Result<AddResult, Error> {
        let failed = |source| Error::Dial {
            socket: self.socket.clone(),
            source,
        };
        self.stream.set_read_timeout(None).map_err(failed)?;
        let answered = self.call(Method::Allocate, arguments);
        result_of(Method::Allocate, &answered?)
    }

    /// The lease that an attachment has. A daemon that cannot only look gives a new one where
    /// there is none.
    pub(crate) fn check(&mut self, arguments: &Arguments) -> Result<AddResult, Error> {
        match self.call(Method::Check, arguments) {
            Err(Error::Refused { answer, .. }) if answer.starts_with(rpc::UNKNOWN_CALL) => {
                self.allocate(arguments)
            }
            answered => result_of(Method::Check, &answered?),
        }
    }

    /// Gives the lease of an attachment back.
    pub(crate) fn release(&mut self, arguments: &Arguments) -> Result<(), Error> {
        self.call(Method::Release, arguments).map(drop)
    }

    /// Gives back what no attachment has. A daemon that cannot has nothing that would outlive it.
    pub(crate) fn collect(&mut self, arguments: &Arguments) -> Result<(), Error> {
        match self.call(Method::Collect, arguments) {
            Err(Error::Refused { answer, .. }) if answer.starts_with(rpc::UNKNOWN_CALL) => Ok(()),
            answered => answered.map(drop),
        }
    }

    fn call(&mut self, method: Method, arguments: &Arguments) -> Result<Value, Error> {
        let header = rpc::request(method, self.calls);
        self.calls += 1;
        let mut bytes = self.writer.value(rpc::REQUEST, &header);
        bytes.extend(self.writer.value(rpc::ARGUMENTS, &arguments.to_value()));
        let name = method.name();
        let answered = self.exchange(&bytes).map_err(|failure| match failure {
            Failure::Io(source) if is_timeout(&source) => Error::Silent {
                method: name,
                limit: PATIENCE,
            },
            Failure::Io(source) => Error::Connection {
                method: name,
                source,
            },
            Failure::Gob(error) => Error::Encoding {
                method: name,
                source: EncodingError::from(error),
            },
        });
        let (header, result) = answered?;
        match header.text("Error") {
            error if error.is_empty() => Ok(result),
            answer => Err(Error::Refused {
                method: name,
                answer,
            }),
        }
    }

    fn exchange(&mut self, call: &[u8]) -> Result<(Value, Value), Failure> {
        self.stream.write_all(call)?;
        let mut waiting = Vec::new();
        let header = self.next(&mut waiting)?;
        Ok((header, self.next(&mut waiting)?))
    }

    fn next(&mut self, waiting: &mut Vec<u8>) -> Result<Value, Failure> {
        let mut piece = [0; 4096];
        loop {
            if let Some(value) = self.reader.next(waiting)? {
                return Ok(value);
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                length => waiting.extend(&piece[..length]),
            }
        }
    }
}

fn result_of(method: Method, value: &Value) -> Result<AddResult, Error> {
    rpc::result::from_value(value).ok_or(Error::Encoding {
        method: method.name(),
        source: EncodingError::Address,
    })
}

/// A daemon that hangs is one, and may keep a lease.
fn unanswered(socket: &Path, source: io::Error) -> Error {
    let socket = socket.to_owned();
    match is_timeout(&source) {
        true => Error::Hangs {
            socket,
            limit: PATIENCE,
        },
        false => Error::Dial { socket, source },
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Status line and headers, up to the empty line, and no byte more: what follows is gob.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\n\n") && !head.ends_with(b"\n\r\n") && head.len() < LONGEST_HEAD {
        let mut byte = [0];
        match stream.read(&mut byte)? {
            0 => break,
            _ => head.push(byte[0]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

enum Failure {
    Io(io::Error),
    Gob(GobError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<GobError> for Failure {
    fn from(error: GobError) -> Self {
        Self::Gob(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_hangs_is_not_away() {
        for (errno, is_away, code, text) in [
            (
                2,
                true,
                999,
                "dial unix /s: connect: no such file or directory; no daemon",
            ),
            (
                111,
                true,
                999,
                "dial unix /s: connect: connection refused; no daemon",
            ),
            (11, false, 11, "/s gives no answer in 60 s"),
        ] {
            let error = unanswered(Path::new("/s"), io::Error::from_raw_os_error(errno));
            assert_eq!(error.is_away(), is_away, "{error}");
            let error = cni::Error::from(error);
            let expected = format!("error dialing DHCP daemon: {text}");
            assert!(
                error.code == code && error.msg.starts_with(&expected),
                "{error}"
            );
        }
    }
}

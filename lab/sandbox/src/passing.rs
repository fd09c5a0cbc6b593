//! Bytes on their way between a program's standard streams and those of who started it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use kernel::wait::{until_data, until_readable, until_room};

/// What a pipe holds (pipe(7)).
pub(crate) const PIPE: usize = 1 << 16;

/// Passes on all that comes from `from`, until that ends, nobody takes it any more, or the other end of `stop` is
/// closed.
///
/// # Errors
/// It cannot be read or written.
pub fn pass_on(from: &mut impl Source, to: &mut File, stop: &impl AsFd) -> io::Result<()> {
    pass_all(|some| Ok(read_before(from, some, stop)?.unwrap_or(0)), to)
}

/// Passes on all that `more` reads, until there is no more, or nobody takes it any more.
pub(crate) fn pass_all(
    mut more: impl FnMut(&mut [u8]) -> io::Result<usize>,
    to: &mut File,
) -> io::Result<()> {
    let mut some = vec![0; PIPE];
    loop {
        let length = more(&mut some)?;
        if length == 0 {
            return Ok(());
        }
        match write_all(to, &some[..length]) {
            // Who takes no more has had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}

/// What bytes come from, and can be waited for.
pub trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

/// Waits for some bytes; `None` as soon as the other end of `stop` is closed.
pub(crate) fn read_before(
    from: &mut impl Source,
    some: &mut [u8],
    stop: &impl AsFd,
) -> io::Result<Option<usize>> {
    while until_readable(from, stop)? {
        match read_once(from, some) {
            // Somebody else was first.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read.map(Some),
        }
    }
    Ok(None)
}

pub(crate) fn read_once(from: &mut impl Read, some: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(some) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Waits for some bytes, also where whoever shares the file has made it not wait. How many they are; none at the end.
///
/// # Errors
/// As read(2); a signal is none.
pub fn read(from: &mut impl Source, some: &mut [u8]) -> io::Result<usize> {
    loop {
        match read_once(from, some) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => until_data(from)?,
            read => return read,
        }
    }
}

/// Writes all, also where whoever shares the file has made it not wait.
///
/// # Errors
/// As write(2); a signal is none.
pub fn write_all(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => until_room(to)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::{PipeReader, PipeWriter, pipe};
    use std::os::fd::OwnedFd;
    use std::thread;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    use super::*;

    fn file(writer: PipeWriter) -> File {
        File::from(OwnedFd::from(writer))
    }

    /// Bytes in a pipe whose other end is open still.
    fn holding(bytes: &[u8]) -> (PipeReader, PipeWriter) {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(bytes).unwrap();
        (reader, writer)
    }

    #[test]
    fn all_comes_through_also_where_the_taker_does_not_wait() {
        let (mut from, mut program) = pipe().unwrap();
        let (mut caller, to) = pipe().unwrap();
        let (stop, _running) = pipe().unwrap();
        fcntl_setfl(&to, fcntl_getfl(&to).unwrap() | OFlags::NONBLOCK).unwrap();
        let said: Vec<u8> = (0..1_000_000).map(|number: u32| number as u8).collect();
        let (saying, heard) = thread::scope(|scope| {
            let says = scope.spawn(|| program.write_all(&said).map(|()| drop(program)));
            scope.spawn(|| pass_on(&mut from, &mut file(to), &stop).unwrap());
            let mut heard = Vec::new();
            caller.read_to_end(&mut heard).unwrap();
            (says.join().unwrap(), heard)
        });
        saying.unwrap();
        assert!(heard == said, "{}", heard.len());
    }

    #[test]
    fn bytes_are_waited_for_where_reading_does_not_wait() {
        let (mut from, mut typed) = pipe().unwrap();
        fcntl_setfl(&from, fcntl_getfl(&from).unwrap() | OFlags::NONBLOCK).unwrap();
        let mut some = [0; 8];
        let reads =
            thread::spawn(move || read(&mut from, &mut some).map(|length| some[..length].to_vec()));
        typed.write_all(b"key").unwrap();
        assert_eq!(reads.join().unwrap().unwrap(), b"key");
    }

    #[test]
    fn who_takes_no_more_ends_it_and_a_full_disk_is_told() {
        let (stop, _running) = pipe().unwrap();
        let (mut from, _program) = holding(b"words");
        let (caller, to) = pipe().unwrap();
        drop(caller);
        pass_on(&mut from, &mut file(to), &stop).unwrap();
        let (mut from, _program) = holding(b"words");
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let error = pass_on(&mut from, &mut full, &stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}

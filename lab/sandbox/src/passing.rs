//! Bytes on their way between a program's standard streams and those of who started it.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::AsFd;

use kernel::wait::{until_data, until_readable, until_room};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::ioctl_fionread;

/// What a pipe holds (pipe(7)).
const PIPE: usize = 1 << 16;

/// Passes on all that comes from `from`, until that ends, nobody takes it any more, or the other end of `stop` is
/// closed.
///
/// # Errors
/// It cannot be read or written.
pub fn pass_on(from: &mut impl Source, to: &mut File, stop: &impl AsFd) -> io::Result<()> {
    let mut some = vec![0; PIPE];
    while until_readable(from, stop)? {
        match pass_some(from, to, &mut some) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Somebody else was first.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return unless_gone(error),
        }
    }
    Ok(())
}

/// Passes on what a program left in a pipe, however large it made that; not what those say that it left running, which
/// may have no end.
///
/// # Errors
/// As [`pass_on`].
pub fn pass_rest(from: &mut PipeReader, to: &mut File) -> io::Result<()> {
    let flags = fcntl_getfl(&*from)?;
    fcntl_setfl(&*from, flags | OFlags::NONBLOCK)?;
    let mut some = vec![0; PIPE];
    let mut left = ioctl_fionread(&*from)?;
    while left > 0 {
        match pass_some(from, to, &mut some) {
            Ok(0) => return Ok(()),
            Ok(length) => left = left.saturating_sub(length as u64),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return unless_gone(error),
        }
    }
    Ok(())
}

/// What bytes come from, and can be waited for.
pub trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

/// Who takes no more has had enough.
fn unless_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }
}

/// How many bytes that were; none at the end.
fn pass_some(from: &mut impl Source, to: &mut File, some: &mut [u8]) -> io::Result<usize> {
    let length = read_once(from, some)?;
    write_all(to, &some[..length])?;
    Ok(length)
}

fn read_once(from: &mut impl Read, some: &mut [u8]) -> io::Result<usize> {
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

    use std::io::{PipeWriter, pipe};
    use std::os::fd::OwnedFd;
    use std::thread;

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
    fn what_is_left_running_keeps_nobody() {
        let (mut from, mut left_running) = holding(b"last words");
        let (mut caller, to) = pipe().unwrap();
        let (stop, running) = pipe().unwrap();
        let mut to = file(to);
        drop(running);
        pass_on(&mut from, &mut to, &stop).unwrap();
        pass_rest(&mut from, &mut to).unwrap();
        left_running.write_all(b"late").unwrap();
        drop(to);
        let mut heard = String::new();
        caller.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "last words");
    }

    #[test]
    fn what_a_program_left_in_a_larger_pipe_comes_through() {
        const MUCH: usize = 1_000_000;
        let (mut from, mut program) = pipe().unwrap();
        nix::fcntl::fcntl(&program, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        program.write_all(&vec![b'x'; MUCH]).unwrap();
        let (mut caller, to) = pipe().unwrap();
        let heard = thread::spawn(move || {
            let mut heard = Vec::new();
            caller.read_to_end(&mut heard).map(|_| heard.len())
        });
        pass_rest(&mut from, &mut file(to)).unwrap();
        assert_eq!(heard.join().unwrap().unwrap(), MUCH);
        drop(program);
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

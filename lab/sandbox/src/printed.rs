//! What a program prints, until its end and what it left.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader};

use kernel::wait::has_data;
use rustix::io::ioctl_fionread;

use crate::passing::{Source, pass_all, read_before, read_once};

/// No less than the kernel has of a terminal: 4 KiB, which are counted, and what it refills them from, which is limited
/// to some 8 KiB and is not (drivers/tty/n_tty.c, pty.c).
const TERMINAL: u64 = 1 << 15;

/// The pipe or terminal that a program prints to, as read by nobody else: to the end of all who print there, or after
/// the program's own until all is read that was there then. What it left running may print for ever.
#[derive(Debug)]
pub struct Printed<S> {
    from: S,
    /// Its other end is closed when the program has ended.
    runs: PipeReader,
    /// Bytes that are read at most, since the program has ended.
    left: Option<u64>,
}

impl<S: Source> Printed<S> {
    /// The other end of the pipe `runs` is to be closed when the program has ended.
    pub fn new(from: S, runs: PipeReader) -> Self {
        Self {
            from,
            runs,
            left: None,
        }
    }

    /// Waits for some bytes while the program runs. How many they are; none at the end.
    ///
    /// # Errors
    /// As read(2); a signal is none.
    pub fn read(&mut self, some: &mut [u8]) -> io::Result<usize> {
        if self.left.is_none() {
            if let Some(length) = read_before(&mut self.from, some, &self.runs)? {
                return Ok(length);
            }
            // However large the program made a pipe.
            let there = ioctl_fionread(&self.from).unwrap_or(0);
            self.left = Some(there.max(TERMINAL));
        }
        self.read_rest(some)
    }

    /// What is there; none at the end.
    fn read_rest(&mut self, some: &mut [u8]) -> io::Result<usize> {
        while let Some(left @ 1..) = self.left
            && has_data(&self.from)?
        {
            match read_once(&mut self.from, some) {
                // Somebody else was first.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    let length = read?;
                    self.left = Some(left.saturating_sub(length as u64));
                    return Ok(length);
                }
            }
        }
        Ok(0)
    }

    /// Passes all on, unless nobody takes it any more.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn pass_on(mut self, to: &mut File) -> io::Result<()> {
        pass_all(|some| self.read(some), to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::{PipeWriter, Read, Write, pipe};
    use std::os::fd::OwnedFd;
    use std::thread;

    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    use super::*;
    use crate::passing::PIPE;

    /// Of a program that has ended before anything is read.
    fn printed_before<S: Source>(from: S) -> Printed<S> {
        let (runs, running) = pipe().unwrap();
        drop(running);
        Printed::new(from, runs)
    }

    fn file(writer: PipeWriter) -> File {
        File::from(OwnedFd::from(writer))
    }

    /// All that comes of it.
    fn heard<S: Source + Send>(printed: Printed<S>) -> Vec<u8> {
        let (mut caller, to) = pipe().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| printed.pass_on(&mut file(to)).unwrap());
            let mut heard = Vec::new();
            caller.read_to_end(&mut heard).unwrap();
            heard
        })
    }

    #[test]
    fn what_was_printed_before_its_end_was_seen_is_read_and_no_more_is_waited_for() {
        let (from, mut left_running) = pipe().unwrap();
        left_running.write_all(b"last words").unwrap();
        let mut printed = printed_before(from);
        let mut some = [0; 64];
        assert_eq!(printed.read(&mut some).unwrap(), 10);
        assert_eq!(printed.read(&mut some).unwrap(), 0);
        assert_eq!(&some[..10], b"last words");
    }

    #[test]
    fn it_is_read_to_the_end_of_all_who_print_while_the_program_runs() {
        let (from, mut program) = pipe().unwrap();
        let (runs, _running) = pipe().unwrap();
        let said: Vec<u8> = (0..1_000_000).map(|number: u32| number as u8).collect();
        let heard = thread::scope(|scope| {
            scope.spawn(|| program.write_all(&said).map(|()| drop(program)));
            heard(Printed::new(from, runs))
        });
        assert!(heard == said, "{}", heard.len());
    }

    #[test]
    fn what_a_program_left_in_a_larger_pipe_comes_through() {
        const MUCH: usize = 1_000_000;
        let (from, mut program) = pipe().unwrap();
        nix::fcntl::fcntl(&program, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        program.write_all(&vec![b'x'; MUCH]).unwrap();
        assert_eq!(heard(printed_before(from)).len(), MUCH);
    }

    #[test]
    fn who_prints_for_ever_is_left_alone_with_it() {
        let (from, mut left_running) = pipe().unwrap();
        let prints = thread::spawn(move || while left_running.write_all(&[b'y'; 4096]).is_ok() {});
        let much = heard(printed_before(from)).len() as u64;
        assert!(much < TERMINAL + PIPE as u64, "{much}");
        prints.join().unwrap();
    }

    #[test]
    fn what_is_left_in_a_terminal_comes_through() {
        // More than what is counted.
        const MUCH: usize = 8_000;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let mut own = File::from(ioctl_tiocgptpeer(&master, flags).unwrap());
        own.write_all(&vec![b'x'; MUCH]).unwrap();
        let heard = heard(printed_before(File::from(master)));
        assert_eq!(heard.len(), MUCH);
        drop(own);
    }
}

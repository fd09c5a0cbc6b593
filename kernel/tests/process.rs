//! What happens between fork and exec, signals to a held process, and signals as values.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::{env, io};

use kernel::process::{
    Noted, close_inherited_descriptors, end_with_this_process, inherited_descriptors,
    join_new_session_keyring, note_interrupts, noted_interrupt, send_signal, take_interrupt,
    unblock_signals_at_start, write_at_start,
};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, raise};

#[allow(clippy::disallowed_methods, reason = "processes to look at")]
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

#[test]
fn a_child_writes_before_its_program_runs_and_keeps_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| directory.path().join(name));
    let files = paths.iter().map(|path| File::create(path).unwrap());
    let mut reader = command("sh");
    // What the program sees: the content, and its own descriptors.
    reader.args(["-c", "cat a b; ls -l /proc/$$/fd | grep -c /[ab]$"]);
    reader.current_dir(directory.path());
    write_at_start(&mut reader, files.collect(), b"0\n");
    let output = reader.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n0\n0\n");
}

#[test]
fn what_a_child_cannot_write_is_the_error_of_its_start() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = command("true");
    write_at_start(&mut child, vec![full], b"0");
    let error = child.spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
}

/// netd's test of the backend extension has the rest: in this program each test is a thread.
#[test]
fn a_thread_that_may_end_first_starts_none_that_ends_with_the_process() {
    let elsewhere = std::thread::spawn(|| end_with_this_process(&mut command("true")));
    assert!(elsewhere.join().unwrap().is_err());
}

#[test]
fn a_child_blocks_no_signal_though_its_parent_does() {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    blocked.thread_block().unwrap();
    let mask = |command: &mut Command| {
        let output = command.args(["SigBlk", "/proc/self/status"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let inherited = mask(&mut command("grep"));
    assert_eq!(inherited, "SigBlk:\t0000000000000200\n");
    let mut child = command("grep");
    unblock_signals_at_start(&mut child);
    assert_eq!(mask(&mut child), "SigBlk:\t0000000000000000\n");
}

/// In a process of its own: what is open here belongs to other tests.
#[test]
fn what_a_caller_left_open_is_closed() {
    const CLOSES: &str = "PODWIRE_TEST_CLOSES";
    const NAME: &str = "what_a_caller_left_open_is_closed";
    let open = || fs::read_link("/proc/self/fd/9").ok();
    if env::var_os(CLOSES).is_some() {
        assert_eq!(open(), Some("/usr".into()));
        let owned = inherited_descriptors().unwrap();
        assert!(owned.iter().any(|each| each.as_raw_fd() == 9), "{owned:?}");
        drop(owned);
        assert_eq!(open(), None);
        let usr = File::open("/usr").unwrap().into_raw_fd();
        close_inherited_descriptors().unwrap();
        let closed = fs::read_link(format!("/proc/self/fd/{usr}"));
        assert!(closed.is_err(), "{closed:?}");
        return;
    }
    let mut caller = command("sh");
    caller.args(["-c", "exec 9</usr; exec \"$0\" --exact \"$1\""]);
    caller.arg(env::current_exe().unwrap()).arg(NAME);
    let output = caller.env(CLOSES, "yes").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

/// Its number, by a process that has this thread's.
fn session_keyring() -> i64 {
    let mut perl = command("perl");
    let script = format!("print syscall({}, 0, -3, 0)", nix::libc::SYS_keyctl);
    let output = perl.args(["-e", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

#[test]
fn a_new_session_keyring_is_the_threads_alone() {
    join_new_session_keyring().unwrap();
    let own = session_keyring();
    let other = std::thread::spawn(|| {
        let before = session_keyring();
        join_new_session_keyring().unwrap();
        (before, session_keyring())
    });
    let (before, after) = other.join().unwrap();
    assert!(own > 0 && after > 0, "{own}, {after}");
    assert_eq!((before, session_keyring()), (own, own));
    assert_ne!(after, own);
}

#[test]
fn a_signal_reaches_the_held_process_and_no_later_one() {
    let mut child = command("sleep").arg("1000").spawn().unwrap();
    let held = File::open(format!("/proc/{}", child.id())).unwrap();
    send_signal(&held, Signal::SIGTERM as i32).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    let gone = send_signal(&held, Signal::SIGTERM as i32).unwrap_err();
    assert_eq!(gone.raw_os_error(), Some(Errno::ESRCH as i32));
    // A descriptor of something else is refused.
    let other = File::open("/").unwrap();
    let refused = send_signal(&other, 0).map_err(|error: io::Error| error.raw_os_error());
    assert_eq!(refused, Err(Some(Errno::EBADF as i32)));
}

#[test]
fn an_interrupt_is_a_value() {
    note_interrupts().unwrap();
    assert_eq!(noted_interrupt(), None);
    raise(Signal::SIGHUP).unwrap();
    assert_eq!(noted_interrupt(), Some(1));
    // Each can be taken, also a second one of its number.
    for _ in 0..2 {
        raise(Signal::SIGTERM).unwrap();
        raise(Signal::SIGHUP).unwrap();
        let noted = |signal, of_kernel| Some(Noted { signal, of_kernel });
        assert_eq!(
            [take_interrupt(), take_interrupt()],
            [noted(1, false), noted(15, false)]
        );
        assert_eq!(take_interrupt(), None);
    }
    assert_eq!(noted_interrupt(), Some(1));
}

//! The turn that plugins take to change iptables, while somebody else has it.

use std::{fs, os::linux::fs::MetadataExt, thread};

use attach::iptables_turn;

/// Where podwire's plugins lock.
const LOCKED: &str = "/run/podwire";

/// Whether `add`, which must succeed, waits for another's turn and has made none of the `rules` until then.
pub fn is_waited_for(add: impl FnOnce() + Send, rules: impl Fn() -> String) {
    let before = rules();
    let turn = iptables_turn::take().unwrap();
    thread::scope(|scope| {
        let adding = scope.spawn(add);
        while !has_waiter() && !adding.is_finished() {
            thread::yield_now();
        }
        assert!(!adding.is_finished(), "it does not wait");
        assert_eq!(rules(), before);
        drop(turn);
        adding.join().unwrap();
    });
    assert_ne!(rules(), before);
}

/// Whether the kernel has somebody in the queue for the lock (proc_locks(5)).
fn has_waiter() -> bool {
    let locked = fs::metadata(LOCKED).unwrap();
    // As makedev(3) puts them together.
    let (device, inode) = (locked.st_dev(), locked.st_ino());
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    let file = format!(" {major:02x}:{minor:02x}:{inode} ");
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let mut lines = locks.lines();
    lines.any(|line| line.contains("-> FLOCK") && line.contains(&file))
}

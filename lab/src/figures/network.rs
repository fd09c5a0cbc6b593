//! What a network namespace's links carried (proc_pid_net(5), `/proc/PID/net/dev`).

use std::fs;
use std::io;

use anyhow::{Context, Result};
use sandbox::Process;
use serde::Serialize;

/// What a link carried since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Its name.
    pub interface: String,
    /// What came out of it.
    pub received: Count,
    /// What went into it.
    pub sent: Count,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// With their headers, that of Ethernet included.
    pub bytes: u64,
    /// As the link sees them: one may be many on the wire.
    pub packets: u64,
    /// That were broken.
    pub errors: u64,
    /// That had no place.
    pub dropped: u64,
}

/// All links in the network namespace of a process; none when it has ended.
///
/// # Errors
/// The kernel's table cannot be read or is not as expected.
pub(super) fn links_of(process: &Process) -> Result<Vec<Traffic>> {
    let path = format!("/proc/{}/net/dev", process.pid);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if !process.is_alive() => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {path}")),
    };
    // The number may have been given to another process before that.
    if !process.is_alive() {
        return Ok(Vec::new());
    }
    parse(&text).with_context(|| format!("unexpected content in {path}"))
}

fn parse(table: &str) -> Option<Vec<Traffic>> {
    const HEADINGS: usize = 2;
    table.lines().skip(HEADINGS).map(link).collect()
}

/// `NAME: BYTES PACKETS ERRS DROP FIFO FRAME COMPRESSED MULTICAST BYTES PACKETS ERRS DROP ...`
fn link(line: &str) -> Option<Traffic> {
    const OF_RECEIVED: usize = 8;
    let (name, numbers) = line.rsplit_once(':')?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .map(|each| each.parse().ok())
        .collect::<Option<_>>()?;
    Some(Traffic {
        interface: name.trim().to_owned(),
        received: count(&numbers)?,
        sent: count(numbers.get(OF_RECEIVED..)?)?,
    })
}

fn count(numbers: &[u64]) -> Option<Count> {
    let [bytes, packets, errors, dropped, ..] = *numbers else {
        return None;
    };
    Some(Count {
        bytes,
        packets,
        errors,
        dropped,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TABLE: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
a:b.c123:123456789012       2    3    4    0     0          0         0        5       6    7    8    0     0       0          0
";

    #[test]
    fn links_are_read_from_the_kernels_table() {
        let links = parse(TABLE).unwrap();
        assert_eq!(links.len(), 2);
        let (received, sent) = (links[1].received, links[1].sent);
        assert_eq!(links[1].interface, "a:b.c123");
        let numbers = |count: Count| [count.bytes, count.packets, count.errors, count.dropped];
        assert_eq!(numbers(received), [123_456_789_012, 2, 3, 4]);
        assert_eq!(numbers(sent), [5, 6, 7, 8]);
        assert!(parse("a\nb\neth0: 1 2 3\n").is_none());
    }
}

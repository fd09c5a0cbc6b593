//! What is read from disks and written to them: limited for each disk, counted over all.
//!
//! What is written to the page cache goes to a disk later: with version 1 it counts to nobody then, and is not limited.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use kernel::{Error, Result};

use super::Controller;
use super::files::{read, unexpected, write};
use super::group::Group;

/// What a group and the groups below it have read from disks and written to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes.
    pub read_bytes: u64,
    /// Bytes.
    pub written_bytes: u64,
    /// Requests.
    pub reads: u64,
    /// Requests.
    pub writes: u64,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

pub(super) fn used(group: &Group<'_>) -> Result<Io> {
    if !group.is_version_1(Controller::Io) {
        let file = group.file(Controller::Io, "", "io.stat")?;
        return of_version_2(&read(&file)?).ok_or_else(|| unexpected(&file, "io.stat"));
    }
    const BYTES: &str = "blkio.throttle.io_service_bytes_recursive";
    let both = |name: &str| -> Result<[u64; 2]> {
        let file = group.file(Controller::Io, name, "")?;
        of_version_1(&read(&file)?).ok_or_else(|| unexpected(&file, name))
    };
    let everything = group.root().file(Controller::Io, BYTES, "")?;
    if let Some(disk) = not_counted(&read(&everything)?, &disks()?) {
        let why = format!("nothing is counted for disk {disk}, which nobody has limited");
        let cause = std::io::Error::new(ErrorKind::NotFound, why);
        return Err(Error::new("read", everything.display(), cause));
    }
    let [read_bytes, written_bytes] = both(BYTES)?;
    let [reads, writes] = both("blkio.throttle.io_serviced_recursive")?;
    Ok(Io {
        read_bytes,
        written_bytes,
        reads,
        writes,
    })
}

/// `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`
fn of_version_2(text: &str) -> Option<Io> {
    let mut io = Io::default();
    for (key, value) in text
        .split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        let sum = match key {
            "rbytes" => &mut io.read_bytes,
            "wbytes" => &mut io.written_bytes,
            "rios" => &mut io.reads,
            "wios" => &mut io.writes,
            _ => continue,
        };
        *sum += value.parse::<u64>().ok()?;
    }
    Some(io)
}

/// `254:0 Read 4096`, and the same with `Write` and others: what was read, and what was written.
fn of_version_1(text: &str) -> Option<[u64; 2]> {
    let mut sums = [0; 2];
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let sum = match words[..] {
            [_, "Read", _] => &mut sums[0],
            [_, "Write", _] => &mut sums[1],
            _ => continue,
        };
        *sum += words[2].parse::<u64>().ok()?;
    }
    Some(sums)
}

/// A disk without a line among those of all groups together: since Linux 6.10 version 1 counts for a disk only when a
/// group has been limited there once (block/blk-throttle.c, `blk_throtl_activated`).
fn not_counted<'d>(everything: &str, disks: &'d [String]) -> Option<&'d String> {
    let is_missing = |disk: &&String| {
        let mut lines = everything.lines();
        !lines.any(|line| line.split(' ').next() == Some(disk.as_str()))
    };
    disks.iter().find(is_missing)
}

/// Limits a group to so many bytes a second, of each disk.
pub(super) fn limit(group: &Group<'_>, direction: Direction, bytes: u64) -> Result<()> {
    let (version_1, key) = match direction {
        Direction::Read => ("blkio.throttle.read_bps_device", "rbps"),
        Direction::Write => ("blkio.throttle.write_bps_device", "wbps"),
    };
    let file = group.file(Controller::Io, version_1, "io.max")?;
    for disk in disks()? {
        match group.is_version_1(Controller::Io) {
            true => write(&file, format!("{disk} {bytes}"))?,
            false => write(&file, format!("{disk} {key}={bytes}"))?,
        }
    }
    Ok(())
}

/// The machine's disks, as MAJOR:MINOR; not what lies in memory or in a file of one of them.
fn disks() -> Result<Vec<String>> {
    const BLOCK: &str = "/sys/block";
    let failed = |source| Error::new("read", BLOCK, source);
    let entries = match fs::read_dir(BLOCK) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut disks = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_disk = !["loop", "ram", "zram"]
            .iter()
            .any(|other| name.to_string_lossy().starts_with(other));
        if is_disk {
            disks.push(
                read(&Path::new(BLOCK).join(name).join("dev"))?
                    .trim()
                    .to_owned(),
            );
        }
    }
    Ok(disks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_disks_are_added() {
        let version_2 = "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=7 dios=7\n254:16 rbytes=1 wbytes=0 rios=1 wios=0\n7:0\n";
        let io = Io {
            read_bytes: 4097,
            written_bytes: 8192,
            reads: 2,
            writes: 2,
        };
        assert_eq!(of_version_2(version_2), Some(io));
        assert_eq!(of_version_2(""), Some(Io::default()));
        assert_eq!(of_version_2("254:0 rbytes=many"), None);
        let version_1 = "254:0 Read 4096\n254:0 Write 1\n254:0 Sync 9\n254:0 Total 4097\n7:0 Read 2\nTotal 4099\n";
        assert_eq!(of_version_1(version_1), Some([4098, 1]));
        assert_eq!(of_version_1(""), Some([0, 0]));
        assert_eq!(of_version_1("254:0 Read some"), None);
        for (disks, missing) in [
            (&["254:0", "7:0"][..], None),
            (&["254:0", "254:1"], Some("254:1")),
            (&["25:0"], Some("25:0")),
            (&[], None),
        ] {
            let disks: Vec<String> = disks.iter().map(|disk| (*disk).to_owned()).collect();
            let found = not_counted(version_1, &disks).map(String::as_str);
            assert_eq!(found, missing, "{disks:?}");
        }
    }
}

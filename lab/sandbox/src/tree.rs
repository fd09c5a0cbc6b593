//! Files and directories on their way from one place to another, as a stream: what is read in one root by one user is
//! written in another root by another user. Neither side follows a link below the path that it was given, and the side that
//! writes believes nothing of what it is told but names.
//!
//! Before each file stands a line of JSON, an [`Entry`]; a directory comes before what is in it.

mod read;
mod write;

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

pub use read::{give, refuse};
pub use write::{Target, take};

/// Directories in one another, at most: what is deeper is an attack, on descriptors and on paths.
const DEEPEST: usize = 256;
/// Of one line, in bytes, at most: two paths, with all of it escaped.
const LONGEST_LINE: u64 = 1 << 16;

/// What comes next in a stream.
#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    /// Something that is there.
    There {
        /// So many directories above it are open: 0 is the top.
        depth: usize,
        /// Empty at the top.
        name: OsString,
        kind: Kind,
    },
    /// That was all; `left` has what was not given, and why.
    End { left: Vec<String> },
    /// It ends here, since this is in the way.
    Failed { why: String },
}

/// What it is; modes are those of chmod(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Directory {
        mode: u32,
    },
    /// So many bytes follow.
    File {
        mode: u32,
        size: u64,
    },
    Link {
        target: OsString,
    },
}

/// Modes without set-user-ID and set-group-ID, which would give a stranger's program the rights of who takes it.
const MODE: u32 = 0o1777;

fn tell(to: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    to.write_all(&line)
}

fn hear(from: &mut impl BufRead) -> io::Result<Entry> {
    let mut line = Vec::new();
    io::Read::take(&mut *from, LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        let cause = "the other side ended before it had given all";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cause));
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn there(depth: usize, name: &str, kind: Value) -> Value {
        json!({ "There": { "depth": depth, "name": { "Unix": name.as_bytes() }, "kind": kind } })
    }

    fn stream(entries: &[Value]) -> Vec<u8> {
        let lines = entries.iter().map(|entry| format!("{entry}\n"));
        lines.collect::<String>().into_bytes()
    }

    fn written(stream: &[u8], to: &Path) -> kernel::Result<Vec<String>> {
        let target = Target::find(to, OsString::from("top").as_os_str())?;
        take(&mut &stream[..], &target, &mut |_| Ok(()))
    }

    #[test]
    fn a_stream_that_lies_writes_nowhere_else() {
        let directory = json!({ "Directory": { "mode": 0o755 } });
        let file = json!({ "File": { "mode": 0o644, "size": 0 } });
        let end = json!({ "End": { "left": [] } });
        let top = there(0, "", directory.clone());
        for (second, why) in [
            (there(1, "..", directory.clone()), "is no name of a file"),
            (there(1, "../out", file.clone()), "is no name of a file"),
            (there(1, "/tmp/out", file.clone()), "is no name of a file"),
            (there(1, "", file.clone()), "out of turn"),
            (there(2, "deep", file.clone()), "out of turn"),
            (there(1, "a\0b", file), "is no name of a file"),
            (json!({ "Nothing": {} }), "unknown variant"),
        ] {
            let to = tempfile::tempdir().unwrap();
            let lie = stream(&[top.clone(), second.clone(), end.clone()]);
            let error = written(&lie, to.path()).unwrap_err();
            let error = error.source.to_string();
            assert!(error.contains(why), "{second}: {error}");
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "{second}");
            assert_eq!(
                fs::read_dir(to.path().join("top")).unwrap().count(),
                0,
                "{second}"
            );
        }
    }

    #[test]
    fn a_file_that_does_not_come_whole_replaces_nothing() {
        let to = tempfile::tempdir().unwrap();
        let old = to.path().join("top");
        fs::write(&old, "old").unwrap();
        let mut half = stream(&[there(
            0,
            "",
            json!({ "File": { "mode": 0o644, "size": 9 } }),
        )]);
        half.extend_from_slice(b"half");
        let error = written(&half, to.path()).unwrap_err().source.to_string();
        assert!(error.contains("ended in the middle"), "{error}");
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert_eq!(
            fs::read_dir(to.path()).unwrap().count(),
            1,
            "something is left"
        );
    }

    #[test]
    fn what_leads_out_is_not_followed() {
        let to = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), to.path().join("top")).unwrap();
        let directory = json!({ "Directory": { "mode": 0o755 } });
        let file = json!({ "File": { "mode": 0o644, "size": 0 } });
        let end = json!({ "End": { "left": [] } });
        let below = stream(&[
            there(0, "", directory),
            there(1, "file", file.clone()),
            end.clone(),
        ]);
        let error = written(&below, to.path()).unwrap_err().source.to_string();
        assert!(error.contains("a file or a link is"), "{error}");
        // In its place, not where it leads.
        written(&stream(&[there(0, "", file), end]), to.path()).unwrap();
        assert!(
            fs::symlink_metadata(to.path().join("top"))
                .unwrap()
                .is_file()
        );
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

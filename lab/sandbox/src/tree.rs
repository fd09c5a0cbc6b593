//! Files and directories on their way from one place to another, as a stream: what is read in one root by one user is
//! written in another root by another user. Neither side follows a link below the path that it was given, and the side
//! that writes believes nothing of what it is told but names.
//!
//! Before each file stands a line of JSON, an [`Entry`]; a directory comes before what is in it. A file's content comes
//! in pieces, each behind a line of its own, a [`Piece`], so that holes stay holes: a file may be larger than the disk.

mod read;
mod write;

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use read::{give, refuse};
pub use write::{Descriptors, Target, take};

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
    /// Something that is not given: what, and why.
    Left { what: String },
    /// That was all.
    End,
    /// It ends here, since this is in the way.
    Failed { why: String },
}

/// What it is; modes are those of chmod(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Directory {
        mode: u32,
    },
    /// Pieces follow until there is all of it.
    File {
        mode: u32,
        /// In bytes, holes included.
        size: u64,
    },
    Link {
        target: OsString,
    },
}

/// Bytes of a file, which follow; between the end of the one before and this one is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    /// Where it begins in the file.
    at: u64,
    /// 0 at the end of a file that ends with a hole.
    length: u64,
}

/// Of a text for people, in bytes, at most: with all of it escaped it is a line still.
const LONGEST_TEXT: usize = 1 << 13;

/// A text that fits into a line.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Modes without set-user-ID and set-group-ID, which would give a stranger's program the rights of who takes it.
const MODE: u32 = 0o1777;

fn tell(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
}

fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<T> {
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
    use std::io::{Seek, SeekFrom};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
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
        let target = Target::find(to, OsString::from("top").as_os_str(), Descriptors::open()?)?;
        take(&mut &stream[..], &target, &mut |_| Ok(()))
    }

    #[test]
    fn a_stream_that_lies_writes_nowhere_else() {
        let directory = json!({ "Directory": { "mode": 0o755 } });
        let file = json!({ "File": { "mode": 0o644, "size": 0 } });
        let end = json!("End");
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
        half.extend(stream(&[json!({ "at": 0, "length": 9 })]));
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
        let end = json!("End");
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

    fn given(from: &Path) -> Vec<u8> {
        let mut stream = Vec::new();
        give(from, &mut stream, &mut |_| Ok(())).unwrap();
        stream
    }

    /// Data of these bytes at these places in a file of this size, holes around them.
    fn with_holes(path: &Path, size: u64, data: &[(u64, &[u8])]) {
        let mut file = fs::File::create(path).unwrap();
        for (at, bytes) in data {
            file.seek(SeekFrom::Start(*at)).unwrap();
            file.write_all(bytes).unwrap();
        }
        file.set_len(size).unwrap();
    }

    #[test]
    fn holes_stay_holes() {
        const MIB: u64 = 1 << 20;
        let long = vec![7; 200_000];
        for (size, data) in [
            (0, vec![]),
            (5, vec![(0, &b"hello"[..])]),
            (16 * MIB, vec![]),
            (16 * MIB, vec![(0, &b"begin"[..])]),
            (16 * MIB, vec![(15 * MIB, &long[..])]),
            (
                16 * MIB + 3,
                vec![(8 * MIB, &long[..]), (16 * MIB, &b"end"[..])],
            ),
        ] {
            let place = tempfile::tempdir().unwrap();
            let (from, to) = (place.path().join("from"), place.path().join("top"));
            with_holes(&from, size, &data);
            let stream = given(&from);
            assert!(stream.len() < 500_000, "{size}: {}", stream.len());
            assert_eq!(written(&stream, place.path()).unwrap(), [""; 0]);
            let is_same = fs::read(&from).unwrap() == fs::read(&to).unwrap();
            assert!(is_same, "{size}");
            let used = fs::metadata(&to).unwrap().blocks() * 512;
            assert!(used < MIB, "{size}: {used}");
        }
    }

    #[test]
    fn pieces_that_lie_write_no_file() {
        let file = there(0, "", json!({ "File": { "mode": 0o644, "size": 9 } }));
        let piece = |at: u64, length: u64| json!({ "at": at, "length": length });
        for pieces in [
            vec![piece(0, 10)],
            vec![piece(10, 0)],
            vec![piece(4, 0), piece(4, 0)],
            vec![piece(4, 0), piece(3, 5)],
            vec![piece(0, 0)],
            vec![piece(1, u64::MAX)],
        ] {
            let to = tempfile::tempdir().unwrap();
            let lie = stream(&[&[file.clone()][..], &pieces].concat());
            let error = written(&lie, to.path()).unwrap_err().source.to_string();
            assert!(error.contains("out of turn"), "{pieces:?}: {error}");
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "{pieces:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_told_however_much_it_is() {
        const MANY: usize = 1500;
        let place = tempfile::tempdir().unwrap();
        let from = place.path().join("from");
        let shut = from.join("zzz");
        fs::create_dir_all(&shut).unwrap();
        let unreadable = rustix::fs::Mode::from_raw_mode(0o500);
        for number in 0..MANY {
            let name = from.join(format!("{number:0100}"));
            rustix::fs::mknodat(
                rustix::fs::CWD,
                name,
                rustix::fs::FileType::Fifo,
                unreadable,
                0,
            )
            .unwrap();
        }
        fs::write(shut.join("file"), "content").unwrap();
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o555)).unwrap();
        let left = written(&given(&from), place.path()).unwrap();
        assert_eq!(left.len(), write::MOST_LEFT + 1);
        assert!(left[0].ends_with("0: it is a FIFO"), "{}", left[0]);
        assert_eq!(
            left[write::MOST_LEFT],
            format!("and {} more", MANY - write::MOST_LEFT)
        );
        let shut = place.path().join("top/zzz");
        assert_eq!(fs::read_to_string(shut.join("file")).unwrap(), "content");
        assert_eq!(fs::metadata(shut).unwrap().mode() & 0o777, 0o555);
    }

    #[test]
    fn a_file_has_no_name_before_it_is_whole() {
        let to = tempfile::tempdir().unwrap();
        let head = stream(&[there(
            0,
            "",
            json!({ "File": { "mode": 0o644, "size": 2 } }),
        )]);
        let rest = stream(&[json!({ "at": 0, "length": 2 })]);
        let left = || fs::read_dir(to.path()).unwrap().count();
        let mut seen = Vec::new();
        let target = Target::find(to.path(), "top".as_ref(), Descriptors::open().unwrap()).unwrap();
        let whole = [head, rest, b"ab".to_vec(), stream(&[json!("End")])].concat();
        let mut from = io::BufReader::with_capacity(1, &whole[..]);
        take(&mut from, &target, &mut |_| {
            seen.push(left());
            Ok(())
        })
        .unwrap();
        // As each byte of it came, and at its end.
        assert_eq!(seen.split_last().unwrap(), (&1, &[0, 0][..]));
        assert_eq!(fs::read(to.path().join("top")).unwrap(), b"ab");
        assert_eq!(fs::metadata(to.path().join("top")).unwrap().nlink(), 1);
    }

    #[test]
    fn a_directory_that_is_not_written_whole_has_its_mode() {
        let to = tempfile::tempdir().unwrap();
        let half = stream(&[there(0, "", json!({ "Directory": { "mode": 0o555 } }))]);
        let error = written(&half, to.path()).unwrap_err().source.to_string();
        assert!(error.contains("before it had given all"), "{error}");
        let mode = fs::metadata(to.path().join("top")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o555);
    }

    #[test]
    fn texts_fit_into_a_line() {
        for text in ["\u{1}".repeat(100_000), "ä".repeat(100_000)] {
            let mut line = Vec::new();
            tell(&mut line, &Entry::Left { what: cut(text) }).unwrap();
            hear::<Entry>(&mut &line[..]).unwrap();
        }
    }

    /// Left by one that was killed, say.
    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let to = tempfile::tempdir().unwrap();
        let taken = to.path().join(format!(".lab-cp.{}", std::process::id()));
        fs::write(&taken, "another's").unwrap();
        let file = json!({ "File": { "mode": 0o644, "size": 0 } });
        let link = json!({ "Link": { "target": { "Unix": b"where" } } });
        let end = json!("End");
        for kind in [file, link] {
            written(&stream(&[there(0, "", kind), end.clone()]), to.path()).unwrap();
        }
        let top = fs::read_link(to.path().join("top")).unwrap();
        assert_eq!(top, Path::new("where"));
        assert_eq!(fs::read_to_string(&taken).unwrap(), "another's");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 2);
    }
}

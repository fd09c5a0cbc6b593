//! What a log consists of: lines `TIME STREAM TAG TEXT`, kubelet's format of logs (CRI, "kubelet CRI logging"), which
//! collectors of logs read.

use std::time::SystemTime;

use humantime::format_rfc3339_nanos;

/// Bytes of `2026-01-02T03:04:05.000000006Z`.
const TIME: usize = 30;
/// Bytes of a stream's name, with a space on either side.
const STREAM: usize = 8;
/// A line ends with it.
const FULL: u8 = b'F';
/// The line goes on with the next entry.
const PARTIAL: u8 = b'P';
/// Bytes before the text.
pub(super) const HEAD: usize = TIME + STREAM + 2;

/// Where a container prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pod) enum Stream {
    /// Standard output; at a terminal all of it.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    fn written(self) -> &'static [u8; STREAM] {
        match self {
            Self::Output => b" stdout ",
            Self::Error => b" stderr ",
        }
    }

    fn is_one(written: &[u8]) -> bool {
        [Self::Output, Self::Error]
            .iter()
            .any(|each| each.written() == written)
    }
}

/// A line that a container printed, or as much of it as came at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it came, as [`time_text`] has it.
    pub time: &'a [u8],
    /// Without the line's end.
    pub text: &'a [u8],
    /// Whether the line ends with it.
    pub ends: bool,
}

/// A time of day in UTC, with nanoseconds: of two, the earlier one is less as text, too (RFC 3339). Times before 1970
/// are 1970.
pub fn time_text(time: SystemTime) -> String {
    format_rfc3339_nanos(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

/// Makes entries of lines that came at one time by one stream: there is little to do for each.
#[derive(Debug)]
pub(super) struct Entries {
    full: Vec<u8>,
    partial: Vec<u8>,
}

impl Entries {
    pub(super) fn at(time: SystemTime, stream: Stream) -> Self {
        let time = time_text(time);
        let head = |tag| [time.as_bytes(), stream.written(), &[tag, b' ']].concat();
        Self {
            full: head(FULL),
            partial: head(PARTIAL),
        }
    }

    /// The pieces of the entry of a line, or of the part of it that there is.
    pub(super) fn of<'a>(&'a self, line: &'a [u8]) -> [&'a [u8]; 3] {
        match line.ends_with(b"\n") {
            true => [&self.full, line, b""],
            false => [&self.partial, line, b"\n"],
        }
    }
}

/// An entry without its line's end; `None` of what is none.
pub(super) fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let (head, text) = line.split_at_checked(HEAD)?;
    let (time, rest) = head.split_at(TIME);
    let (stream, tag) = rest.split_at(STREAM);
    let ends = match tag {
        _ if !Stream::is_one(stream) => return None,
        [FULL, b' '] => true,
        [PARTIAL, b' '] => false,
        _ => return None,
    };
    Some(Entry { time, text, ends })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_and_their_parts() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_767_323_045, 6);
        for (stream, line, name, text, tag) in [
            (Stream::Output, "a line\n", "stdout", "a line", 'F'),
            (Stream::Output, "$ ", "stdout", "$ ", 'P'),
            (Stream::Error, "\n", "stderr", "", 'F'),
            (Stream::Error, "$ ", "stderr", "$ ", 'P'),
        ] {
            let written = Entries::at(time, stream).of(line.as_bytes()).concat();
            let expected = format!("2026-01-02T03:04:05.000000006Z {name} {tag} {text}\n");
            assert_eq!(String::from_utf8(written.clone()).unwrap(), expected);
            let entry = parse(written.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((entry.text, entry.ends), (text.as_bytes(), tag == 'F'));
            assert_eq!(entry.time, time_text(time).as_bytes());
        }
        for line in [
            "",
            "2026-01-02T03:04:05.000000006Z stdout F",
            "2026-01-02T03:04:05.000000006Z stdout X text",
            "2026-01-02T03:04:05.000000006Z stdoutXF text",
            "2026-01-02T03:04:05.000000006Z stdlog F text",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn times_in_their_order_are_texts_in_theirs() {
        let seconds = [0, 999_999_999, 1_000_000_000, 253_402_300_799];
        let texts =
            seconds.map(|each| time_text(SystemTime::UNIX_EPOCH + Duration::from_secs(each)));
        assert!(texts.is_sorted(), "{texts:?}");
        assert!(texts.iter().all(|text| text.len() == TIME), "{texts:?}");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(time_text(before), texts[0]);
    }
}

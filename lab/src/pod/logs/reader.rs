//! The side that reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};

use super::Log;
use super::entry::{self, Entry};

/// Bytes that are read at once.
const SOME: usize = 64 << 10;

/// Reads a log across its parts; what was dropped meanwhile is left out.
#[derive(Debug)]
pub struct LogReader {
    log: Log,
    /// The part that is read; none before there is one.
    part: Option<(u64, File)>,
    /// The beginning of an entry whose end is not there yet.
    begun: Vec<u8>,
    /// How many bytes the lines are that were asked for, until they are read.
    asked_for: Option<u64>,
}

impl LogReader {
    /// From its beginning, or so many lines from its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(log: Log, tail: Option<usize>) -> Result<Self> {
        let (part, asked_for) = match tail {
            None => (log.after(None)?, None),
            Some(lines) => {
                let (part, length) = from_end(&log, lines)?;
                (part, Some(length))
            }
        };
        Ok(Self {
            log,
            part,
            begun: Vec::new(),
            asked_for,
        })
    }

    /// Gives `each` entry that is there now, however much comes meanwhile; at first, of lines from its end, those
    /// alone. Returns how many bytes were read.
    ///
    /// # Errors
    /// It cannot be read; what `each` says.
    pub fn read(&mut self, each: &mut dyn FnMut(Entry<'_>) -> Result<()>) -> Result<u64> {
        let ahead = match self.asked_for.take() {
            Some(length) => length,
            None => self.ahead()?,
        };
        let mut some = vec![0; SOME];
        let mut left = ahead;
        while left > 0 {
            let most = some.len().min(usize::try_from(left).unwrap_or(SOME));
            let length = self.read_some(&mut some[..most])?;
            if length == 0 {
                break;
            }
            left -= length as u64;
            self.begun.extend_from_slice(&some[..length]);
            self.give(each)?;
        }
        Ok(ahead)
    }

    /// Gives what is whole.
    fn give(&mut self, each: &mut dyn FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let last = self.begun.iter().rposition(|byte| *byte == b'\n');
        let whole = last.map_or(0, |last| last + 1);
        for line in whole_lines(&self.begun[..whole]) {
            entry::parse(line).map_or(Ok(()), &mut *each)?;
        }
        self.begun.drain(..whole);
        Ok(())
    }

    /// The next bytes of a part; none where there are no more for now.
    fn read_some(&mut self, bytes: &mut [u8]) -> Result<usize> {
        loop {
            let length = self.read_part(bytes)?;
            if length > 0 {
                return Ok(length);
            }
            let Some(next) = self.log.after(self.part.as_ref().map(|(part, _)| *part))? else {
                return Ok(0);
            };
            // Nothing is added to a part once there is another one, but it may have been before that.
            let length = self.read_part(bytes)?;
            if length > 0 {
                return Ok(length);
            }
            self.part = Some(next);
            // There was no room for the rest of it.
            self.begun.clear();
        }
    }

    /// How many bytes there are to read now.
    fn ahead(&mut self) -> Result<u64> {
        let mut ahead = 0;
        if let Some((_, file)) = &mut self.part {
            let length = file.metadata().context("look at the log")?.len();
            ahead = length.saturating_sub(file.stream_position().context("read the log")?);
        }
        let own = self.part.as_ref().map(|(part, _)| *part);
        for next in self.log.parts()? {
            if own.is_none_or(|own| next > own)
                && let Some(file) = self.log.open(next)?
            {
                ahead += file.metadata().context("look at the log")?.len();
            }
        }
        Ok(ahead)
    }

    fn read_part(&mut self, bytes: &mut [u8]) -> Result<usize> {
        match &mut self.part {
            Some((_, file)) => file.read(bytes).context("read the log"),
            None => Ok(0),
        }
    }
}

fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.filter_map(|line| line.strip_suffix(b"\n"))
}

/// The place from which so many lines follow: a part, and its file read up to there; how many bytes they are.
fn from_end(log: &Log, lines: usize) -> Result<(Option<(u64, File)>, u64)> {
    let parts = last_parts(log, lines)?;
    let mut last = VecDeque::new();
    let mut end = None;
    let mut line_begins = true;
    for (part, bytes) in &parts {
        let mut at = 0;
        for line in whole_lines(bytes) {
            if line_begins {
                last.push_back((*part, at));
            }
            if last.len() > lines {
                last.pop_front();
            }
            line_begins = ends_line(line);
            at += line.len() as u64 + 1;
        }
        end = Some((*part, at));
    }
    let Some((first, at)) = last.pop_front().or(end) else {
        return Ok((None, 0));
    };
    let from_there = parts.iter().filter(|(part, _)| *part >= first);
    let length: u64 = from_there.map(|(_, bytes)| bytes.len() as u64).sum();
    let place = match log.open(first)? {
        Some(mut file) => {
            file.seek(SeekFrom::Start(at)).context("read the log")?;
            Some((first, file))
        }
        // Dropped meanwhile.
        None => log.after(Some(first))?,
    };
    Ok((place, length - at))
}

/// The last parts, in order, with so many lines and one more, if there are: of the first line the beginning may be
/// missing.
fn last_parts(log: &Log, lines: usize) -> Result<VecDeque<(u64, Vec<u8>)>> {
    let mut parts = VecDeque::new();
    let mut ends = 0;
    for part in log.parts()?.into_iter().rev() {
        let Some(mut file) = log.open(part)? else {
            continue;
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context("read the log")?;
        ends += whole_lines(&bytes).filter(|line| ends_line(line)).count();
        parts.push_front((part, bytes));
        if ends > lines {
            break;
        }
    }
    Ok(parts)
}

/// An entry; what is none keeps no line open.
fn ends_line(line: &[u8]) -> bool {
    entry::parse(line).is_none_or(|entry| entry.ends)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;
    use std::time::SystemTime;

    use super::super::entry::{HEAD, Stream};
    use super::super::writer::{Bounds, LogWriter};
    use super::*;

    /// Three parts, with room for two lines of three characters each.
    const BOUNDS: Bounds = Bounds {
        part: 2 * (HEAD as u64 + 4),
        parts: 3,
    };

    fn written(directory: &Path, texts: &[&str]) -> LogWriter {
        let log = Log {
            directory: directory.to_owned(),
            start: 0,
        };
        let mut writer = LogWriter::begin(log, BOUNDS).unwrap();
        texts.iter().for_each(|text| write(&mut writer, text));
        writer
    }

    fn write(writer: &mut LogWriter, text: &str) {
        let time = SystemTime::UNIX_EPOCH;
        let stream = Stream::Output;
        writer.write(stream, text.as_bytes(), time).unwrap();
    }

    /// What there is to read.
    fn rest(reader: &mut LogReader) -> String {
        let mut all = Vec::new();
        let read = reader.read(&mut |entry| {
            all.extend_from_slice(entry.text);
            all.extend(entry.ends.then_some(b'\n'));
            Ok(())
        });
        read.unwrap();
        String::from_utf8(all).unwrap()
    }

    fn read(log: &Log, tail: Option<usize>) -> String {
        rest(&mut LogReader::open(log.clone(), tail).unwrap())
    }

    #[test]
    fn the_last_parts_are_kept_and_begin_with_lines() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = written(directory.path(), &["one\n", "two\nsix\nt", "en\n"]);
        assert_eq!(writer.log.parts().unwrap(), [0, 1, 2]);
        assert_eq!(read(&writer.log, None), "one\ntwo\nsix\nten\n");
        for number in 101..=106 {
            write(&mut writer, &format!("{number}\n"));
        }
        assert_eq!(writer.log.parts().unwrap(), [3, 4, 5]);
        assert_eq!(read(&writer.log, None), "102\n103\n104\n105\n106\n");
        // All bounds hold whatever comes at once, and one line is larger than a part.
        write(&mut writer, &"abc\n".repeat(101));
        assert_eq!(read(&writer.log, None), "abc\n".repeat(6));
        write(&mut writer, &"x".repeat(1000));
        assert_eq!(
            read(&writer.log, None),
            "abc\n".repeat(4) + &"x".repeat(1000)
        );
    }

    #[test]
    fn who_follows_goes_on_with_the_next_part() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = written(directory.path(), &["one\n"]);
        let mut reader = LogReader::open(writer.log.clone(), None).unwrap();
        assert_eq!(rest(&mut reader), "one\n");
        for text in [
            "",
            "two\n",
            "three\nfour\n",
            "five",
            " and",
            " more\n",
            "six\n",
        ] {
            write(&mut writer, text);
            assert_eq!(rest(&mut reader), text);
        }
        // Who is too slow lacks what was dropped.
        (0..9).for_each(|number| write(&mut writer, &format!("n {number}\n")));
        let late = rest(&mut reader);
        assert!(late.lines().all(|line| line.starts_with("n ")), "{late}");
        assert!(late.lines().count() < 9, "{late}");
        assert!(late.ends_with("n 7\nn 8\n"), "{late}");
    }

    #[test]
    fn of_the_last_lines_what_comes_later_is_none_and_what_was_before_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = written(
            directory.path(),
            &["one\n", "two\n", "ten\n", "six\n", "end\n"],
        );
        let first = writer.log.path(0);
        std::fs::remove_file(&first).unwrap();
        // Which cannot be read.
        std::fs::create_dir(&first).unwrap();
        let mut reader = LogReader::open(writer.log.clone(), Some(2)).unwrap();
        write(&mut writer, "more\n");
        assert_eq!(rest(&mut reader), "six\nend\n");
        assert_eq!(rest(&mut reader), "more\n");
    }

    #[test]
    fn an_entry_is_given_once_it_is_whole_and_never_when_it_was_torn() {
        let directory = tempfile::tempdir().unwrap();
        let writer = written(directory.path(), &["one\n"]);
        let mut reader = LogReader::open(writer.log.clone(), None).unwrap();
        assert_eq!(rest(&mut reader), "one\n");
        let append = |part: u64, bytes: &[u8]| {
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(writer.log.path(part))
                .unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
        };
        let entry = entry::Entries::at(SystemTime::UNIX_EPOCH, Stream::Error)
            .of(b"two\n")
            .concat();
        let (begin, end) = entry.split_at(HEAD + 2);
        for (part, bytes, expected) in [
            (0, begin, ""),
            (0, end, "two\n"),
            (0, begin, ""),
            (1, &entry[..], "two\n"),
        ] {
            append(part, bytes);
            assert_eq!(rest(&mut reader), expected, "{part}");
        }
        assert_eq!(read(&writer.log, Some(2)), "two\ntwo\n");
    }

    #[test]
    fn the_end_of_a_log() {
        for (texts, number, expected) in [
            (&["a\nb\nc\n"][..], 0, ""),
            (&["a\nb\nc\n"], 1, "c\n"),
            (&["a\nb\nc"], 2, "b\nc"),
            (&["a\nb\nc\n"], 3, "a\nb\nc\n"),
            (&["a\nb\nc\n"], 9, "a\nb\nc\n"),
            (&["a\n\n"], 1, "\n"),
            (&[], 0, ""),
            (&[], 1, ""),
            // In several entries.
            (&["a\n", "b", "b", "b\n"], 1, "bbb\n"),
            (&["a\n", "b", "b", "b\n"], 2, "a\nbbb\n"),
            (&["a\n", "b", "b"], 1, "bb"),
            // In several parts.
            (&["first\n", "second\n", "third\n"], 1, "third\n"),
            (&["first\n", "second\n", "third\n"], 2, "second\nthird\n"),
            (
                &["first\n", "second\n", "third\n"],
                3,
                "first\nsecond\nthird\n",
            ),
            (&["first\n", "second\n", "third\n"], 0, ""),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let log = written(directory.path(), texts).log;
            assert_eq!(read(&log, Some(number)), expected, "{texts:?} {number}");
        }
    }
}

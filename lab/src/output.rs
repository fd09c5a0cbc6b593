//! What the lab prints: tables, colours on a terminal, plain text elsewhere.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::called::{as_called, called};

/// Who read what the lab printed has ended, as `head` does: nothing more is wanted, which is no failure worth a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub struct ReaderGone;

impl ReaderGone {
    /// As of a program that SIGPIPE ends: 128 and its number.
    pub const EXIT_STATUS: u8 = 141;
}

/// Prints on standard output, at once.
///
/// # Errors
/// [`ReaderGone`]; the output is full or closed.
pub fn print(text: &(impl AsRef<[u8]> + ?Sized)) -> Result<()> {
    let mut stdout = io::stdout();
    let printed = stdout.write_all(text.as_ref());
    match printed.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => bail!(ReaderGone),
        printed => printed.context("print"),
    }
}

/// Says a line on standard error. Where nobody can read it, as at a terminal that was closed, it is lost: what is done
/// goes on, and the exit status is its own.
pub fn warn(line: impl fmt::Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says what is wrong, behind the name that this program was called by, and with it in what it advises.
pub fn complain(what: impl fmt::Display) {
    warn(format_args!(
        "{}: {}",
        called(),
        as_called(&what.to_string())
    ));
}

/// As YAML.
///
/// # Errors
/// It has no form in YAML.
pub fn yaml<T: Serialize>(value: &T) -> Result<String> {
    serde_saphyr::to_string(value).context("write YAML")
}

/// A table whose columns are as wide as their widest cell.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A row to stand below the table that was printed; a wider cell moves those beside it.
    pub fn further(&self, cells: &[String]) -> String {
        line(cells, &self.widths())
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| visible_length(cell)).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let mut rows = self.rows.iter();
        rows.try_for_each(|row| f.write_str(&line(row, &widths)))
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (number, cell) in cells.iter().enumerate() {
        line.push_str(cell);
        let width = widths.get(number).copied().unwrap_or(0);
        let padding = width.saturating_sub(visible_length(cell)) + 2;
        line.extend(std::iter::repeat_n(' ', padding));
    }
    format!("{}\n", line.trim_end())
}

/// Characters that take room: all but colour sequences (`ESC [ ... m`).
fn visible_length(text: &str) -> usize {
    let mut length = 0;
    let mut in_sequence = false;
    for character in text.chars() {
        match character {
            '\u{1b}' => in_sequence = true,
            'm' if in_sequence => in_sequence = false,
            _ if in_sequence => {}
            _ => length += 1,
        }
    }
    length
}

/// Text of a container's, for a terminal: control characters, which could move its cursor or end a line, and those that
/// reorder or hide what stands beside them, are written out (`\n`, `\u{1b}`, `\u{202e}`).
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() || deceives(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Unicode's controls of direction and lines, and what has no width and no part in a word (Unicode Standard Annex 9,
/// Standard 23.8 and 23.9).
fn deceives(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// As [`escaped()`], with the ends of lines as they are.
pub fn escaped_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

/// A number of things: `1 node`, `2 nodes`, `2 processes`.
pub fn counted(number: usize, what: &str) -> String {
    let ending = match (number, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {what}{ending}")
}

/// What there may not be.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Bytes as people read them: `1.5 MiB`.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// `NO_COLOR` is set (no-color.org).
pub fn colours_are_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Colours, where they are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// For standard output: coloured on a terminal, unless [they are refused](colours_are_refused).
    pub fn for_stdout() -> Self {
        Self {
            colours: std::io::stdout().is_terminal() && !colours_are_refused(),
        }
    }

    /// Never.
    pub fn plain() -> Self {
        Self { colours: false }
    }

    /// Good news.
    pub fn good(self, text: impl fmt::Display) -> String {
        self.with("32", text)
    }

    /// Bad news.
    pub fn bad(self, text: impl fmt::Display) -> String {
        self.with("1;31", text)
    }

    /// A heading.
    pub fn heading(self, text: impl fmt::Display) -> String {
        self.with("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: impl fmt::Display) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: impl fmt::Display) -> String {
        if self.colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        let text = "a\u{1b}[2J\r\nb\t\u{9b}1m \"ä\" \\";
        assert_eq!(escaped(text), "a\\u{1b}[2J\\r\\nb\\t\\u{9b}1m \"ä\" \\");
        assert_eq!(escaped_lines("a\u{1b}\nb\n"), "a\\u{1b}\nb\n");
        assert_eq!(escaped("exe\u{202e}fdp ü👍🏽"), "exe\\u{202e}fdp ü👍🏽");
    }

    #[test]
    fn columns_line_up_with_colours_and_without() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["long".to_owned(), "x".to_owned()]);
        table.row([Paint { colours: true }.good("ok"), "y".to_owned()]);
        let text = table.to_string();
        assert_eq!(text, "A     B\nlong  x\n\u{1b}[32mok\u{1b}[0m    y\n");
        let below = |cells: [&str; 2]| table.further(&cells.map(str::to_owned));
        assert_eq!(below(["a", "b"]), "a     b\n");
        assert_eq!(below(["longer", "b"]), "longer  b\n");
        assert_eq!(Paint::plain().bad("no"), "no");
    }
}

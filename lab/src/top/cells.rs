//! Figures in few letters, and tables that fit the width there is.

use ratatui::style::Style;
use ratatui::text::Span;

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    heading: &'static str,
    /// Figures stand at the right.
    right: bool,
    /// The greater, the sooner it is left out where room is missing; 0 stays.
    spare: u8,
    cells: Vec<(String, Style)>,
}

impl Column {
    /// Of words.
    pub(super) fn words(heading: &'static str, spare: u8) -> Self {
        Self {
            heading,
            right: false,
            spare,
            cells: Vec::new(),
        }
    }

    /// Of figures.
    pub(super) fn figures(heading: &'static str, spare: u8) -> Self {
        Self {
            right: true,
            ..Self::words(heading, spare)
        }
    }

    /// With these cells.
    pub(super) fn with<T: Into<String>>(self, cells: impl Iterator<Item = T>) -> Self {
        self.styled(cells.map(|cell| (cell, Style::new())))
    }

    /// With these cells, each in its style.
    pub(super) fn styled<T: Into<String>>(
        mut self,
        cells: impl Iterator<Item = (T, Style)>,
    ) -> Self {
        self.cells = cells.map(|(cell, style)| (cell.into(), style)).collect();
        self
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|(cell, _)| width(cell));
        cells.fold(width(self.heading), usize::max)
    }
}

/// Columns that fit a width.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    columns: Vec<(Column, usize)>,
    gap: usize,
}

impl Fitted {
    /// Leaves out what does not fit; when nothing more can be left out, the first column is cut.
    pub(super) fn new(mut columns: Vec<Column>, room: usize) -> Self {
        while needed(&columns, 1) > room {
            let least = columns
                .iter()
                .enumerate()
                .max_by_key(|(_, each)| each.spare);
            match least {
                Some((at, column)) if column.spare > 0 => drop(columns.remove(at)),
                _ => break,
            }
        }
        let gap = if needed(&columns, 2) > room { 1 } else { 2 };
        let missing = needed(&columns, gap).saturating_sub(room);
        let width = |(at, column): (usize, &Column)| match at {
            0 => column.width().saturating_sub(missing),
            _ => column.width(),
        };
        let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
        Self {
            columns: columns.into_iter().zip(widths).collect(),
            gap,
        }
    }

    /// The line of headings.
    pub(super) fn heading(&self) -> String {
        let cells = self.columns.iter().map(|(column, width)| {
            let heading = column.heading;
            self.fill(column, *width, heading)
        });
        cells.collect()
    }

    /// The line of a row.
    pub(super) fn row(&self, at: usize) -> Vec<Span<'static>> {
        let cells = self.columns.iter().map(|(column, width)| {
            let (text, style) = column.cells.get(at).cloned().unwrap_or_default();
            Span::styled(self.fill(column, *width, &text), style)
        });
        cells.collect()
    }

    fn fill(&self, column: &Column, room: usize, text: &str) -> String {
        let text = cut(text, room);
        let padding = " ".repeat(room.saturating_sub(width(&text)));
        let gap = " ".repeat(self.gap);
        match column.right {
            true => format!("{padding}{text}{gap}"),
            false => format!("{text}{padding}{gap}"),
        }
    }
}

fn needed(columns: &[Column], gap: usize) -> usize {
    let widths: usize = columns.iter().map(Column::width).sum();
    widths + gap * columns.len().saturating_sub(1)
}

/// In columns of the terminal.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// As much of a text as fits; its end says that something is missing.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if width(&cut) >= room {
            cut.pop();
            break;
        }
    }
    if room > 0 {
        cut.push('~');
    }
    cut
}

/// Bytes, in at most four letters.
pub(super) fn bytes(count: u64) -> String {
    short(count as f64)
}

/// Bytes per second, in at most four letters.
pub(super) fn rate(per_second: f64) -> String {
    short(per_second)
}

fn short(count: f64) -> String {
    const STEP: f64 = 1024.0;
    let mut value = count.max(0.0);
    for unit in ["", "K", "M", "G", "T"] {
        // What would be rounded to four digits is one of the next unit.
        if value < 999.5 {
            let precise = !unit.is_empty() && value < 9.95;
            return format!("{value:.*}{unit}", usize::from(precise));
        }
        value /= STEP;
    }
    format!("{value:.0}P")
}

/// Processors.
pub(super) fn processors(number: f64) -> String {
    format!("{number:.2}")
}

/// A time in seconds, in its largest unit.
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// `-` where there is nothing to tell.
pub(super) fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_rounded_to_the_unit_they_are_in() {
        for (count, expected) in [
            (0.0, "0"),
            (-1.0, "0"),
            (999.4, "999"),
            (999.6, "1.0K"),
            (1024.0, "1.0K"),
            (10_187.0, "9.9K"),
            (10_240.0, "10K"),
            (1_023_400.0, "999K"),
            (1_048_576.0, "1.0M"),
            (67_108_864.0, "64M"),
            (3e15, "2.7P"),
        ] {
            let text = short(count);
            // Petabytes are never precise.
            let expected = if count > 1e15 { "3P" } else { expected };
            assert_eq!(text, expected, "{count}");
            assert!(text.len() <= 4);
        }
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (86_399, "23h"),
            (86_400, "1d"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_by_rank_and_then_cut() {
        let columns = || {
            vec![
                Column::words("NAME", 0).with(["a-long-name"].into_iter()),
                Column::figures("CPU", 1).with(["1.00"].into_iter()),
                Column::words("NODE", 2).with(["n1"].into_iter()),
            ]
        };
        for (room, expected) in [
            (
                30,
                ["NAME          CPU  NODE  ", "a-long-name  1.00  n1    "],
            ),
            (21, ["NAME         CPU NODE ", "a-long-name 1.00 n1   "]),
            (20, ["NAME          CPU  ", "a-long-name  1.00  "]),
            (15, ["NAME         ", "a-long-name  "]),
            (6, ["NAME   ", "a-lon~ "]),
            (1, ["~ ", "~ "]),
            (0, [" ", " "]),
        ] {
            let fitted = Fitted::new(columns(), room);
            let row: String = fitted.row(0).iter().map(|span| &*span.content).collect();
            assert_eq!([fitted.heading(), row], expected, "{room}");
        }
        assert_eq!(cut("naïve 網路", 8), "naïve ~");
    }
}

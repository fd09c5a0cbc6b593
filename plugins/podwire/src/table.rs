//! What people read: aligned tables, and texts of others that do nothing to a terminal.

/// A text that may be anybody's, without characters that a terminal obeys.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    printable
}

/// What stands in a cell for nothing.
pub(crate) fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// Rows under a heading, each column as wide as its widest cell; nothing behind the last.
pub(crate) fn aligned<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| printable(cell)))
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([heading[column].len()])
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows
        .iter()
        .map(|row| line(row.each_ref().map(String::as_str)));
    line(heading) + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a", "bbbb", ""],
            ["cccc", "d", "e"],
            ["\u{1b}[31mü\n", "", ""],
        ]
        .map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(["ONE", "TWO", "THREE"], &rows),
            "ONE            TWO   THREE\n\
             a              bbbb\n\
             cccc           d     e\n\
             \\u{1b}[31mü\\n\n"
        );
    }
}

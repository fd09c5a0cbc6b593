//! The report as Markdown (GitHub's): tables, no plots.

use std::fmt::Write as _;

use super::comparison::Comparison;
use super::tables::{self, Cell, Table};
use super::words;

/// The whole text.
pub(super) fn text(comparison: &Comparison<'_>) -> String {
    let mut text = format!("# {}\n", escaped(&words::title(comparison)));
    section(
        &mut text,
        words::MEASURED_ON,
        &[],
        &tables::facts(comparison),
    );
    section(
        &mut text,
        words::COMMANDS,
        &[],
        &tables::commands(comparison),
    );
    section(&mut text, words::PATHS, &[], &tables::paths(comparison));
    heading(&mut text, words::NOISE);
    for paragraph in words::noise(comparison) {
        push_paragraph(&mut text, &paragraph);
    }
    for measured in &comparison.loads {
        let heading = words::load_heading(measured.load);
        let about = [words::about(measured.load)];
        section(
            &mut text,
            &heading,
            &about,
            &tables::figures(comparison, measured),
        );
    }
    text
}

pub(super) fn section(text: &mut String, title: &str, paragraphs: &[String], table: &Table) {
    heading(text, title);
    for paragraph in paragraphs {
        push_paragraph(text, paragraph);
    }
    push_table(text, table);
}

pub(super) fn heading(text: &mut String, title: &str) {
    let _infallible = writeln!(text, "\n## {}", escaped(title));
}

pub(super) fn push_paragraph(text: &mut String, paragraph: &str) {
    let _infallible = writeln!(text, "\n{}", escaped(paragraph));
}

fn push_table(text: &mut String, table: &Table) {
    let headings = table.headings.iter().map(|heading| escaped(&heading.text));
    let rules = table.headings.iter().map(|heading| {
        let rule = if heading.numbers { "---:" } else { "---" };
        rule.to_owned()
    });
    text.push('\n');
    push_row(text, headings);
    push_row(text, rules);
    for row in &table.rows {
        push_row(text, row.iter().map(cell));
    }
}

fn push_row(text: &mut String, cells: impl Iterator<Item = String>) {
    for cell in cells {
        let _infallible = write!(text, "| {cell} ");
    }
    text.push_str("|\n");
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => escaped(text),
        Cell::Code(text) => code(text),
    }
}

/// So that nothing in it is Markdown or HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in words::on_one_line(text).chars() {
        if r"\`*_{}[]<>#|~&!$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A code span: between more backticks than stand together in it. A bar would end the cell even there.
fn code(text: &str) -> String {
    let text = words::on_one_line(text).replace('|', r"\|");
    let longest = text.split(|c| c != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or(0) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_text_stays_text() {
        for (text, expected) in [
            ("host-gw 1.5", "host-gw 1.5"),
            ("a|b\n# c", r"a\|b \# c"),
            ("<script>*_`[x](y)", r"\<script\>\*\_\`\[x\](y)"),
            ("\u{1b}[1m\u{202e}", "\u{fffd}\\[1m\u{fffd}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        for (text, expected) in [
            ("lab x", "`lab x`"),
            ("a ``b`` |", r"```a ``b`` \|```"),
            ("`", "`` ` ``"),
        ] {
            assert_eq!(code(text), expected);
        }
    }
}

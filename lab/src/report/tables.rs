//! The tables of a report, whatever it is written as.

use super::comparison::{Comparison, Measured, OnPath, Place, Series, Side};
use super::numbers::{Summary, digits};
use super::words;
use crate::bench::net::cores::Cores;
use crate::bench::net::family::Family;
use crate::bench::net::loads::Column;

/// Cells in rows below headings.
pub(super) struct Table {
    pub(super) headings: Vec<Heading>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// What a column is of.
pub(super) struct Heading {
    pub(super) text: String,
    pub(super) numbers: bool,
}

/// One cell.
#[derive(PartialEq)]
pub(super) enum Cell {
    Text(String),
    /// What was typed.
    Code(String),
}

pub(super) fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

pub(super) fn words(text: impl Into<String>) -> Heading {
    Heading {
        text: text.into(),
        numbers: false,
    }
}

pub(super) fn numbers(text: impl Into<String>) -> Heading {
    Heading {
        text: text.into(),
        numbers: true,
    }
}

/// What is told of a report before its figures.
pub(super) struct Fact {
    pub(super) name: &'static str,
    of: fn(&Side<'_>) -> Cell,
    /// Do figures depend on it, so that a comparison of files that differ in it is one of that, too?
    pub(super) matters: bool,
}

const fn fact(name: &'static str, matters: bool, of: fn(&Side<'_>) -> Cell) -> Fact {
    Fact { name, of, matters }
}

/// All of them, in their order.
pub(super) const FACTS: [Fact; 16] = [
    fact("begun", false, |side| text(&*side.report.started)),
    fact("processor", true, |side| {
        optional(side.report.machine.processor.as_deref())
    }),
    fact("processors", true, |side| {
        text(side.report.machine.processors.to_string())
    }),
    fact("pinned to", true, pinned),
    fact("kernel", true, |side| text(&*side.report.machine.kernel)),
    fact("command", false, |side| {
        Cell::Code(command(&side.report.command))
    }),
    fact("lab", true, |side| text(&*side.report.versions.lab)),
    fact("netd", true, |side| {
        optional(side.report.versions.netd.as_deref())
    }),
    fact("podwire", true, |side| {
        optional(side.report.versions.podwire.as_deref())
    }),
    fact("iperf3", true, |side| {
        optional(side.report.versions.iperf3.as_deref())
    }),
    fact("plugins", false, plugins),
    fact("changes", false, changes),
    fact("streams sent by", true, |side| {
        text(side.report.generator.to_string())
    }),
    fact("congestion control", true, |side| {
        text(
            side.report
                .congestion_control
                .as_deref()
                .unwrap_or("not told"),
        )
    }),
    fact("rounds", true, rounds),
    fact("a sample takes", false, length),
];

impl Fact {
    /// Do the sides differ in it?
    pub(super) fn differs(&self, sides: &[Side<'_>]) -> bool {
        let mut values = sides.iter().map(self.of);
        let first = values.next();
        values.any(|value| Some(value) != first)
    }
}

pub(super) fn optional(value: Option<&str>) -> Cell {
    text(value.unwrap_or("none"))
}

fn pinned(side: &Side<'_>) -> Cell {
    let listed = |cores: &[usize]| {
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        cores.join(", ")
    };
    match &side.report.machine.cores {
        Some(Cores { client, server }) => text(format!(
            "processor {} for the client, {} for the server",
            listed(client),
            listed(server)
        )),
        None => text("none"),
    }
}

fn plugins(side: &Side<'_>) -> Cell {
    let dir = side.variant.plugin_dir.as_deref();
    let whose = dir.map_or("podwire's".to_owned(), |dir| dir.display().to_string());
    match &side.variant.about {
        Some(about) => text(format!("{whose}: {about}")),
        None => text(whose),
    }
}

fn changes(side: &Side<'_>) -> Cell {
    match &side.variant.changes {
        Some(changes) => Cell::Code(serde_json::json!(changes).to_string()),
        None => text("none"),
    }
}

fn rounds(side: &Side<'_>) -> Cell {
    let warm_up = match side.report.warm_up_seconds {
        0.0 => "no warm-up".to_owned(),
        seconds => format!("after a warm-up of {seconds} s each"),
    };
    text(format!("{}, {warm_up}", side.report.repetitions))
}

fn length(side: &Side<'_>) -> Cell {
    let seconds: Vec<f64> = side.samples().map(|sample| sample.seconds).collect();
    match Summary::of(&seconds) {
        Some(all) => text(format!("{} s, in the median", digits(all.median))),
        None => text("none"),
    }
}

/// As it would be typed.
pub(super) fn command(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Machine, kernel, command and versions of each file.
pub(super) fn facts(comparison: &Comparison<'_>) -> Table {
    let sides = &comparison.sides;
    let headings = sides.iter().map(|side| {
        if comparison.compares() {
            words(format!("{}: {}", side.letter, side.name()))
        } else {
            words(side.name())
        }
    });
    let rows = FACTS.iter().map(|fact| {
        let first = sides.first().map(fact.of);
        let values = sides.iter().map(|side| match (fact.of)(side) {
            value if side.letter != 'A' && Some(&value) == first.as_ref() => text("as A"),
            value => value,
        });
        std::iter::once(text(fact.name)).chain(values).collect()
    });
    Table {
        headings: std::iter::once(words("")).chain(headings).collect(),
        rows: rows.collect(),
    }
}

/// What was run for each load, first of each file.
pub(super) fn commands(comparison: &Comparison<'_>) -> Table {
    let mut headings = vec![words("load"), words("client, as it was first run")];
    let mut rows = Vec::new();
    for side in comparison.first_of_each_file() {
        for (load, command) in &side.report.commands {
            let mut row = vec![text(&**load), Cell::Code(command.clone())];
            if comparison.compares() {
                row.insert(1, text(side.letter.to_string()));
            }
            rows.push(row);
        }
    }
    if comparison.compares() {
        headings.insert(1, words("side"));
    }
    Table { headings, rows }
}

/// What each path is, and where one was left out.
pub(super) fn paths(comparison: &Comparison<'_>) -> Table {
    let measured = comparison.places().into_iter().map(|place| {
        let meaning = words::meaning(&place.path);
        let pods = match place.other_pods {
            0 => String::new(),
            1 => ", with 1 other pod on each node".to_owned(),
            pods => format!(", with {pods} other pods on each node"),
        };
        let family = match place.family {
            Family::Ipv4 => "",
            Family::Ipv6 => ", over IPv6",
        };
        let what = format!("{meaning}{family}{pods}");
        vec![text(place.to_string()), text(what)]
    });
    let left_out = comparison.left_out().map(|(side, left)| {
        let whose = if comparison.compares() {
            format!("left out of {}: {}", side.letter, left.reason)
        } else {
            format!("left out: {}", left.reason)
        };
        let place = Place {
            path: left.path,
            family: left.family,
            other_pods: 0,
        };
        vec![text(place.to_string()), text(whose)]
    });
    Table {
        headings: vec![words("path"), words("what it is")],
        rows: measured.chain(left_out).collect(),
    }
}

/// Medians and ends of a load's figures: a row for each path and side.
pub(super) fn figures(comparison: &Comparison<'_>, measured: &Measured) -> Table {
    let with_cpu = measured.series().any(|series| !series.cpu.is_empty());
    let mut headings = vec![words("path")];
    if comparison.compares() {
        headings.push(words("side"));
    }
    let columns = measured
        .load
        .columns()
        .iter()
        .map(|Column { unit, .. }| *unit);
    for unit in columns.chain(with_cpu.then_some("CPU s/Gbit")) {
        headings.push(numbers(unit));
        headings.push(numbers("least to most"));
    }
    if comparison.compares() {
        let what = measured
            .load
            .columns()
            .first()
            .map_or("", |column| column.unit);
        headings.push(words(format!("{what} against A")));
    }
    headings.push(numbers("samples"));
    let mut rows = Vec::new();
    for on in &measured.paths {
        for (side, series) in comparison.sides.iter().zip(&on.sides) {
            let row = row(comparison, on, side, series.as_ref(), with_cpu);
            rows.extend(row);
        }
    }
    Table { headings, rows }
}

fn row(
    comparison: &Comparison<'_>,
    on: &OnPath,
    side: &Side<'_>,
    series: Option<&Series>,
    with_cpu: bool,
) -> Option<Vec<Cell>> {
    let series = series?;
    let main = series.main()?;
    let mut row = vec![text(on.place.to_string())];
    if comparison.compares() {
        row.push(text(side.letter.to_string()));
    }
    let cpu = with_cpu.then_some(&series.cpu);
    for samples in series.figures.iter().chain(cpu) {
        row.extend(middle_and_ends(samples));
    }
    if comparison.compares() {
        let first = on.sides.first().and_then(Option::as_ref);
        let first = first.and_then(Series::main);
        row.push(text(against(first, side.letter, &main)));
    }
    row.push(text(main.count.to_string()));
    Some(row)
}

pub(super) fn middle_and_ends(samples: &[f64]) -> [Cell; 2] {
    match Summary::of(samples) {
        None => [text("–"), text("–")],
        Some(all) => [
            text(digits(all.median)),
            text(format!("{} to {}", digits(all.least), digits(all.most))),
        ],
    }
}

/// How much, and whether the samples tell.
pub(super) fn against(first: Option<Summary>, letter: char, main: &Summary) -> String {
    match first {
        _ if letter == 'A' => "–".to_owned(),
        None => "A has none".to_owned(),
        Some(first) => main.against(&first).unwrap_or("A is 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let words = ["lab", "bench", "net", "--json", "a b", "it's", ""].map(str::to_owned);
        let expected = r"lab bench net --json 'a b' 'it'\''s' ''";
        assert_eq!(command(&words), expected);
    }
}

//! Lines of the form `Name:   value`, whose values stand one below the other.

use std::fmt::{Display, Write};

use crate::output::escaped;

/// What stands where there is nothing.
pub(super) const NONE: &str = "<none>";

/// A block of lines, indented.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<(usize, String, String)>,
}

impl Lines {
    /// A name and its value.
    pub(super) fn add(&mut self, indent: usize, name: &str, value: impl Display) {
        self.lines
            .push((indent, format!("{name}:"), value.to_string()));
    }

    /// A name and its value, if there is one.
    pub(super) fn add_some(&mut self, indent: usize, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(indent, name, value);
        }
    }

    /// A name and several values, each on a line.
    pub(super) fn add_all(&mut self, indent: usize, name: &str, values: &[String]) {
        let (first, further) = match values.split_first() {
            Some((first, further)) => (first.as_str(), further),
            None => (NONE, &[][..]),
        };
        self.add(indent, name, first);
        for value in further {
            self.lines.push((indent, String::new(), value.clone()));
        }
    }

    /// The text: values of one indentation in one column.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (indent, name, value) in &self.lines {
            let beside = self.lines.iter().filter(|(other, ..)| other == indent);
            let width = beside.map(|(_, name, _)| name.len()).max().unwrap_or(0);
            let line = format!("{:indent$}{name:width$}  {}", "", escaped(value));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// `name=value` of each.
pub(super) fn pairs<'a>(
    all: impl IntoIterator<Item = (&'a String, &'a String)>,
    between: &str,
) -> Vec<String> {
    all.into_iter()
        .map(|(name, value)| format!("{name}{between}{value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let mut lines = Lines::default();
        lines.add(0, "Name", "web");
        lines.add_all(0, "Labels", &["a=1".to_owned(), "b=2".to_owned()]);
        lines.add(2, "IP", "10.0.0.1\n\u{1b}[2J");
        lines.add_all(0, "Annotations", &[]);
        lines.add_some(0, "Reason", None::<&str>);
        let expected = "Name:         web\nLabels:       a=1\n              b=2\n  IP:  10.0.0.1\\n\\u{1b}[2J\n\
                        Annotations:  <none>\n";
        assert_eq!(lines.text(), expected);
    }
}

//! What was found, where, and how it is printed.
use std::{fmt::Write as _, ops::Range};

use serde_json::json;

use crate::table::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// A plugin or the runtime refuses it.
    Error,
    /// It is passed over in silence, or is most likely not what was meant.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The source's name.
    pub(crate) file: String,
    /// Line and column of the place, both from 1; none where it is the whole file.
    pub(crate) place: Option<(usize, usize)>,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

/// The findings of one source.
#[derive(Debug)]
pub(super) struct Findings<'s> {
    file: &'s str,
    text: &'s str,
    found: Vec<(usize, Finding)>,
}

impl<'s> Findings<'s> {
    pub(super) fn of(file: &'s str, text: &'s str) -> Self {
        Self {
            file,
            text,
            found: Vec::new(),
        }
    }

    /// The source's name.
    pub(super) fn file(&self) -> &'s str {
        self.file
    }

    /// Something that is refused, at this byte.
    pub(super) fn error(&mut self, offset: usize, message: impl Into<String>) {
        self.add(offset, Severity::Error, message.into());
    }

    /// Something that is passed over, at this byte.
    pub(super) fn warning(&mut self, offset: usize, message: impl Into<String>) {
        self.add(offset, Severity::Warning, message.into());
    }

    /// The places of what is refused there.
    pub(super) fn errors_in(&self, range: Range<usize>) -> Vec<usize> {
        let found = self.found.iter();
        found
            .filter(|(place, finding)| finding.severity == Severity::Error && range.contains(place))
            .map(|(place, _)| *place)
            .collect()
    }

    /// In the order of the places.
    pub(super) fn sorted(mut self) -> impl Iterator<Item = Finding> {
        self.found.sort_by_key(|(offset, _)| *offset);
        self.found.into_iter().map(|(_, finding)| finding)
    }

    fn add(&mut self, offset: usize, severity: Severity, message: String) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let finding = Finding {
            file: self.file.to_owned(),
            place: Some((line, column)),
            severity,
            message,
        };
        self.found.push((offset, finding));
    }
}

/// `file:line:column: error: message`, a line each.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let place = finding
            .place
            .map(|(line, column)| format!("{line}:{column}:"))
            .unwrap_or_default();
        let word = finding.severity.word();
        let line = printable(&format!(
            "{}:{place} {word}: {}",
            finding.file, finding.message
        ));
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// A list of the same, for programs.
pub(crate) fn json(findings: &[Finding]) -> String {
    let findings = findings.iter().map(|finding| {
        json!({
            "file": finding.file,
            "line": finding.place.map(|(line, _)| line),
            "column": finding.place.map(|(_, column)| column),
            "severity": finding.severity.word(),
            "message": finding.message,
        })
    });
    cni::json::to_string_pretty(&findings.collect()) + "\n"
}

//! What a case is, and how cases register themselves.

use cni::SpecVersion;
use serde::{Deserialize, Serialize};

use crate::{bench::Bench, stub::Fault};

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    /// The specification demands it.
    Must,
    /// The specification recommends it.
    Should,
    /// What the reference plugins do and users depend on.
    Compat,
}

/// Which plugins a case judges.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Judges {
    /// Every executable in the directory that has a minimal configuration (see [`crate::plugins`]).
    Every,
    /// These and the plugins that work on what others made: for rules that hold before any work.
    All,
    /// These, where present.
    Only(&'static [&'static str]),
}

/// When a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Set {
    /// Always.
    Usual,
    /// With `--takeover`: two directories of plugins share one node.
    Takeover,
    /// With `--runtime-cases`: plugins in a chain, as a runtime calls them.
    Runtime,
}

/// One rule, how to prepare for it, and what to look at.
pub(crate) struct Case {
    /// Lasting name, `spec/1.1.0/add/07` or `bridge/mtu/02`.
    pub id: &'static str,
    /// The rule in one sentence.
    pub rule: &'static str,
    /// How binding it is.
    pub level: Level,
    /// Section of the specification, or `reference behaviour`.
    pub source: &'static str,
    /// Whom it judges.
    pub judges: Judges,
    /// When it runs.
    pub set: Set,
    /// First and last version of the specification that it applies to; it runs once for each
    /// version in between that the command line asks for.
    pub versions: [SpecVersion; 2],
    /// It runs also with versions that the plugin does not list; other cases are skipped there.
    pub even_unlisted: bool,
    /// Programs it looks through, beside `ip`, kinds of links that the kernel must make
    /// (`link:vlan`, and `link:quiet-port` for a port without flooding), and plugins that it calls beside the one that it judges (`plugin:bridge`).
    pub needs: &'static [&'static str],
    /// Ways to be wrong with which a plugin must fail this case; a case without one proves
    /// nothing.
    pub faults: &'static [Fault],
    /// What must be laid over the reference plugin, which breaks the rule, so that it keeps it;
    /// the first one lies innermost. Only for proving the case, see [`mod@crate::prove`].
    pub repairs: &'static [Fault],
    /// Prepares, runs and looks.
    pub run: fn(&mut Bench) -> Result<(), Failure>,
}

/// What a case is unless it says otherwise.
pub(crate) const CASE: Case = Case {
    id: "",
    rule: "",
    level: Level::Must,
    source: "",
    judges: Judges::Every,
    set: Set::Usual,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    even_unlisted: false,
    needs: &[],
    faults: &[],
    repairs: &[],
    run: |_| Ok(()),
};

inventory::collect!(Case);

/// Why a case did not pass: what was expected and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What was looked at.
    pub what: String,
    /// What the rule demands.
    pub expected: String,
    /// What was there.
    pub seen: String,
}

impl Failure {
    /// A failure that shows both sides.
    pub(crate) fn new(what: impl ToString, expected: impl ToString, seen: impl ToString) -> Self {
        Self {
            what: what.to_string(),
            expected: expected.to_string(),
            seen: seen.to_string(),
        }
    }
}

/// What is looked at when something hinders a case.
const THE_CASE: &str = "the case itself";

impl Failure {
    /// Whether the case could not be carried out, which says nothing of the plugin.
    #[must_use]
    pub(crate) fn is_of_the_case(&self) -> bool {
        self.what == THE_CASE
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(THE_CASE, "it runs", format!("{error:#}"))
    }
}

/// Every registered case, sorted by id.
#[must_use]
pub(crate) fn all() -> Vec<&'static Case> {
    let mut cases: Vec<_> = inventory::iter::<Case>.into_iter().collect();
    cases.sort_by_key(|case| case.id);
    cases
}

/// The case of that id.
#[must_use]
pub(crate) fn find(id: &str) -> Option<&'static Case> {
    all().into_iter().find(|case| case.id == id)
}

/// Whether `id` matches `pattern`, where `*` stands for any text.
#[must_use]
pub(crate) fn matches(pattern: &str, id: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == id,
        Some((head, rest)) => id.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(at, _)| at)
                .chain([tail.len()])
                .any(|at| matches(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn ids_are_unique_and_rules_are_sentences() {
        let cases = all();
        for pair in cases.windows(2) {
            assert_ne!(pair[0].id, pair[1].id);
        }
        for case in cases {
            assert!(case.rule.ends_with('.'), "{}: {}", case.id, case.rule);
            assert!(!case.faults.is_empty(), "{}: nothing proves it", case.id);
            assert!(!case.source.is_empty(), "{}: no source", case.id);
            let compat = ["reference behaviour", "Conventions"]
                .iter()
                .any(|source| case.source.contains(source));
            assert!(
                compat || case.level != Level::Compat,
                "{}: COMPAT by {}",
                case.id,
                case.source
            );
            assert!(case.versions[0] <= case.versions[1], "{}", case.id);
        }
    }

    /// A file that nobody names is no part of the suite, and says nothing: a case that comes or
    /// goes is written here too.
    #[test]
    fn every_subject_has_its_cases() {
        let mut counts = BTreeMap::<&str, usize>::new();
        for case in all() {
            *counts.entry(subject(case.id)).or_default() += 1;
        }
        let rows = counts
            .iter()
            .map(|(subject, count)| format!("{subject} {count}\n"));
        let seen: String = rows.collect();
        assert_eq!(
            seen,
            include_str!("cases/counts.txt"),
            "src/cases/counts.txt becomes:\n{seen}"
        );
    }

    /// The first word of an id; of the specification's, the section too.
    fn subject(id: &str) -> &str {
        let words = usize::from(id.starts_with("spec/"));
        let end = id.match_indices('/').nth(words);
        end.map_or(id, |(at, _)| &id[..at])
    }

    #[test]
    fn globs() {
        for (pattern, id, expected) in [
            ("spec/*", "spec/1.1.0/add/07", true),
            ("*/add/*", "spec/1.1.0/add/07", true),
            ("spec", "spec/1.1.0/add/07", false),
            ("*07", "spec/1.1.0/add/07", true),
            ("bridge/*", "spec/1.1.0/add/07", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} {id}");
        }
    }
}

//! What was left out of a value to make it fit a type, and what of it must not be told a second time.

use std::collections::BTreeSet;

use crate::path::{Path, Step};

/// The places of what did not fit.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeSet<Path>);

/// What a rule says of a field, by the end of its path, may follow from another field that was left out: of a mount,
/// that there is no such volume.
const FOLLOWS: [(&[&str], &str); 8] = [
    (&["volumeMounts", "name"], "volumes"),
    (&["port"], "ports"),
    (&["command"], "image"),
    (&["seconds"], "terminationGracePeriodSeconds"),
    // It makes a sidecar of an init container.
    (&["livenessProbe"], "restartPolicy"),
    (&["readinessProbe"], "restartPolicy"),
    (&["startupProbe"], "restartPolicy"),
    (&["lifecycle"], "restartPolicy"),
];

impl LeftOut {
    /// False when it was known.
    pub(super) fn insert(&mut self, place: Path) -> bool {
        self.0.insert(place)
    }

    pub(super) fn contains(&self, place: &Path) -> bool {
        self.0.contains(place)
    }

    /// The place in the document of what has this one in the value: there, lists are shorter.
    pub(super) fn in_document(&self, place: &Path) -> Path {
        place
            .steps()
            .iter()
            .fold(Path::default(), |way, step| match step {
                Step::Field(name) => way.field(name),
                Step::Element(index) => way.element(self.in_list(&way, *index)),
            })
    }

    /// The number of an element before others were left out.
    fn in_list(&self, list: &Path, index: usize) -> usize {
        let mut kept = (0..).filter(|number| !self.contains(&list.element(*number)));
        kept.nth(index).unwrap_or(index)
    }

    /// Whether a complaint about this place in the document may be there only because something was left out.
    pub(super) fn may_explain(&self, place: &Path) -> bool {
        self.0.iter().any(|left_out| {
            left_out.contains(place)
                || place.contains(left_out)
                || FOLLOWS
                    .iter()
                    .any(|(end, other)| ends_with(place, end) && has(left_out, other))
        })
    }
}

/// Elements of lists on the way do not count.
fn ends_with(path: &Path, end: &[&str]) -> bool {
    let is_field = matches!(path.steps().last(), Some(Step::Field(_)));
    let fields = path.steps().iter().filter_map(|step| match step {
        Step::Field(name) => Some(name.as_str()),
        Step::Element(_) => None,
    });
    is_field && fields.rev().take(end.len()).eq(end.iter().rev().copied())
}

fn has(path: &Path, name: &str) -> bool {
    let mut steps = path.steps().iter();
    steps.any(|step| matches!(step, Step::Field(field) if field == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers() -> Path {
        Path::default().field("spec").field("containers")
    }

    #[test]
    fn places_in_lists_are_those_of_the_document() {
        let mut left_out = LeftOut::default();
        for number in [0, 2] {
            assert!(left_out.insert(containers().element(number)));
        }
        assert!(!left_out.insert(containers().element(0)));
        for (in_value, in_document) in [(0, 1), (1, 3), (2, 4)] {
            let image = |number| containers().element(number).field("image");
            assert_eq!(left_out.in_document(&image(in_value)), image(in_document));
        }
    }

    #[test]
    fn what_follows_is_not_told() {
        let mut left_out = LeftOut::default();
        left_out.insert(Path::default().field("spec").field("volumes").element(0));
        left_out.insert(containers().element(0).field("image"));
        let first = containers().element(0);
        for place in [
            first.field("image"),
            first.field("command"),
            first.field("volumeMounts").element(0).field("name"),
            Path::default().field("spec").field("volumes"),
        ] {
            assert!(left_out.may_explain(&place), "{place}");
        }
        for place in [
            first.field("args"),
            first.field("command").element(1),
            first.field("volumeMounts").element(0).field("mountPath"),
            Path::default().field("spec").field("hostname"),
        ] {
            assert!(!left_out.may_explain(&place), "{place}");
        }
    }
}

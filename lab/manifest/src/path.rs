//! Where in a document something is: `spec.containers[0].image`.

use std::fmt;

/// The way from a document's root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

/// One step of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// To the value of a key.
    Field(String),
    /// To an element of a list.
    Element(usize),
}

impl Path {
    /// One further, to the value of a key.
    #[must_use]
    pub fn field(&self, name: impl Into<String>) -> Self {
        self.with(Step::Field(name.into()))
    }

    /// One further, to an element.
    #[must_use]
    pub fn element(&self, index: usize) -> Self {
        self.with(Step::Element(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// From the root on.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// From here on along another path.
    pub(crate) fn join(&self, further: &Self) -> Self {
        Self([&self.0[..], &further.0[..]].concat())
    }

    /// Whether `other` is this one or leads on from it.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Element(index) => write!(f, "[{index}]")?,
                // Keys of labels have dots of their own, and others what a terminal would obey.
                Step::Field(name) if !is_plain(name) => write!(f, "[{name:?}]")?,
                Step::Field(name) if number == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_kubectl_writes_them() {
        let containers = Path::default().field("spec").field("containers");
        let image = containers.element(1).field("image");
        assert_eq!(image.to_string(), "spec.containers[1].image");
        let label = Path::default().field("labels").field("a.b/c");
        assert_eq!(label.to_string(), "labels[\"a.b/c\"]");
        let escape = containers.field("\u{1b}[2J");
        assert_eq!(escape.to_string(), "spec.containers[\"\\u{1b}[2J\"]");
        assert!(containers.contains(&image) && !image.contains(&containers));
    }
}

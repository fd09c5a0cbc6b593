//! Which objects a command is about: `pods`, `pod web client`, `pod/web pod/client`.

use anyhow::{Result, bail};

use crate::state::Name;

/// A kind of object that a lab has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Node,
}

/// Objects of one kind; all of them when none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) kind: Kind,
    pub(super) names: Vec<Name>,
}

/// Words that do not say what a command is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotACommandLine(pub String);

impl Kind {
    fn parse(word: &str) -> Result<Self> {
        match word {
            "pod" | "pods" | "po" => Ok(Self::Pod),
            "node" | "nodes" | "no" => Ok(Self::Node),
            _ => bail!(NotACommandLine(format!(
                "a lab has no {word:?}: give pods or nodes, or pod/NAME"
            ))),
        }
    }

    /// As in `pod/web`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Node => "node",
        }
    }
}

impl Selection {
    /// # Errors
    /// [`NotACommandLine`]; a name is none.
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        if !words.iter().any(|word| word.contains('/')) {
            let Some((kind, names)) = words.split_first() else {
                bail!(NotACommandLine("give pods or nodes".to_owned()));
            };
            let names = names.iter().map(|name| name.parse());
            return Ok(Self {
                kind: Kind::parse(kind)?,
                names: names.collect::<Result<_>>()?,
            });
        }
        let mut selection: Option<Self> = None;
        for word in words {
            let Some((kind, name)) = word.split_once('/') else {
                bail!(NotACommandLine(format!(
                    "{word:?} is beside KIND/NAME: give all in this form, or a kind and then names"
                )));
            };
            let (kind, name) = (Kind::parse(kind)?, name.parse()?);
            let so_far = selection.get_or_insert_with(|| Self {
                kind,
                names: Vec::new(),
            });
            if so_far.kind != kind {
                bail!(NotACommandLine("give objects of one kind".to_owned()));
            }
            so_far.names.push(name);
        }
        selection.ok_or_else(|| NotACommandLine("give pods or nodes".to_owned()).into())
    }

    /// The same, of pods that are named.
    ///
    /// # Errors
    /// As [`Selection::parse`]; it is about nodes; no pod is named and not `all` are meant.
    pub(super) fn of_pods(words: &[String], all: bool) -> Result<Vec<Name>> {
        let selection = Self::parse(words)?;
        if selection.kind != Kind::Pod {
            bail!(NotACommandLine("this works on pods".to_owned()));
        }
        if selection.names.is_empty() && !all {
            bail!(NotACommandLine("name pods, or give --all".to_owned()));
        }
        Ok(selection.names)
    }
}

/// A pod's name, with `pod/` before it or not.
pub(super) fn pod_name(text: &str) -> Result<Name> {
    let words = match text.contains('/') {
        true => vec![text.to_owned()],
        false => vec!["pod".to_owned(), text.to_owned()],
    };
    match &Selection::of_pods(&words, false)?[..] {
        [name] => Ok(name.clone()),
        _ => bail!("{text:?} is not the name of a pod"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_names() {
        let parse = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            Selection::parse(&words)
        };
        for (words, kind, names) in [
            ("pods", Kind::Pod, &[][..]),
            ("po web", Kind::Pod, &["web"]),
            ("pod web client", Kind::Pod, &["web", "client"]),
            ("pod/web pods/client", Kind::Pod, &["web", "client"]),
            ("nodes", Kind::Node, &[]),
            ("no/n1", Kind::Node, &["n1"]),
        ] {
            let selection = parse(words).unwrap();
            assert_eq!(selection.kind, kind, "{words}");
            let found: Vec<&str> = selection.names.iter().map(Name::as_str).collect();
            assert_eq!(found, names, "{words}");
        }
        for (words, said) in [
            ("svc", "a lab has no \"svc\""),
            ("svc/web", "a lab has no \"svc\""),
            ("pod/web client", "\"client\" is beside KIND/NAME"),
            ("pod/web node/n1", "of one kind"),
            ("pod Web", "is not a name"),
            ("", "give pods or nodes"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words}: {error}");
        }
        for text in ["web", "pod/web", "po/web"] {
            assert_eq!(pod_name(text).unwrap().as_str(), "web");
        }
        for text in ["", "node/n1", "pod/", "a/b/c"] {
            assert!(pod_name(text).is_err(), "{text}");
        }
    }
}

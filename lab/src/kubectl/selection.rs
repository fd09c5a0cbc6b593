//! Which objects a command is about: `pods`, `pod web client`, `pod/web pod/client`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};

use super::labels::Selector;
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

impl NotACommandLine {
    /// What nobody can mean.
    pub(super) fn names_and_labels() -> Self {
        Self("give names or --selector, not both".to_owned())
    }
}

impl Kind {
    fn parse(word: &str) -> Result<Self> {
        match word {
            "pod" | "pods" | "po" => Ok(Self::Pod),
            "node" | "nodes" | "no" => Ok(Self::Node),
            _ => bail!(NotACommandLine(format!(
                "a lab has no {word:?}: give pods or nodes, or pod/NAME; `lab get events` lists events"
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

    /// The same, of pods that are named; none where they are meant by their labels, or all of them.
    ///
    /// # Errors
    /// As [`Selection::parse`]; it is about nodes; no pod is named, or some are and others are meant.
    pub(super) fn of_pods(words: &[String], others: Others<'_>) -> Result<Vec<Name>> {
        let selection = Self::parse(words)?;
        if selection.kind != Kind::Pod {
            bail!(NotACommandLine("this works on pods".to_owned()));
        }
        match (selection.names.is_empty(), others) {
            (true, Others::None) => bail!(NotACommandLine(
                "name pods, or give --selector or --all".to_owned()
            )),
            (false, Others::Marked(_)) => bail!(NotACommandLine::names_and_labels()),
            (false, Others::All) => {
                bail!(NotACommandLine("give names or --all, not both".to_owned()))
            }
            _ => Ok(selection.names),
        }
    }
}

/// Pods that are meant without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others<'a> {
    None,
    All,
    /// Those with labels.
    Marked(&'a Selector),
}

impl<'a> Others<'a> {
    /// As a command line has them.
    ///
    /// # Errors
    /// It has both.
    pub(super) fn new(all: bool, selector: Option<&'a Selector>) -> Result<Self> {
        match (all, selector) {
            (true, Some(_)) => bail!(NotACommandLine(
                "give --selector or --all, not both".to_owned()
            )),
            (true, None) => Ok(Self::All),
            (false, Some(selector)) => Ok(Self::Marked(selector)),
            (false, None) => Ok(Self::None),
        }
    }

    pub(super) fn selector(self) -> Option<&'a Selector> {
        match self {
            Self::Marked(selector) => Some(selector),
            Self::None | Self::All => None,
        }
    }
}

/// A pod's name, with `pod/` before it or not.
pub(crate) fn pod_name(text: &str) -> Result<Name> {
    let words = match text.contains('/') {
        true => vec![text.to_owned()],
        false => vec!["pod".to_owned(), text.to_owned()],
    };
    match &Selection::of_pods(&words, Others::None)?[..] {
        [name] => Ok(name.clone()),
        _ => bail!("{text:?} is not the name of a pod"),
    }
}

/// A pod of the lab, or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodOrPath {
    /// With `pod/` before its name or not.
    Pod(Name),
    /// Of a network namespace; it has a slash.
    Path(PathBuf),
}

impl FromStr for PodOrPath {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((word, _)) if Kind::parse(word).is_err() => Ok(Self::Path(text.into())),
            _ => pod_name(text).map(Self::Pod),
        }
    }
}

impl fmt::Display for PodOrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => name.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
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
        for text in ["web", "pod/web", "pods/web"] {
            let pod: PodOrPath = text.parse().unwrap();
            assert_eq!(pod, PodOrPath::Pod("web".parse().unwrap()), "{text}");
        }
        for text in ["/run/netns/web", "run/web", "./web"] {
            let path: PodOrPath = text.parse().unwrap();
            assert_eq!(path, PodOrPath::Path(text.into()));
        }
        for text in ["node/n1", "pod/", "Web", ""] {
            assert!(text.parse::<PodOrPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn pods_are_meant_in_one_way() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let selector: Selector = "app=web".parse().unwrap();
        let of = |text: &str, all, selector| {
            let others = Others::new(all, selector)?;
            Selection::of_pods(&words(text), others)
        };
        assert_eq!(of("pod web", false, None).unwrap().len(), 1);
        assert!(of("pods", true, None).unwrap().is_empty());
        assert!(of("pods", false, Some(&selector)).unwrap().is_empty());
        for (text, all, selector, said) in [
            (
                "pods",
                false,
                None,
                "name pods, or give --selector or --all",
            ),
            ("pod web", true, None, "give names or --all, not both"),
            (
                "pod/web",
                false,
                Some(&selector),
                "give names or --selector, not both",
            ),
            (
                "pods",
                true,
                Some(&selector),
                "give --selector or --all, not both",
            ),
            ("nodes", true, None, "this works on pods"),
        ] {
            let error = of(text, all, selector).unwrap_err();
            assert!(error.is::<NotACommandLine>());
            assert_eq!(error.to_string(), said, "{text}");
        }
    }
}

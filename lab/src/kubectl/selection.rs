//! Which objects a command is about: `pods`, `pod web client`, `pod/web node/n1`, `pods,nodes`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};

use super::labels::Selector;
use crate::state::Name;

/// A kind of object that a lab has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pod,
    Node,
}

/// Which objects a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) groups: Vec<Group>,
    /// Several kinds are asked for, or whatever kinds there are.
    pub(super) is_mixed: bool,
}

/// Objects of one kind; all of them when none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
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
    /// # Errors
    /// [`NotACommandLine`].
    pub(crate) fn parse(word: &str) -> Result<Self> {
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

/// What kubectl calls whatever belongs to applications, which are pods here.
const ALL: &str = "all";

impl Selection {
    /// # Errors
    /// [`NotACommandLine`]; a name is none.
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        let Some((kinds, names)) = words.split_first() else {
            bail!(NotACommandLine("give pods or nodes".to_owned()));
        };
        let groups = match words.iter().any(|word| word.contains('/')) {
            true => with_kinds(words)?,
            false => of_kinds(kinds, names)?,
        };
        let is_several = groups.windows(2).any(|two| two[0].kind != two[1].kind);
        Ok(Self {
            is_mixed: is_several || kinds == ALL,
            groups,
        })
    }

    /// How many names there are.
    pub(super) fn names(&self) -> usize {
        self.groups.iter().map(|group| group.names.len()).sum()
    }

    /// # Errors
    /// There are names and labels.
    pub(super) fn require_one_way(&self, selector: Option<&Selector>) -> Result<()> {
        if selector.is_some() && self.names() > 0 {
            bail!(NotACommandLine::names_and_labels());
        }
        Ok(())
    }

    /// The same, of pods that are named; none where they are meant by their labels, or all of them.
    ///
    /// # Errors
    /// As [`Selection::parse`]; it is about nodes; no pod is named, or some are and others are meant.
    pub(super) fn of_pods(words: &[String], others: Others<'_>) -> Result<Vec<Name>> {
        let groups = Self::parse(words)?.groups;
        if groups.iter().any(|group| group.kind != Kind::Pod) {
            bail!(NotACommandLine("this works on pods".to_owned()));
        }
        let names: Vec<Name> = groups.into_iter().flat_map(|group| group.names).collect();
        match (names.is_empty(), others) {
            (true, Others::None) => bail!(NotACommandLine(
                "name pods, or give --selector or --all".to_owned()
            )),
            (false, Others::Marked(_)) => bail!(NotACommandLine::names_and_labels()),
            (false, Others::All) => {
                bail!(NotACommandLine("give names or --all, not both".to_owned()))
            }
            _ => Ok(names),
        }
    }
}

/// `pods,nodes`, each with all names.
fn of_kinds(kinds: &str, names: &[String]) -> Result<Vec<Group>> {
    let names: Vec<Name> = names
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_>>()?;
    let mut groups: Vec<Group> = Vec::new();
    for word in kinds.split(',') {
        let kind = match word {
            ALL => Kind::Pod,
            word => Kind::parse(word)?,
        };
        if groups.iter().all(|group| group.kind != kind) {
            let names = names.clone();
            groups.push(Group { kind, names });
        }
    }
    Ok(groups)
}

/// `pod/web node/n1`
fn with_kinds(words: &[String]) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for word in words {
        let Some((kind, name)) = word.split_once('/') else {
            bail!(NotACommandLine(format!(
                "{word:?} is beside KIND/NAME: give all in this form, or a kind and then names"
            )));
        };
        let (kind, name) = (Kind::parse(kind)?, name.parse()?);
        match groups.last_mut().filter(|last| last.kind == kind) {
            Some(last) => last.names.push(name),
            None => groups.push(Group {
                kind,
                names: vec![name],
            }),
        }
    }
    Ok(groups)
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
        for (words, expected, is_mixed) in [
            ("pods", "pod:", false),
            ("po web", "pod:web", false),
            ("pod web client web", "pod:web,client,web", false),
            ("pod/web pods/client", "pod:web,client", false),
            ("nodes", "node:", false),
            ("no/n1", "node:n1", false),
            ("pods,po", "pod:", false),
            ("pods,nodes", "pod: node:", true),
            ("no,po n1 web", "node:n1,web pod:n1,web", true),
            (
                "pod/web node/n1 pod/client",
                "pod:web node:n1 pod:client",
                true,
            ),
            ("all", "pod:", true),
            ("all,no", "pod: node:", true),
        ] {
            let selection = parse(words).unwrap();
            let group = |group: &Group| {
                let names: Vec<&str> = group.names.iter().map(Name::as_str).collect();
                format!("{}:{}", group.kind.as_str(), names.join(","))
            };
            let groups: Vec<String> = selection.groups.iter().map(group).collect();
            assert_eq!(groups.join(" "), expected, "{words}");
            assert_eq!(selection.is_mixed, is_mixed, "{words}");
        }
        for (words, said) in [
            ("svc", "a lab has no \"svc\""),
            ("svc/web", "a lab has no \"svc\""),
            ("pod/web client", "\"client\" is beside KIND/NAME"),
            ("pods,svc", "a lab has no \"svc\""),
            ("pods,", "a lab has no \"\""),
            ("pods,events", "`lab get events` lists events"),
            ("all/web", "a lab has no \"all\""),
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
            ("pods,nodes", true, None, "this works on pods"),
        ] {
            let error = of(text, all, selector).unwrap_err();
            assert!(error.is::<NotACommandLine>());
            assert_eq!(error.to_string(), said, "{text}");
        }
    }
}

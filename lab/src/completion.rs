//! What shells complete beside the words of the command line: names of labs, nodes, pods, containers, networks and
//! images. Their scripts ask by the hidden subcommand `names`.

use std::ffi::OsString;

use anyhow::Result;
use clap::{Arg, ArgAction, Args, Command};

use crate::foreign;
use crate::image;
use crate::kubectl::Kind;
use crate::network;
use crate::node::Node;
use crate::pod::Pod;
use crate::state::{self, LabDir, Name};

/// `lab names`
#[derive(Debug, Args)]
pub struct NamesArgs {
    /// The words of a command line behind the program, the last one as far as it is typed
    #[arg(last = true)]
    words: Vec<OsString>,
}

impl NamesArgs {
    /// The lab that the command line is about.
    pub fn lab(&self) -> Option<Name> {
        let words = texts(&self.words);
        let of_two = words.windows(2).find(|two| two[0] == "--lab");
        let name = of_two.map(|two| &*two[1]).or_else(|| {
            let mut words = words.iter();
            words.find_map(|word| word.strip_prefix("--lab="))
        });
        name?.parse().ok()
    }
}

/// The names that may stand in the place of the last word; none where nothing is known.
///
/// # Errors
/// What there is cannot be read.
pub fn names(dir: &LabDir, args: &NamesArgs) -> Result<Vec<String>> {
    let words = texts(&args.words);
    let Some(wanted) = wanted(&foreign::command(), &words) else {
        return Ok(Vec::new());
    };
    let mut names = wanted.names(dir)?;
    let (before, begun) = match words.last() {
        // Also behind `--node=`.
        Some(word) if word.starts_with('-') => word.split_at(word.find('=').map_or(0, |at| at + 1)),
        Some(word) => ("", &**word),
        None => ("", ""),
    };
    names.retain(|name| name.starts_with(begun));
    names.iter_mut().for_each(|name| name.insert_str(0, before));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn texts(words: &[OsString]) -> Vec<String> {
    let words = words.iter().map(|word| word.to_string_lossy());
    words.map(|word| word.into_owned()).collect()
}

/// Whose names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Labs,
    Nodes,
    Pods,
    /// With their kind, as `pod/web`.
    PodsWithKind(String),
    NodesWithKind(String),
    /// As `web:`, of which a path follows.
    PodsOfPaths,
    /// Of this pod.
    Containers(String),
    Networks,
    Images,
}

impl Wanted {
    fn names(&self, dir: &LabDir) -> Result<Vec<String>> {
        let with = |kind: &str, names: Vec<String>| -> Vec<String> {
            names.iter().map(|name| format!("{kind}/{name}")).collect()
        };
        Ok(match self {
            Self::Labs => state::labs()?.iter().map(Name::to_string).collect(),
            Self::Nodes => nodes(dir)?,
            Self::Pods => pods(dir)?,
            Self::PodsWithKind(kind) => with(kind, pods(dir)?),
            Self::NodesWithKind(kind) => with(kind, nodes(dir)?),
            Self::PodsOfPaths => pods(dir)?.iter().map(|pod| format!("{pod}:")).collect(),
            Self::Containers(pod) => {
                let pod = Pod::find(dir, &pod.parse()?)?;
                pod.containers().map(|each| each.name.clone()).collect()
            }
            Self::Networks => network::names(dir)?,
            Self::Images => image::list()?.into_iter().map(|each| each.name).collect(),
        })
    }
}

fn nodes(dir: &LabDir) -> Result<Vec<String>> {
    let nodes = Node::all(dir)?.into_iter();
    Ok(nodes.map(|node| node.name.to_string()).collect())
}

fn pods(dir: &LabDir) -> Result<Vec<String>> {
    let pods = Pod::all(dir)?.into_iter();
    Ok(pods.map(|pod| pod.name.to_string()).collect())
}

/// What the last word may be, in a command line that is not whole and may be wrong.
fn wanted(root: &Command, words: &[String]) -> Option<Wanted> {
    let (last, before) = words.split_last()?;
    let mut line = Line {
        root,
        command: root,
        given: Vec::new(),
    };
    let mut words = before.iter();
    while let Some(word) = words.next() {
        match line.option(word) {
            // What follows are a program and its arguments.
            _ if word == "--" => return None,
            Some((option, None)) => match words.next() {
                Some(_) => {}
                None => return line.wants(option, last),
            },
            Some((_, Some(_))) => {}
            None if word.starts_with('-') => {}
            None => line.take(word),
        }
    }
    match line.option(last) {
        Some((option, Some(value))) => line.wants(option, value),
        Some((_, None)) => None,
        None if last.starts_with('-') => None,
        None => line.wants(line.next_given()?, last),
    }
}

/// A command line, as far as it is read.
struct Line<'a> {
    root: &'a Command,
    command: &'a Command,
    /// The words that are neither commands nor options.
    given: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn take(&mut self, word: &'a str) {
        match self.command.find_subcommand(word) {
            Some(command) if self.given.is_empty() => self.command = command,
            _ => self.given.push(word),
        }
    }

    /// An option that takes a value, and the value where that is in the same word.
    fn option<'w>(&self, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
        // Not `get_opts`, to which a flag is one before the command is built.
        let all = self
            .command
            .get_arguments()
            .chain(self.root.get_arguments());
        let mut all = all.filter(|each| each.get_action().takes_values());
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            return Some((all.find(|each| each.get_long() == Some(name))?, value));
        }
        let (mark, letter) = word.strip_prefix('-')?.char_indices().next_back()?;
        // Behind flags, as in `-itc`: a value in the same word is none of the names.
        let option = all.find(|each| each.get_short() == Some(letter))?;
        let flags = &word[1..=mark];
        let is_flag = |letter| {
            let mut flags = self.command.get_arguments();
            flags.any(|each| each.get_short() == Some(letter) && !each.get_action().takes_values())
        };
        flags.chars().all(is_flag).then_some((option, None))
    }

    /// What the next word is.
    fn next_given(&self) -> Option<&'a Arg> {
        let all: Vec<&Arg> = self.command.get_positionals().collect();
        let mut before_program = all.iter().filter(|each| !each.is_last_set());
        let next = before_program.clone().nth(self.given.len());
        let last = before_program.next_back();
        let goes_on = last.filter(|last| matches!(last.get_action(), ArgAction::Append));
        next.or(goes_on).copied()
    }

    fn wants(&self, argument: &Arg, begun: &str) -> Option<Wanted> {
        let is_network = argument
            .get_value_names()
            .is_some_and(|names| names.iter().any(|name| name == "NETWORK"));
        match (self.command.get_name(), argument.get_id().as_str()) {
            // Another one is made.
            ("create", _) => None,
            _ if is_network => Some(Wanted::Networks),
            (_, "lab") => Some(Wanted::Labs),
            (_, "node") | ("stop" | "start", "name") | ("partition" | "heal", "one" | "other") => {
                Some(Wanted::Nodes)
            }
            (_, "image") | ("rm", "names") => Some(Wanted::Images),
            (_, "container" | "target") => self.pod().map(Wanted::Containers),
            ("cp", "from" | "to") => Some(Wanted::PodsOfPaths),
            (_, "what") => self.wants_of_kind(begun),
            (_, "pod" | "pods") | ("explain", "to") | (_, "namespace") => {
                match begun.split_once('/') {
                    Some((kind, _)) => of_kind(kind, true),
                    None => Some(Wanted::Pods),
                }
            }
            _ => None,
        }
    }

    /// The pod whose containers are meant.
    fn pod(&self) -> Option<String> {
        let first = match self.command.get_name() {
            "cp" => self.given.iter().find_map(|word| word.split_once(':'))?.0,
            _ => self.given.first()?,
        };
        Some(
            first
                .split_once('/')
                .map_or(first, |(_, name)| name)
                .to_owned(),
        )
    }

    /// As of `get pods`, `get pod/`, `get pod/web node/`.
    fn wants_of_kind(&self, begun: &str) -> Option<Wanted> {
        match (self.given.first(), begun.split_once('/')) {
            (_, Some((kind, _))) => of_kind(kind, true),
            (Some(first), None) => match first.split_once('/') {
                Some((kind, _)) => of_kind(kind, true),
                None => of_kind(first, false),
            },
            (None, None) => None,
        }
    }
}

fn of_kind(kind: &str, is_written: bool) -> Option<Wanted> {
    match (Kind::parse(kind).ok()?, is_written) {
        (Kind::Pod, false) => Some(Wanted::Pods),
        (Kind::Node, false) => Some(Wanted::Nodes),
        (Kind::Pod, true) => Some(Wanted::PodsWithKind(kind.to_owned())),
        (Kind::Node, true) => Some(Wanted::NodesWithKind(kind.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn whose_names_a_word_may_be() {
        use Wanted::{Containers, Images, Labs, Networks, Nodes, Pods, PodsOfPaths};
        let command = foreign::command();
        let of = |name: &str| Some(Containers(name.to_owned()));
        let with = |kind: &str| Some(Wanted::PodsWithKind(kind.to_owned()));
        for (line, expected) in [
            ("", None),
            ("exec ", Some(Pods)),
            ("exec w", Some(Pods)),
            ("exec -it w", Some(Pods)),
            ("--lab two exec ", Some(Pods)),
            ("--lab ", Some(Labs)),
            ("down --lab=t", Some(Labs)),
            ("exec web ", None),
            ("exec web -c ", of("web")),
            ("exec pod/web -itc ", of("web")),
            ("exec web --container=m", of("web")),
            ("exec -c ", None),
            ("exec web -- ", None),
            ("exec -n default ", Some(Pods)),
            ("debug web --target ", of("web")),
            ("debug web --image ", Some(Images)),
            ("logs -f --tail 3 ", Some(Pods)),
            ("logs --tail ", None),
            ("cp web", Some(PodsOfPaths)),
            ("cp web:/etc/hosts hosts -c ", of("web")),
            ("port-forward web ", None),
            ("get ", None),
            ("get pods ", Some(Pods)),
            ("get pods web ", Some(Pods)),
            ("get po/", with("po")),
            ("get pod/web ", with("pod")),
            ("get node/", Some(Wanted::NodesWithKind("node".to_owned()))),
            ("describe node n", Some(Nodes)),
            ("get events ", None),
            ("delete pod web ", Some(Pods)),
            ("wait pod/", with("pod")),
            ("stats web ", Some(Pods)),
            ("explain web ", Some(Pods)),
            ("run --node ", Some(Nodes)),
            ("run --network ", Some(Networks)),
            ("run --image ", Some(Images)),
            ("run ", None),
            ("node stop ", Some(Nodes)),
            ("fault partition n1 ", Some(Nodes)),
            ("fault delay n1 ", None),
            ("network rm ", Some(Networks)),
            ("network create ", None),
            ("image rm one ", Some(Images)),
            ("image load ", None),
            ("cni add cbr0 ", Some(Pods)),
            ("cni add ", Some(Networks)),
            ("no-such-command ", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(wanted(&command, &words), expected, "{line:?}");
        }
    }
}

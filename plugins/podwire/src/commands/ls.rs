//! `podwire ls`.
use std::{collections::BTreeSet, path::PathBuf, time::SystemTime};

use attach::owner::Owner;
use cni::{
    Outcome,
    error::one_line,
    runtime::{Chain, Error, NetworkConfig, RuntimeConf},
};
use humantime::format_rfc3339_seconds;
use lexopt::{Arg::Long, Parser};
use serde_json::{Value, json};

use super::{Command, Opt, Takes};
use crate::{
    cli::{Stop, UsageError, output_is_json, unexpected, value_of},
    failure,
    node::{Attachment, Node, NodeError, OPTIONS, Places, unseen},
    runtime::{bin_dirs, conf_of},
    table::{self, or_dash},
};

pub(crate) static COMMAND: Command = Command {
    name: "ls",
    summary: "the attachments of this node, and what does not belong together",
    about: "Lists the attachments of this node, put together from what runtimes cached, \
            host-local's reservations, the aliases of links and packet-filter rules. STATE is ok, \
            or what does not belong together: something that is missing of a pod that runs, or \
            something that is left of one that is gone, which GC, or `podwire gc`, removes. Into the \
            pods it looks only with --check. Exit status 1: a reservation could not be read.",
    usage: &[
        "[--output json] [--no-trunc] [--check [--bin-dir DIR]...] [--conf-dir DIR] \
         [--cache-dir DIR]... [--data-dir DIR]...",
    ],
    operands: &[],
    options: &[
        Opt {
            name: "--output",
            takes: Takes::Words(&["json"]),
            about: "for programs: [{\"network\": ..., \"containerID\": ..., \"living\": ..., ...}]",
        },
        Opt {
            name: "--no-trunc",
            takes: Takes::Nothing,
            about: "container IDs whole, not their first 13 characters",
        },
        Opt {
            name: "--check",
            takes: Takes::Nothing,
            about: "CHECK of the network's plugins for each pod that lives and a runtime has cached: \
                    STATE is also what that says",
        },
        Opt {
            name: "--bin-dir",
            takes: Takes::Directory,
            about: "where plugins are, besides this executable's directory and /opt/cni/bin; may \
                    be repeated",
        },
        OPTIONS[0],
        OPTIONS[1],
        OPTIONS[2],
    ],
    run,
};

/// How much of a container's ID is shown.
const SHORT: usize = 13;

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    json: bool,
    whole_ids: bool,
    check: bool,
    bin_dirs: Vec<PathBuf>,
    places: Places,
}

fn run(parser: Parser) -> Result<Outcome, Stop> {
    let wanted = arguments(parser)?;
    Ok(list(wanted).unwrap_or_else(|error| unseen(&error)))
}

fn list(wanted: Wanted) -> Result<Outcome, NodeError> {
    let mut node = Node::look(&wanted.places)?;
    if wanted.check {
        check(&mut node, &bin_dirs(wanted.bin_dirs));
    }
    let unread = node.attachments.values().flat_map(|one| &one.unread);
    let unread: Vec<&str> = unread.map(String::as_str).collect();
    let verdict = match unread.is_empty() {
        true => Outcome::default(),
        false => failure(unread.join("; ")),
    };
    Ok(Outcome {
        stdout: match wanted.json {
            true => json(&node),
            false => table(&node, wanted.whole_ids),
        },
        ..verdict
    })
}

/// Asks the plugins of each pod that lives. A version before CHECK cannot be asked.
fn check(node: &mut Node, bin_dirs: &[PathBuf]) {
    for attachment in node.attachments.values_mut().filter(|one| one.living) {
        for cached in &attachment.cached {
            let conf = RuntimeConf {
                netns: cached.netns.clone(),
                ..conf_of(cached, bin_dirs)
            };
            let network = NetworkConfig::parse(&cached.config);
            let problem = match network.map(|network| Chain::new(network).check(&conf)) {
                Ok(Ok(()) | Err(Error::CheckUnsupported { .. })) => continue,
                Ok(Err(error)) => one_line(&error),
                Err(error) => one_line(&error),
            };
            attachment.problems.push(problem);
        }
    }
}

fn arguments(mut parser: Parser) -> Result<Wanted, Stop> {
    let mut wanted = Wanted::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("output") => {
                output_is_json(&mut parser)?;
                wanted.json = true;
            }
            Long("no-trunc") => wanted.whole_ids = true,
            Long("check") => wanted.check = true,
            Long("bin-dir") => {
                let dir = value_of(&mut parser, "--bin-dir")?;
                wanted.bin_dirs.push(dir.into());
            }
            Long(name) => match Places::option(name) {
                Some(option) => wanted.places.take(option, &mut parser)?,
                None => return Err(unexpected(argument)),
            },
            other => return Err(unexpected(other)),
        }
    }
    if !wanted.check && !wanted.bin_dirs.is_empty() {
        return Err(Stop::Usage(UsageError::Contradiction(
            "--bin-dir says where --check finds plugins",
        )));
    }
    Ok(wanted)
}

fn table(node: &Node, whole_ids: bool) -> String {
    let heading = [
        "NETWORK",
        "CONTAINER",
        "INTERFACE",
        "ADDRESSES",
        "LINKS",
        "RULES",
        "SINCE",
        "STATE",
    ];
    let attachments = node.attachments.iter();
    let rows: Vec<_> = attachments
        .map(|(owner, attachment)| row(owner, attachment, whole_ids))
        .collect();
    table::aligned(heading, &rows)
}

fn row(owner: &Owner, attachment: &Attachment, whole_ids: bool) -> [String; 8] {
    let length = if whole_ids { usize::MAX } else { SHORT };
    [
        owner.network.clone(),
        or_dash(owner.container_id.chars().take(length).collect()),
        or_dash(owner.ifname.clone()),
        or_dash(joined(&attachment.addresses)),
        or_dash(joined(&attachment.links)),
        or_dash(joined(&attachment.rules)),
        or_dash(attachment.since.map_or_else(String::new, time)),
        match attachment.problems.is_empty() {
            true => "ok".to_owned(),
            false => attachment.problems.join("; "),
        },
    ]
}

fn joined<T: ToString>(all: &BTreeSet<T>) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(",")
}

fn time(time: SystemTime) -> String {
    format_rfc3339_seconds(time).to_string()
}

fn json(node: &Node) -> String {
    let all = node.attachments.iter();
    let all: Vec<Value> = all.map(|(owner, one)| json_of(owner, one)).collect();
    Value::from(all).to_string() + "\n"
}

fn json_of(owner: &Owner, attachment: &Attachment) -> Value {
    let results: Vec<&PathBuf> = attachment.cached.iter().map(|one| &one.path).collect();
    json!({
        "network": owner.network,
        "containerID": owner.container_id,
        "ifname": owner.ifname,
        "netns": attachment.netns,
        "addresses": attachment.addresses,
        "reserved": attachment.reserved,
        "links": attachment.links,
        "rules": attachment.rules,
        "results": results,
        "since": attachment.since.map(time),
        "living": attachment.living,
        "problems": attachment.problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn arguments_say_what_and_where() {
        let places = Places {
            conf_dir: "/c".into(),
            cache_dirs: vec!["/var/lib/cni".into(), "/a".into()],
            data_dirs: vec!["/var/lib/cni/networks".into(), "/d".into(), "/e".into()],
        };
        let line = "--output json --conf-dir /c --cache-dir /a --data-dir /d --data-dir /e --no-trunc --check --bin-dir /b";
        let wanted = Wanted {
            json: true,
            whole_ids: true,
            check: true,
            bin_dirs: vec!["/b".into()],
            places,
        };
        assert_eq!(arguments(parser(line)).map_err(said), Ok(wanted));
        assert_eq!(arguments(parser("")).map_err(said), Ok(Wanted::default()));
        for (line, text) in [
            ("--output yaml", "--output can be json, not \"yaml\""),
            ("--data-dir", "missing argument for option '--data-dir'"),
            ("--cache-dir=", "--cache-dir needs a value"),
            ("--bin-dir /b", "--bin-dir says where --check finds plugins"),
            ("all", "unexpected argument \"all\""),
            ("-h", "help"),
        ] {
            assert_eq!(arguments(parser(line)).map_err(said), Err(text.to_owned()));
        }
    }
}

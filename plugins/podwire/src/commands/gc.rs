//! `podwire gc`.
use std::path::PathBuf;

use cni::Outcome;
use lexopt::{Arg::Long, Parser};

use super::{Command, Opt, Takes};
use crate::{
    cli::{Stop, unexpected, value_of},
    failure,
    node::{Node, OPTIONS, Places, unseen},
    remove::{Removal, Removed},
    runtime::bin_dirs,
    table,
};

pub(crate) static COMMAND: Command = Command {
    name: "gc",
    summary: "remove what is left of pods that are gone, where the runtime has no GC",
    about: "Shows what is left on this node of pods that are gone (addresses, links, packet-filter \
            rules, cached results) and, with --yes, removes it: DEL of the network's plugins for \
            each such attachment, so that nothing of any other is touched, not even of one that a \
            runtime makes at that moment. A pod whose namespace is there, whose link is there, or \
            one of whose addresses is used in any network namespace, is not gone. For runtimes \
            that do not call GC: containerd before 2.0, podman.",
    usage: &[
        "[--yes] [--bin-dir DIR]... [--conf-dir DIR] [--cache-dir DIR]... [--data-dir DIR]...",
    ],
    operands: &[],
    options: &[
        Opt {
            name: "--yes",
            takes: Takes::Nothing,
            about: "remove it; exit status 1 if something stays",
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

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    yes: bool,
    bin_dirs: Vec<PathBuf>,
    places: Places,
}

fn run(parser: Parser) -> Result<Outcome, Stop> {
    let wanted = arguments(parser)?;
    Ok(match Node::look(&wanted.places) {
        Ok(node) if wanted.yes => remove(&node, wanted),
        Ok(node) => show(&node),
        Err(error) => unseen(&error),
    })
}

fn arguments(mut parser: Parser) -> Result<Wanted, Stop> {
    let mut wanted = Wanted::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("yes") => wanted.yes = true,
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
    Ok(wanted)
}

fn show(node: &Node) -> Outcome {
    let rows: Vec<_> = node
        .gone()
        .map(|(owner, one)| {
            let [network, container, interface] = owner_cells(owner);
            [network, container, interface, one.left().join(", ")]
        })
        .collect();
    let heading = ["NETWORK", "CONTAINER", "INTERFACE", "LEFT"];
    Outcome {
        stdout: match rows.is_empty() {
            true => String::new(),
            false => table::aligned(heading, &rows),
        },
        ..Outcome::default()
    }
}

fn remove(node: &Node, wanted: Wanted) -> Outcome {
    let removal = Removal {
        node,
        places: &wanted.places,
        bin_dirs: bin_dirs(wanted.bin_dirs),
    };
    let (mut rows, mut stay) = (Vec::new(), 0);
    for (owner, one) in node.gone() {
        let removed = removal.remove(owner, one);
        stay += usize::from(!matches!(removed, Removed::Yes));
        let [network, container, interface] = owner_cells(owner);
        let left = one.left().join(", ");
        rows.push([network, container, interface, left, removed.to_string()]);
    }
    let verdict = match stay {
        0 => Outcome::default(),
        _ => failure(format_args!("{stay} of {} attachments stay", rows.len())),
    };
    let heading = ["NETWORK", "CONTAINER", "INTERFACE", "LEFT", "REMOVED"];
    Outcome {
        stdout: match rows.is_empty() {
            true => String::new(),
            false => table::aligned(heading, &rows),
        },
        ..verdict
    }
}

fn owner_cells(owner: &attach::owner::Owner) -> [String; 3] {
    [
        owner.network.clone(),
        table::or_dash(owner.container_id.clone()),
        table::or_dash(owner.ifname.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn nothing_is_removed_unless_it_is_asked_for() {
        assert_eq!(arguments(parser("")).map_err(said), Ok(Wanted::default()));
        let wanted = Wanted {
            yes: true,
            bin_dirs: vec!["/a".into(), "/b".into()],
            places: Places {
                conf_dir: "/c".into(),
                ..Places::default()
            },
        };
        let line = "--bin-dir /a --yes --bin-dir /b --conf-dir /c";
        assert_eq!(arguments(parser(line)).map_err(said), Ok(wanted));
        for (line, text) in [
            ("-y", "invalid option '-y'"),
            ("--yes=no", "unexpected argument for option '--yes': \"no\""),
            ("all", "unexpected argument \"all\""),
            ("--bin-dir=", "--bin-dir needs a value"),
            ("--help", "help"),
        ] {
            assert_eq!(arguments(parser(line)).map_err(said), Err(text.to_owned()));
        }
    }
}

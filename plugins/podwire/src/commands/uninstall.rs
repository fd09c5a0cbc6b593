//! `podwire uninstall`.
use std::{fmt::Write as _, path::PathBuf};

use cni::{Outcome, error::one_line};
use lexopt::{Arg::Long, Parser};

use super::{Command, Opt, Takes};
use crate::{
    OWN_NAME,
    cli::{Stop, UsageError, unexpected, value_of},
    failure,
    node::{Node, NodeError, OPTIONS, Places, unseen},
    table::printable,
    uninstall::{self, Part, Scope},
};

pub(crate) static COMMAND: Command = Command {
    name: "uninstall",
    summary: "remove podwire from this node, with all that it leaves on purpose",
    about: "Shows what podwire has left on this node and, with --yes, removes it: what is left of \
            pods that are gone, its nftables tables and what it made in those of iptables-nft, \
            bridges of networks that have no ports, with their VLANs' gateways, \
            reservations, /run/podwire, /run/cni/tuning when it is empty, and its executables of whatever build. While pods live it \
            refuses, unless --force is given: then it removes what they do not need to go on. \
            Configurations of networks stay.",
    usage: &[
        "--bin-dir DIR [--yes] [--force] [--netd] [--conf-dir DIR] [--cache-dir DIR]... \
         [--data-dir DIR]...",
    ],
    operands: &[],
    options: &[
        Opt {
            name: "--bin-dir",
            takes: Takes::Directory,
            about: "where it was installed, usually /opt/cni/bin",
        },
        Opt {
            name: "--yes",
            takes: Takes::Nothing,
            about: "remove it; exit status 1 if something stays that should not",
        },
        Opt {
            name: "--force",
            takes: Takes::Nothing,
            about: "although pods live: not their links, addresses and rules, nor tables and \
                    /run/podwire",
        },
        Opt {
            name: "--netd",
            takes: Takes::Nothing,
            about: "also what netd left: its routes, tunnel devices, chains of iptables, \
                    /run/flannel; netd must not run",
        },
        OPTIONS[0],
        OPTIONS[1],
        OPTIONS[2],
    ],
    run,
};

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    yes: bool,
    force: bool,
    scope: Scope,
}

fn run(parser: Parser) -> Result<Outcome, Stop> {
    let wanted = arguments(parser)?;
    Ok(uninstall(&wanted).unwrap_or_else(|error| unseen(&error)))
}

fn arguments(mut parser: Parser) -> Result<Wanted, Stop> {
    let (mut bin_dir, mut yes, mut force, mut netd) = (None, false, false, false);
    let mut places = Places::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bin-dir") => bin_dir = Some(value_of(&mut parser, "--bin-dir")?),
            Long("yes") => yes = true,
            Long("force") => force = true,
            Long("netd") => netd = true,
            Long(name) => match Places::option(name) {
                Some(option) => places.take(option, &mut parser)?,
                None => return Err(unexpected(argument)),
            },
            other => return Err(unexpected(other)),
        }
    }
    let lacking = UsageError::Lacking {
        command: COMMAND.name,
        option: "--bin-dir DIR",
    };
    let scope = Scope {
        bin_dir: PathBuf::from(bin_dir.ok_or(lacking)?),
        netd,
        places,
    };
    Ok(Wanted { yes, force, scope })
}

fn uninstall(wanted: &Wanted) -> Result<Outcome, NodeError> {
    let node = Node::look(&wanted.scope.places)?;
    let living: Vec<String> = node
        .living()
        .map(|owner| format!("{}/{}/{}", owner.network, owner.container_id, owner.ifname))
        .collect();
    if !living.is_empty() && !wanted.force {
        return Ok(failure(format_args!(
            "attached: {}; detach them first, or --force removes what they do not need",
            living.join(", ")
        )));
    }
    let parts = uninstall::parts(&node, &wanted.scope)?;
    let mut outcome = match wanted.yes {
        true => remove(parts),
        false => show(&parts),
    };
    if !wanted.scope.bin_dir.is_dir() {
        let dir = printable(&wanted.scope.bin_dir.display().to_string());
        // Writing into a text cannot fail.
        let _ = writeln!(
            outcome.stdout,
            "executables: none, there is no directory {dir}"
        );
    }
    if !node.networks.is_empty() {
        let names = node.networks.iter().map(|network| network.name.as_str());
        let names: Vec<&str> = names.collect();
        // Writing into a text cannot fail.
        let _ = writeln!(
            outcome.stdout,
            "configurations of networks: stay ({})",
            names.join(", ")
        );
    }
    Ok(outcome)
}

fn show(parts: &[Part<'_>]) -> Outcome {
    let lines = parts
        .iter()
        .map(|part| format!("{}: would go\n", part.what));
    Outcome {
        stdout: lines.collect(),
        ..Outcome::default()
    }
}

/// Each is tried, whatever becomes of the others.
fn remove(parts: Vec<Part<'_>>) -> Outcome {
    let (mut stdout, mut stay) = (String::new(), 0);
    for part in parts {
        let outcome = match (part.remove)() {
            Ok(()) => "removed".to_owned(),
            Err(error) => {
                stay += 1;
                printable(&format!("stays: {}", one_line(&*error)))
            }
        };
        // Writing into a text cannot fail.
        let _ = writeln!(stdout, "{}: {outcome}", part.what);
    }
    let verdict = match stay {
        0 => Outcome::default(),
        _ => failure(format_args!(
            "{stay} things stay; call {OWN_NAME} again when they can go"
        )),
    };
    Outcome { stdout, ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn nothing_is_removed_unless_it_is_asked_for() {
        let scope = Scope {
            bin_dir: "/b".into(),
            netd: false,
            places: Places::default(),
        };
        let plain = Wanted {
            yes: false,
            force: false,
            scope: scope.clone(),
        };
        assert_eq!(arguments(parser("--bin-dir /b")).map_err(said), Ok(plain));
        let all = Wanted {
            yes: true,
            force: true,
            scope: Scope {
                netd: true,
                ..scope
            },
        };
        let line = "--yes --force --netd --bin-dir=/b";
        assert_eq!(arguments(parser(line)).map_err(said), Ok(all));
        for (line, text) in [
            ("--yes", "uninstall needs --bin-dir DIR"),
            ("--bin-dir", "missing argument for option '--bin-dir'"),
            ("--bin-dir /b -f", "invalid option '-f'"),
            ("--bin-dir /b /c", "unexpected argument \"/c\""),
            ("-h", "help"),
        ] {
            assert_eq!(arguments(parser(line)).map_err(said), Err(text.to_owned()));
        }
    }
}

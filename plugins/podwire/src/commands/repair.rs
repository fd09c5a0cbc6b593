//! `podwire repair`.
use std::fmt::Write as _;

use attach::record::{Manner, Restored};
use cni::{Outcome, error::one_line};
use lexopt::{Arg::Long, Parser};

use super::{Command, Opt, Takes};
use crate::{
    cli::{Stop, unexpected},
    failure,
    node::RESTORERS,
};

pub(crate) static COMMAND: Command = Command {
    name: "repair",
    summary: "make packet-filter rules of running pods again that somebody flushed",
    about: "Looks at the packet-filter rules of every pod that runs on this node, and makes again \
            what is missing, as after `nft flush ruleset` or a reload of firewalld. Prints a line \
            for each attachment that lacked some. Rules that are left of pods that are gone are \
            removed. The next ADD that needs such rules, and GC, do the same. What is to be made is remembered in /run/podwire/attachments since the pod \
            was attached; pods that other plugins attached are not in it. Pods whose namespaces \
            cannot be seen in its mount namespace, as in a container, are told of and left as they \
            are: call it where the runtime calls its plugins.",
    usage: &["[--dry-run]"],
    operands: &[],
    options: &[Opt {
        name: "--dry-run",
        takes: Takes::Nothing,
        about: "change nothing; exit status 1 if anything is missing",
    }],
    run,
};

fn run(parser: Parser) -> Result<Outcome, Stop> {
    Ok(repair(manner(parser)?))
}

fn manner(mut parser: Parser) -> Result<Manner, Stop> {
    let mut manner = Manner::Make;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("dry-run") => manner = Manner::Look,
            other => return Err(unexpected(other)),
        }
    }
    Ok(manner)
}

/// All kinds are tried, whatever becomes of one.
fn repair(manner: Manner) -> Outcome {
    let (mut stdout, mut problems) = (String::new(), Vec::new());
    for restorer in RESTORERS {
        let restored = (restorer.restore)(manner).unwrap_or_else(|error| {
            problems.push(format!(
                "cannot read the records of {}: {}",
                restorer.kind,
                one_line(&error)
            ));
            Vec::new()
        });
        for one in restored {
            match said(&one, manner) {
                Ok(line) => _ = writeln!(stdout, "{line}"),
                Err(problem) => problems.push(problem),
            }
        }
    }
    if manner == Manner::Look && !stdout.is_empty() {
        problems.push("rules are missing".to_owned());
    }
    let verdict = match problems.is_empty() {
        true => Outcome::default(),
        false => failure(problems.join("; ")),
    };
    Outcome { stdout, ..verdict }
}

fn said(one: &Restored, manner: Manner) -> Result<String, String> {
    match (&one.outcome, manner) {
        (Err(error), _) => Err(format!("cannot restore {one}: {error}")),
        (Ok(()), Manner::Make) => Ok(format!("{one}: restored")),
        (Ok(()), Manner::Look) => Ok(format!("{one}: missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn arguments() {
        for (line, expected) in [
            ("", Ok(Manner::Make)),
            ("--dry-run", Ok(Manner::Look)),
            (
                "--dry-run=no",
                Err("unexpected argument for option '--dry-run': \"no\""),
            ),
            ("masquerade", Err("unexpected argument \"masquerade\"")),
        ] {
            let seen = manner(parser(line)).map_err(said);
            assert_eq!(seen, expected.map_err(str::to_owned), "{line}");
        }
    }
}

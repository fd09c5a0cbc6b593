//! `podwire validate`.
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use cni::Outcome;
use files::Links;
use lexopt::{
    Arg::{Long, Value},
    Parser,
};

use super::{Command, Operand, Opt, Takes};
use crate::{
    cli::{Stop, UsageError, unexpected, value_of},
    validate::{self, Finding, Node, Severity, Source},
};

pub(crate) static COMMAND: Command = Command {
    name: "validate",
    summary: "what is wrong with network configurations",
    about: "Tells everything that is wrong with network configurations, lists or single plugins, a \
            line for each. What a plugin or the runtime would refuse is an error, and ends with \
            exit status 1; what they would pass over in silence is a warning. Keys of plugins that \
            are not podwire's are not judged. The node is looked at too: whether plugins are \
            installed, whether subnets overlap its addresses and routes or other networks, and \
            whether its runtime (containerd, CRI-O) knows the network's version. Nothing is \
            changed.",
    usage: &["[--json] [--no-node | [--bin-dir DIR]... [--conf-dir DIR]] FILE..."],
    operands: &[Operand {
        takes: Takes::File,
        many: true,
        about: "the configuration; - is standard input",
    }],
    options: &[
        Opt {
            name: "--json",
            takes: Takes::Nothing,
            about: "for programs: [{\"file\": ..., \"line\": ..., \"column\": ..., \"severity\": ..., \
                    \"message\": ...}]",
        },
        Opt {
            name: "--bin-dir",
            takes: Takes::Directory,
            about: "where plugins lie; /opt/cni/bin and /usr/lib/cni without it",
        },
        Opt {
            name: "--conf-dir",
            takes: Takes::Directory,
            about: "where other networks are configured; /etc/cni/net.d without it",
        },
        Opt {
            name: "--no-node",
            takes: Takes::Nothing,
            about: "judge the files alone: they are for another node",
        },
    ],
    run,
};

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    files: Vec<PathBuf>,
    json: bool,
    no_node: bool,
    bin_dirs: Vec<PathBuf>,
    conf_dir: Option<PathBuf>,
}

fn run(parser: Parser) -> Result<Outcome, Stop> {
    let wanted = arguments(parser)?;
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    for file in &wanted.files {
        match read(file) {
            Ok(source) => sources.push(source),
            Err(error) => findings.push(unreadable(file, &error)),
        }
    }
    let node = (!wanted.no_node).then(|| look(&wanted));
    findings.extend(validate::validate(&sources, node.as_ref()));
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    Ok(Outcome {
        stdout: match wanted.json {
            true => validate::json(&findings),
            false => validate::text(&findings),
        },
        code: i32::from(findings.iter().any(is_error)),
        ..Outcome::default()
    })
}

fn look(wanted: &Wanted) -> Node {
    let bin_dirs = match wanted.bin_dirs.as_slice() {
        [] => validate::PLUGIN_DIRS.map(PathBuf::from).to_vec(),
        given => given.to_vec(),
    };
    let conf_dir = wanted.conf_dir.as_deref();
    Node::look(bin_dirs, conf_dir.unwrap_or(Path::new(validate::CONF_DIR)))
}

fn read(file: &Path) -> io::Result<Source> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(Source {
            name: "<stdin>".to_owned(),
            path: None,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        });
    }
    let bytes = files::read(file, Links::Follow)?;
    Ok(Source {
        name: file.display().to_string(),
        path: Some(file.to_owned()),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

fn unreadable(file: &Path, error: &io::Error) -> Finding {
    Finding {
        file: file.display().to_string(),
        place: None,
        severity: Severity::Error,
        message: format!("it cannot be read: {error}"),
    }
}

fn arguments(mut parser: Parser) -> Result<Wanted, Stop> {
    let mut wanted = Wanted::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => wanted.json = true,
            Long("no-node") => wanted.no_node = true,
            Long("bin-dir") => {
                let dir = value_of(&mut parser, "--bin-dir")?;
                wanted.bin_dirs.push(dir.into());
            }
            Long("conf-dir") => {
                wanted.conf_dir = Some(value_of(&mut parser, "--conf-dir")?.into());
            }
            Value(file) => wanted.files.push(file.into()),
            other => return Err(unexpected(other)),
        }
    }
    if wanted.files.is_empty() {
        return Err(Stop::Usage(UsageError::Lacking {
            command: COMMAND.name,
            option: "FILE",
        }));
    }
    if wanted.no_node && (!wanted.bin_dirs.is_empty() || wanted.conf_dir.is_some()) {
        return Err(Stop::Usage(UsageError::Contradiction(
            "--bin-dir and --conf-dir are of the node, and --no-node leaves it out",
        )));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn what_can_be_asked_for() {
        let line = "--json --bin-dir /a a.conflist --bin-dir=/b --conf-dir /c -";
        let wanted = arguments(parser(line)).map_err(said).unwrap();
        assert_eq!(wanted.files, [Path::new("a.conflist"), Path::new("-")]);
        assert_eq!(wanted.bin_dirs, [Path::new("/a"), Path::new("/b")]);
        assert!(wanted.json && wanted.conf_dir == Some("/c".into()));
        for (line, text) in [
            ("", "validate needs FILE"),
            ("--json", "validate needs FILE"),
            (
                "--no-node --conf-dir x y",
                "--bin-dir and --conf-dir are of the node, and --no-node leaves it out",
            ),
            ("--help", "help"),
        ] {
            let seen = arguments(parser(line)).map_err(said);
            assert_eq!(seen, Err(text.to_owned()), "{line}");
        }
    }
}

//! `podwire install`.
use std::path::{Path, PathBuf};

use cni::Outcome;
use lexopt::{Arg::Long, Parser};

use super::{Command, Opt, Takes};
use crate::{
    OWN_NAME,
    cli::{Stop, UsageError, success, unexpected, value_of},
    failure,
    install::{self, Config, InstallError, Method},
    names, verify,
};

pub(crate) static COMMAND: Command = Command {
    name: "install",
    summary: "put the executable and its plugins' names into a directory, or look at what is there",
    about: "Puts this executable and a name for every plugin into a directory, each by an atomic \
            rename, and prints what it did. Files of other names stay. A network's configuration \
            goes to its place after the plugins, so that no runtime finds it without them.",
    usage: &[
        "--bin-dir DIR [--copies] [--config FILE --config-to FILE]",
        "--bin-dir DIR --verify",
    ],
    operands: &[],
    options: &[
        Opt {
            name: "--bin-dir",
            takes: Takes::Directory,
            about: "the directory, usually /opt/cni/bin; it is made when missing",
        },
        Opt {
            name: "--copies",
            takes: Takes::Nothing,
            about: "a file of its own for every name. Without it the names are hard links to one \
                    file, but for flannel, which flannel's installer overwrites in place",
        },
        Opt {
            name: "--config",
            takes: Takes::File,
            about: "a network's configuration to be copied, also by an atomic rename",
        },
        Opt {
            name: "--config-to",
            takes: Takes::File,
            about: "where it goes, such as /etc/cni/net.d/10-podwire.conflist",
        },
        Opt {
            name: "--verify",
            takes: Takes::Nothing,
            about: "change nothing: tell of each name whether it is this build, another build of \
                    podwire, another program, or missing; exit status 1 unless all are this build",
        },
    ],
    run,
};

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Install {
        bin_dir: PathBuf,
        method: Method,
        config: Option<Config>,
    },
    Verify {
        bin_dir: PathBuf,
    },
}

fn run(parser: Parser) -> Result<Outcome, Stop> {
    Ok(match arguments(parser)? {
        Wanted::Install {
            bin_dir,
            method,
            config,
        } => match install_all(&bin_dir, method, config.as_ref()) {
            Ok(stdout) => success(stdout),
            Err(error) => failure(error.text()),
        },
        Wanted::Verify { bin_dir } => verification(&verify::verify(&bin_dir, &names())),
    })
}

fn install_all(
    bin_dir: &Path,
    method: Method,
    config: Option<&Config>,
) -> Result<String, InstallError> {
    let mut report = install::install(bin_dir, &names(), method)?;
    if let Some(config) = config {
        report += &install::install_config(config)?;
    }
    Ok(report)
}

/// Every name is told on standard output; that one is not right, on standard error.
fn verification(found: &verify::Verification) -> Outcome {
    let verdict = match found.strangers {
        0 => Outcome::default(),
        count => failure(format_args!(
            "{count} of {} names are not this build; `{OWN_NAME} install` puts it there",
            found.names
        )),
    };
    Outcome {
        stdout: found.report.clone(),
        ..verdict
    }
}

fn arguments(mut parser: Parser) -> Result<Wanted, Stop> {
    let (mut bin_dir, mut method, mut verify) = (None, Method::Links, false);
    let (mut from, mut to) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bin-dir") => bin_dir = Some(value_of(&mut parser, "--bin-dir")?),
            Long("copies") => method = Method::Copies,
            Long("config") => from = Some(value_of(&mut parser, "--config")?),
            Long("config-to") => to = Some(value_of(&mut parser, "--config-to")?),
            Long("verify") => verify = true,
            other => return Err(unexpected(other)),
        }
    }
    let lacking = UsageError::Lacking {
        command: COMMAND.name,
        option: "--bin-dir DIR",
    };
    let bin_dir = PathBuf::from(bin_dir.ok_or(lacking)?);
    let config = match (from, to) {
        (None, None) => None,
        (Some(from), Some(to)) => Some(Config {
            from: from.into(),
            to: to.into(),
        }),
        _ => {
            return Err(Stop::Usage(UsageError::Contradiction(
                "--config FILE and --config-to FILE go together: what is copied, and to where",
            )));
        }
    };
    match (verify, method, config) {
        (true, Method::Links, None) => Ok(Wanted::Verify { bin_dir }),
        (true, Method::Copies, _) => Err(Stop::Usage(UsageError::Contradiction(
            "--verify changes nothing, and --copies does: one of them",
        ))),
        (true, _, Some(_)) => Err(Stop::Usage(UsageError::Contradiction(
            "--verify changes nothing, and --config does: one of them",
        ))),
        (false, method, config) => Ok(Wanted::Install {
            bin_dir,
            method,
            config,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    fn install(method: Method) -> Wanted {
        Wanted::Install {
            bin_dir: "/opt/cni/bin".into(),
            method,
            config: None,
        }
    }

    #[test]
    fn what_can_be_asked_for() {
        let verify = Wanted::Verify {
            bin_dir: "/opt/cni/bin".into(),
        };
        for (line, wanted) in [
            ("--bin-dir /opt/cni/bin", install(Method::Links)),
            ("--bin-dir=/opt/cni/bin", install(Method::Links)),
            ("--copies --bin-dir /opt/cni/bin", install(Method::Copies)),
            ("--verify --bin-dir /opt/cni/bin", verify),
            (
                "--bin-dir /opt/cni/bin --config a --config-to=b/c",
                Wanted::Install {
                    bin_dir: "/opt/cni/bin".into(),
                    method: Method::Links,
                    config: Some(Config {
                        from: "a".into(),
                        to: "b/c".into(),
                    }),
                },
            ),
        ] {
            assert_eq!(arguments(parser(line)).map_err(said), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (line, text) in [
            ("--help", "help"),
            ("--bin-dir x -h", "help"),
            ("", "install needs --bin-dir DIR"),
            ("--bin-dir", "missing argument for option '--bin-dir'"),
            ("--bin-dir=", "--bin-dir needs a value"),
            ("/opt/cni/bin", "unexpected argument \"/opt/cni/bin\""),
            ("--bin-dir a b", "unexpected argument \"b\""),
            (
                "--bin-dir a --copies --verify",
                "--verify changes nothing, and --copies does: one of them",
            ),
            (
                "--bin-dir a --verify --config b --config-to c",
                "--verify changes nothing, and --config does: one of them",
            ),
            (
                "--bin-dir a --config b",
                "--config FILE and --config-to FILE go together: what is copied, and to where",
            ),
            (
                "--bin-dir a --config-to b",
                "--config FILE and --config-to FILE go together: what is copied, and to where",
            ),
            (
                "--bin-dir a --copies=yes",
                "unexpected argument for option '--copies': \"yes\"",
            ),
        ] {
            let seen = arguments(parser(line)).map_err(said);
            assert_eq!(seen, Err(text.to_owned()), "{line}");
        }
    }
}

//! The command line, and words that hands know from kubectl and docker: those that change nothing are taken, the others
//! are answered with what a lab has instead.

use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, ArgAction, Command, FromArgMatches, Subcommand};

use crate::called::as_called;
use crate::cli::{self, Cli};
use crate::kubectl::args::KubectlCommand;

/// Words that a command has not, and what to take instead.
struct Foreign {
    /// The command, by its last word; empty for words in the place of a command, and for options of all commands.
    command: &'static str,
    words: &'static [&'static str],
    instead: &'static str,
}

const fn foreign(
    command: &'static str,
    words: &'static [&'static str],
    instead: &'static str,
) -> Foreign {
    Foreign {
        command,
        words,
        instead,
    }
}

const FOREIGN: &[Foreign] = &[
    foreign(
        "",
        &["create", "replace"],
        "`lab apply -f FILE` starts the pods of manifests, `lab run NAME -- PROGRAM` one without a manifest",
    ),
    foreign(
        "",
        &["edit", "patch", "set", "label", "annotate"],
        "a pod stays as it was made: `lab delete -f FILE`, then `lab apply -f FILE`",
    ),
    foreign(
        "",
        &["scale", "autoscale", "rollout"],
        "a lab has pods alone, no Deployments: `lab apply -f FILE` and `lab delete pod NAME`",
    ),
    foreign(
        "",
        &["expose", "proxy"],
        "a lab has no Services: `lab port-forward POD PORT`, or `lab metrics --listen 127.0.0.1:9180` for pages of pods",
    ),
    foreign(
        "",
        &["attach"],
        "`lab logs -f POD` follows what a pod prints, `lab exec -it POD -- sh` goes into it",
    ),
    foreign(
        "",
        &["ls", "list"],
        "`lab get pods`, `lab get nodes`, `lab ps`",
    ),
    foreign("", &["rm", "remove"], "`lab delete pod NAME`"),
    foreign(
        "",
        &["inspect"],
        "`lab describe pod NAME`, or `lab get pod NAME -o yaml`",
    ),
    foreign(
        "",
        &["stop", "kill", "restart"],
        "`lab delete pod NAME`, `lab node stop NODE`, or `lab down` for all",
    ),
    foreign(
        "",
        &["start"],
        "`lab up` for a lab, `lab run NAME -- PROGRAM` for a pod, `lab node start NODE`",
    ),
    foreign(
        "",
        &["pause", "unpause"],
        "`lab fault pause-node NODE` and `lab fault resume-node NODE`",
    ),
    foreign(
        "",
        &["cordon", "uncordon", "drain", "taint"],
        "`lab node stop NODE`: no new pod goes there until `lab node start NODE`",
    ),
    foreign("", &["images"], "`lab image ls`"),
    foreign("", &["rmi"], "`lab image rm NAME`"),
    foreign(
        "",
        &["pull", "import", "build"],
        "`lab image load FILE`, with what `docker save` or skopeo wrote",
    ),
    foreign(
        "",
        &["config", "use-context"],
        "`--lab NAME` says which lab; `lab up` has the options of one",
    ),
    foreign(
        "",
        &["api-resources", "api-versions"],
        "a lab has pods, nodes and events: `lab get pods`",
    ),
    foreign(
        "",
        &["cluster-info", "status", "info"],
        "`lab get nodes`, `lab describe node NODE`, `lab top`",
    ),
    foreign(
        "",
        &["pods", "pod"],
        "`lab get pods`, `lab run NAME -- PROGRAM`",
    ),
    foreign("", &["nodes"], "`lab get nodes`"),
    foreign("", &["version"], "`lab --version`"),
    foreign("node", &["ls", "list", "get"], "`lab get nodes`"),
    foreign("node", &["inspect", "describe"], "`lab describe node NODE`"),
    foreign(
        "node",
        &["restart"],
        "`lab node stop NODE`, then `lab node start NODE`",
    ),
    foreign("node", &["pause"], "`lab fault pause-node NODE`"),
    foreign("node", &["kill"], "`lab fault kill-node NODE`"),
    foreign(
        "node",
        &["add", "create", "rm", "delete", "remove"],
        "a lab keeps the nodes of its `lab up`: `lab down`, then `lab up --nodes NUMBER`",
    ),
    foreign("image", &["list"], "`lab image ls`"),
    foreign(
        "image",
        &["remove", "delete", "prune"],
        "`lab image rm NAME`",
    ),
    foreign(
        "image",
        &["pull", "import", "build"],
        "`lab image load FILE`, with what `docker save` or skopeo wrote",
    ),
    foreign("fault", &["list", "get"], "`lab fault ls`"),
    foreign(
        "run",
        &["-p", "--publish", "--port", "--expose"],
        "every port of a pod is open: `lab port-forward POD LOCAL:PORT` once it runs",
    ),
    foreign(
        "run",
        &["-v", "--volume", "--mount"],
        "volumes are for manifests: `lab apply -f FILE`",
    ),
    foreign(
        "run",
        &["-u", "--user", "-w", "--workdir", "--overrides"],
        "a manifest has it (securityContext, workingDir): `lab apply -f FILE`",
    ),
    foreign(
        "run",
        &["-d", "--detach"],
        "pods run on anyway; `lab logs -f POD` follows one",
    ),
    foreign(
        "run",
        &["--name", "--hostname"],
        "the pod's name is the first word: `lab run NAME -- PROGRAM`",
    ),
    foreign("run", &["-e"], "`--env NAME=VALUE`"),
    foreign("run", &["-m"], "`--memory BYTES`"),
    foreign(
        "run",
        &["--entrypoint"],
        "`--command`: what follows -- begins with the program",
    ),
    foreign(
        "exec",
        &["-e", "--env", "-u", "--user", "-w", "--workdir"],
        "a program of the container does it: `lab exec POD -- env NAME=VALUE PROGRAM`",
    ),
    foreign(
        "delete",
        &["--force"],
        "`--now`, or `--grace-period 0` for at once",
    ),
    foreign(
        "get",
        &["--sort-by", "--field-selector", "--template"],
        "they come by name; `-l LABELS` selects, `-o jsonpath=TEMPLATE` or `-o json` for jq does the rest",
    ),
    foreign("get", &["-f", "--filename"], "`lab get pods`"),
    foreign(
        "",
        &["--context", "--kubeconfig", "--cluster"],
        "`--lab NAME` says which lab",
    ),
];

/// Reads a command line, whose first word is the program's.
///
/// # Errors
/// It is none; says what would be.
pub fn read(words: &[OsString]) -> std::result::Result<Cli, Error> {
    let found = command().try_get_matches_from(words);
    let read = found.and_then(|mut matches| {
        let read = Cli::from_arg_matches_mut(&mut matches);
        read.map_err(|error| error.format(&mut command()))
    });
    read.map_err(|error| with_tip(error, words))
}

/// With kubectl's options for namespaces, of which a lab has one: they change nothing.
pub(crate) fn command() -> Command {
    let kubectls = KubectlCommand::augment_subcommands(Command::new("lab"));
    kubectls
        .get_subcommands()
        .fold(cli::command(), |all, each| {
            all.mut_subcommand(each.get_name(), |each| {
                each.args([
                    Arg::new("namespace")
                        .short('n')
                        .long("namespace")
                        .value_name("NAME")
                        .value_parser(the_namespace)
                        .hide(true),
                    Arg::new("all-namespaces")
                        .short('A')
                        .long("all-namespaces")
                        .action(ArgAction::SetTrue)
                        .hide(true),
                ])
            })
        })
}

fn the_namespace(text: &str) -> Result<()> {
    match text {
        "default" => Ok(()),
        _ => bail!("a lab has one namespace, default; `--lab NAME` says which lab"),
    }
}

/// Tips that help: in the place of clap's own for a word of others, and without commands that the lab calls itself by.
fn with_tip(mut error: Error, words: &[OsString]) -> Error {
    let (wrong, similar) = match error.kind() {
        ErrorKind::InvalidSubcommand => (
            ContextKind::InvalidSubcommand,
            ContextKind::SuggestedSubcommand,
        ),
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        _ => return error,
    };
    let Some(ContextValue::String(word)) = error.get(wrong).cloned() else {
        return error;
    };
    let command = asked_for(command(), words, &word);
    if let Some(ContextValue::Strings(mut names)) = error.remove(similar) {
        names.retain(|name| {
            command
                .find_subcommand(name)
                .is_none_or(|it| !it.is_hide_set())
        });
        if !names.is_empty() {
            error.insert(similar, ContextValue::Strings(names));
        }
    }
    if let Some(instead) = instead_of(&word, command.get_name()) {
        error.remove(similar);
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![as_called(instead).into_owned().into()]),
        );
    }
    error
}

/// The command before a word that is wrong.
fn asked_for(mut command: Command, words: &[OsString], wrong: &str) -> Command {
    for word in words.iter().skip(1).take_while(|word| **word != *wrong) {
        if let Some(found) = command.find_subcommand(word) {
            command = found.clone();
        }
    }
    command
}

fn instead_of(word: &str, command: &str) -> Option<&'static str> {
    let found = FOREIGN.iter().find(|each| {
        let is_of_all = each.command.is_empty() && (word.starts_with('-') || command == "lab");
        (is_of_all || each.command == command) && each.words.contains(&word)
    });
    found.map(|found| found.instead)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read_line(line: &str) -> std::result::Result<Cli, Error> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        read(&words)
    }

    #[test]
    fn words_of_others_are_answered_with_what_a_lab_has() {
        for (line, said) in [
            ("lab create -f web.yaml", "tip: `lab apply -f FILE`"),
            ("lab --lab two attach web", "tip: `lab logs -f POD`"),
            (
                "lab run web -p 8080:80 -- true",
                "`lab port-forward POD LOCAL:PORT`",
            ),
            (
                "lab run web --port=80 -- true",
                "`lab port-forward POD LOCAL:PORT`",
            ),
            ("lab --lab two node ls", "tip: `lab get nodes`"),
            ("lab exec web --context=a -- true", "tip: `--lab NAME`"),
            ("lab get pods -n kube-system", "a lab has one namespace"),
            ("lab logz", "tip: a similar subcommand exists: 'logs'"),
        ] {
            let error = read_line(line).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
            assert_eq!(
                error.matches("tip: ").count(),
                usize::from(!line.contains(" -n ")),
                "{line}: {error}"
            );
        }
    }

    /// Otherwise its tip would never be seen.
    #[test]
    fn no_word_of_others_is_one_of_the_lab() {
        let whole = command();
        for Foreign { command, words, .. } in FOREIGN {
            let of = match *command {
                "" => &whole,
                name => whole.find_subcommand(name).unwrap(),
            };
            for word in *words {
                let is_option = of.get_arguments().any(|each| {
                    let short = each.get_short().map(|short| format!("-{short}"));
                    let long = each.get_long().map(|long| format!("--{long}"));
                    [short, long].contains(&Some((*word).to_owned()))
                });
                assert!(
                    !is_option && of.find_subcommand(word).is_none(),
                    "{command} {word}"
                );
            }
        }
    }

    #[test]
    fn commands_that_the_lab_calls_itself_by_are_no_tip() {
        let whole = command();
        let hidden = whole.get_subcommands().filter(|each| each.is_hide_set());
        for name in hidden.map(Command::get_name) {
            let error = read_line(&format!("lab {name}x")).unwrap_err().to_string();
            assert!(!error.contains(&format!("'{name}'")), "{error}");
        }
    }

    #[test]
    fn the_one_namespace_is_taken() {
        for line in [
            "lab get pods -A",
            "lab get pods -n default",
            "lab delete pod web --namespace=default",
            "lab exec web -n default -- true",
        ] {
            assert!(read_line(line).is_ok(), "{line}");
        }
    }
}

//! The pages of the executables that lie beside this one: `cargo build --workspace --bins` makes it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "the tests run the programs that read the pages"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::CommandFactory as _;
use serde_json::Value;
use tempfile::TempDir;

fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_pages")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build --workspace --bins",
        path.display()
    );
    path
}

fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Output {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()))
}

fn pages() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let [podwire, netd] = ["podwire", "netd"].map(built);
    let [podwire, netd] = [&podwire, &netd].map(|path| path.to_str().unwrap());
    let arguments = ["--podwire", podwire, "--netd", netd, "--out", out];
    let mut program = Command::new(env!("CARGO_BIN_EXE_pages"));
    let output = program
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", "86400")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    dir
}

fn told(program: &str) -> Value {
    let output = run(built(program), &["help", "--output", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one["name"].as_str().unwrap()).collect()
}

fn files(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The lab's command line, and each of its commands that people see, with the name of its page.
fn of_the_lab() -> Vec<(String, clap::Command)> {
    fn add(command: &clap::Command, name: String, all: &mut Vec<(String, clap::Command)>) {
        let visible = command.get_subcommands();
        for each in visible.filter(|each| !each.is_hide_set() && each.get_name() != "help") {
            add(each, format!("{name}-{}", each.get_name()), all);
        }
        all.push((format!("{name}.1"), command.clone()));
    }
    let mut all = Vec::new();
    add(
        &lab::cli::Cli::command(),
        "podwire-lab".to_owned(),
        &mut all,
    );
    all
}

/// Whether a program that only some machines have is there.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[test]
fn every_command_and_every_plugin_has_a_page() {
    let (dir, told, netd) = (pages(), told("podwire"), told("netd"));
    let mut commands: BTreeSet<String> = names(&told["commands"])
        .iter()
        .map(|name| format!("podwire-{name}.1"))
        .collect();
    commands.insert("podwire.1".to_owned());
    commands.extend(of_the_lab().into_iter().map(|(page, _)| page));
    assert_eq!(files(&dir.path().join("man/man1")), commands);
    let plugins: BTreeSet<String> = names(&told["plugins"])
        .iter()
        .map(|name| format!("podwire-{name}.7"))
        .collect();
    assert_eq!(files(&dir.path().join("man/man7")), plugins);
    let mut daemon: BTreeSet<String> = names(&netd["commands"])
        .iter()
        .map(|name| format!("netd-{name}.8"))
        .collect();
    daemon.insert("netd.8".to_owned());
    assert_eq!(files(&dir.path().join("man/man8")), daemon);
}

/// All options, keys and examples are there, and the typesetter has nothing to say.
#[test]
fn pages_are_whole_and_well_formed() {
    let (dir, told, netd) = (pages(), told("podwire"), told("netd"));
    let of = |told: &Value, section: u8| -> Vec<(String, Value)> {
        let program = told["name"].as_str().unwrap();
        let commands = told["commands"].as_array().unwrap().iter();
        let page = |command: &Value| {
            let name = command["name"].as_str().unwrap();
            let page = format!("man{section}/{program}-{name}.{section}");
            (page, command.clone())
        };
        commands.map(page).collect()
    };
    let daemon = shown(&dir, "man8/netd.8");
    for flag in names(&netd["flags"]) {
        let is_there = |text: &String| text.contains(flag);
        assert!(daemon.as_ref().is_none_or(is_there), "{flag}");
    }
    for (page, command) in of(&told, 1).into_iter().chain(of(&netd, 8)) {
        let text = shown(&dir, &page);
        for option in names(&command["options"]) {
            assert!(
                text.as_ref().is_none_or(|text| text.contains(option)),
                "{command}"
            );
        }
    }
    for (page, command) in of_the_lab() {
        let text = shown(&dir, &format!("man1/{page}"));
        if page == "podwire-lab-run.1" {
            let synopsis = "podwire-lab run [OPTIONS] <NAME> [-- <WORD>...]";
            assert!(text.as_ref().is_none_or(|text| text.contains(synopsis)));
        }
        // The program is called one thing, in its examples too, and a page leads on to others.
        let source = fs::read_to_string(dir.path().join("man/man1").join(&page)).unwrap();
        let source = source.replace("\\-", "-").replace("podwire-lab", "");
        let other = COMMANDS_OF_ANOTHER
            .iter()
            .find(|each| source.contains(**each));
        assert_eq!(other, None, "{page}");
        assert!(
            source.contains("\n.SH \"SEE ALSO\"\n") || source.contains("\n.SH SEE ALSO\n"),
            "{page}"
        );
        let options = command.get_arguments().filter_map(|each| each.get_long());
        for option in options.filter(|name| *name != "help") {
            let option = format!("--{option}");
            let is_there = |text: &String| text.contains(&option);
            assert!(text.as_ref().is_none_or(is_there), "{page}: {option}");
        }
    }
    for plugin in told["plugins"].as_array().unwrap() {
        let text = shown(
            &dir,
            &format!("man7/podwire-{}.7", plugin["name"].as_str().unwrap()),
        );
        for key in plugin["keys"].as_array().unwrap() {
            let path = key["path"].as_str().unwrap();
            assert!(
                text.as_ref().is_none_or(|text| text.contains(path)),
                "{path}"
            );
        }
    }
}

const COMMANDS_OF_ANOTHER: [&str; 5] = ["`lab ", " lab get ", ": lab ", "\nlab ", "(lab "];

/// The page as it is shown in a terminal.
fn shown(dir: &TempDir, page: &str) -> Option<String> {
    let path = dir.path().join("man").join(page);
    // Where mandoc is, it would warn: what follows a missing date is taken for it, and breaks are around an empty line.
    let source = fs::read_to_string(&path).unwrap();
    let title = source
        .lines()
        .find(|line| line.starts_with(".TH "))
        .unwrap();
    assert!(title.contains(" 1970-01-02 "), "{page}: {title}");
    assert!(!source.contains("\n.br\n\n"), "{page}");
    if has("mandoc") {
        let lint = run(
            "mandoc",
            &["-T", "lint", "-W", "warning", path.to_str().unwrap()],
        );
        assert!(
            lint.status.success(),
            "{page}: {}",
            String::from_utf8_lossy(&lint.stdout)
        );
    }
    if !has("groff") {
        return None;
    }
    let arguments = [
        "-man",
        "-Tutf8",
        "-P-cbou",
        "-rLL=200n",
        "-ww",
        path.to_str().unwrap(),
    ];
    let output = run("groff", &arguments);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
    Some(String::from_utf8(output.stdout).unwrap().replace('‐', "-"))
}

#[test]
fn shells_can_read_their_completion() {
    let dir = pages();
    for (shell, file) in [
        ("bash", "bash/podwire"),
        ("zsh", "zsh/_podwire"),
        ("fish", "fish/podwire.fish"),
        ("bash", "bash/netd"),
        ("zsh", "zsh/_netd"),
        ("fish", "fish/netd.fish"),
        ("bash", "bash/podwire-lab"),
        ("zsh", "zsh/_podwire-lab"),
        ("fish", "fish/podwire-lab.fish"),
    ] {
        let path = dir.path().join("completion").join(file);
        if has(shell) {
            let output = run(shell, &["-n", path.to_str().unwrap()]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let word = match file {
            file if file.contains("netd") => "doctor",
            file if file.contains("lab") => "partition",
            _ => "validate",
        };
        assert!(fs::read_to_string(&path).unwrap().contains(word), "{file}");
    }
}

#[test]
fn bash_completes_commands_options_and_plugins() {
    let dir = pages();
    for (words, expected) in [
        ("podwire va", "validate"),
        ("podwire validate --no", "--no-node"),
        ("podwire schema host-l", "host-local"),
        ("podwire list --output j", "json"),
        ("netd clea", "cleanup"),
        ("netd cleanup --dr", "--dry-run"),
        ("netd status --output j", "json"),
        ("netd --log-f", "--log-format"),
        ("podwire-lab explai", "explain"),
        ("podwire-lab fault part", "partition"),
        ("podwire-lab kee", ""),
        ("podwire-lab up --back", "--backend"),
        ("podwire-lab up --backend host", "host-gw"),
        ("podwire-lab get no", "nodes"),
        ("podwire-lab get pods -o js", "json jsonpath="),
        ("podwire-lab describe po", "pods"),
        ("podwire-lab run web --network ho", "host"),
    ] {
        let program = words.split(' ').next().unwrap();
        let file = dir.path().join("completion/bash").join(program);
        let function = program.replace('-', "_");
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _{function} {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let output = run("bash", &["-c", &script]);
        let completed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            completed.trim(),
            expected,
            "{words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// What is put into clap_complete's scripts finds its places there.
#[test]
fn zsh_and_fish_ask_for_names() {
    let dir = pages();
    let script = |file: &str| fs::read_to_string(dir.path().join("completion").join(file)).unwrap();
    let zsh = script("zsh/_podwire-lab");
    let places = [
        "\n_podwire-lab_words() {\n",
        "\n_podwire-lab() {\n",
        "\nif [ \"$funcstack[1]\" = \"_podwire-lab\" ]; then\n",
    ];
    let found: Vec<Vec<usize>> = places
        .iter()
        .map(|place| zsh.match_indices(place).map(|(at, _)| at).collect())
        .collect();
    assert!(
        found.iter().all(|at| at.len() == 1) && found.is_sorted(),
        "{found:?}"
    );
    let fish = script("fish/podwire-lab.fish");
    for option in ["lab", "node", "container", "target", "image"] {
        let long = format!(" -l {option} ");
        let mut lines = fish.lines().filter(|line| line.contains(&long)).peekable();
        assert!(lines.peek().is_some(), "{option}");
        for line in lines {
            assert!(
                line.ends_with(" -r -f -a '(__podwire_lab_names)'"),
                "{line}"
            );
        }
    }
}

/// The program is a function of the shell here, which knows a pod and an image.
#[test]
fn bash_asks_for_names() {
    let dir = pages();
    let file = dir.path().join("completion/bash/podwire-lab");
    for (line, expected) in [
        ("podwire-lab exec -it we", "web"),
        ("podwire-lab run --image busybox:1", "1.36"),
        ("podwire-lab exec --contai", "--container"),
    ] {
        let script = format!(
            "podwire-lab() {{ case \"$*\" in \
               'names -- exec -it we') echo web;; 'names -- run --image busybox:1') echo busybox:1.36;; \
             esac; }}; source {}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; \
             COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _podwire_lab_names podwire-lab \"${{COMP_WORDS[COMP_CWORD]}}\"; echo \"${{COMPREPLY[@]}}\"; \
             complete -p podwire-lab",
            file.display()
        );
        let output = run("bash", &["-c", &script]);
        let said = String::from_utf8_lossy(&output.stdout);
        let (completed, registered) = said.split_once('\n').unwrap();
        assert_eq!(completed, expected, "{line}");
        assert!(
            registered.contains("-F _podwire_lab_names "),
            "{registered}"
        );
    }
}

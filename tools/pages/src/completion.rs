//! Completion for the shells that people use. What the lab has, its names, is asked for when somebody completes them: the
//! lab's scripts have some lines more than those that clap_complete makes.
use clap::Command;
use clap_complete::{Shell, generate};

use crate::Page;

/// Where each shell looks for the completion of a program, by file name: what stands before and
/// behind its name.
const SHELLS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "bash/", ""),
    (Shell::Zsh, "zsh/_", ""),
    (Shell::Fish, "fish/", ".fish"),
];

/// A file for each shell.
pub(crate) fn pages(command_line: &Command) -> impl Iterator<Item = Page> {
    SHELLS.into_iter().map(|(shell, before, behind)| {
        let name = command_line.get_name().to_owned();
        let text = match shell {
            Shell::Bash => for_bash(command_line, &name),
            shell => completion(shell, command_line, &name),
        };
        Page {
            path: format!("completion/{before}{name}{behind}"),
            text,
        }
    })
}

/// The same, of a lab, with the names that its hidden command `names` prints.
pub(crate) fn pages_with_names(command_line: &Command) -> impl Iterator<Item = Page> {
    pages(command_line).zip(SHELLS).map(|(page, (shell, ..))| {
        let text = String::from_utf8_lossy(&page.text);
        let text = match shell {
            Shell::Bash => names_for_bash(&text),
            Shell::Zsh => names_for_zsh(&text),
            _ => names_for_fish(&text),
        };
        Page {
            text: text.into_bytes(),
            ..page
        }
    })
}

/// Names go before what clap_complete has for free words, which are options and files.
fn names_for_bash(text: &str) -> String {
    const ASK: &str = r#"
_podwire_lab_names() {
    local line="${COMP_LINE:0:COMP_POINT}"
    local -a words names
    read -ra words <<<"$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    mapfile -t names < <(podwire-lab names -- "${words[@]:1}" 2>/dev/null)
    if ((${#names[@]} == 0)); then
        _podwire_lab "$@"
        return
    fi
    # Bash replaces what stands behind the last of these.
    local begun="${words[-1]}"
    COMPREPLY=("${names[@]#"${begun%"${begun##*[:=]}"}"}")
    # A path follows.
    [[ "${names[0]}" == *: ]] && compopt -o nospace 2>/dev/null
    return 0
}

"#;
    let at = text.rfind("if [[ \"${BASH_VERSINFO").unwrap_or(text.len());
    let (functions, registration) = text.split_at(at);
    let registration = registration.replace("-F _podwire_lab ", "-F _podwire_lab_names ");
    format!("{functions}{ASK}{registration}")
}

fn names_for_zsh(text: &str) -> String {
    const ASK: &str = r#"
_podwire-lab() {
    local -a names
    names=(${(f)"$(podwire-lab names -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)"})
    if (( $#names == 0 )); then
        _podwire-lab_words "$@"
    elif [[ $names[1] == *: ]]; then
        compadd -S '' -a names
    else
        compadd -a names
    fi
}

"#;
    let at = text.rfind("if [ \"$funcstack").unwrap_or(text.len());
    let (functions, registration) = text.split_at(at);
    let functions = functions.replace("\n_podwire-lab() {", "\n_podwire-lab_words() {");
    format!("{functions}{ASK}{registration}")
}

fn names_for_fish(text: &str) -> String {
    const ASK: &str = r#"
function __podwire_lab_names
    set -l words (commandline -opc)
    set -l begun (commandline -ct)
    podwire-lab names -- $words[2..] "$begun" 2>/dev/null
end
complete -c podwire-lab -n 'count (__podwire_lab_names) >/dev/null' -f -a '(__podwire_lab_names)'
"#;
    const OPTIONS: [&str; 5] = ["lab", "node", "container", "target", "image"];
    let takes_name = |line: &str| {
        line.ends_with(" -r")
            && OPTIONS
                .iter()
                .any(|option| line.contains(&format!(" -l {option} ")))
    };
    let lines = text.lines().map(|line| match takes_name(line) {
        true => format!("{line} -f -a '(__podwire_lab_names)'\n"),
        false => format!("{line}\n"),
    });
    lines.collect::<String>() + ASK
}

fn completion(shell: Shell, command_line: &Command, name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut command = command_line.clone().name(name.to_owned());
    generate(shell, &mut command, name, &mut text);
    text
}

/// In what clap_complete makes for bash, a program with a dash in its name completes no options of its commands: it
/// writes that dash in two ways. So it is made for a name without, and registered for the right one.
fn for_bash(command_line: &Command, name: &str) -> Vec<u8> {
    let plain = name.replace('-', "_");
    let text = completion(Shell::Bash, command_line, &plain);
    let registered = |name: &str| format!("-o default {name}\n");
    let text = String::from_utf8_lossy(&text);
    text.replace(&registered(&plain), &registered(name))
        .into_bytes()
}

//! The steps of a case as a script that can be pasted into a root shell.

use super::{Given, Kind, Step, is_mac};

/// The steps as a script for a root shell.
#[must_use]
pub(crate) fn script(steps: &[Step]) -> String {
    let mut script = Script::default();
    for step in steps {
        script.step(step);
    }
    let needs = if script.names.is_empty() {
        ""
    } else {
        " (it needs jq)"
    };
    format!(
        "  # by hand, as root, in a world of its own{needs}:\n{WORLD}{}",
        script.text
    )
}

const WORLD: &str = "  unshare --net --mount --pid --fork --mount-proc sh\n  \
    mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mount -t sysfs sysfs /sys\n  \
    mkdir /run/netns; ip link set lo up\n";

/// A script under way.
#[derive(Default)]
struct Script {
    text: String,
    last: Option<Kind>,
    /// Values of the recorded run and the shell variables that stand for them.
    names: Vec<(String, String)>,
}

impl Script {
    fn step(&mut self, step: &Step) {
        if self.last != Some(step.kind) {
            self.text.push_str(match step.kind {
                Kind::Prepare => "  # prepare:\n",
                Kind::Call => "  # call the plugin:\n",
                Kind::Look => "  # look:\n",
            });
            self.last = Some(step.kind);
        }
        let line = self.generalised(&step.line);
        if step.gives.is_empty() {
            self.line(&line);
        } else {
            self.line(&format!("said=$({line}); echo \"exit status $?, $said\""));
            for given in &step.gives {
                self.name(given);
            }
        }
        if let Some(answer) = &step.answer {
            for line in format!("it answered: {answer}").lines() {
                self.line(&format!("#   {line}"));
            }
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(&format!("  {line}\n"));
    }

    fn name(&mut self, given: &Given) {
        let kind = if is_mac(&given.value) { "mac" } else { "veth" };
        let name = format!("{kind}{}", self.names.len() + 1);
        self.line(&format!(
            "{name}=$(echo \"$said\" | jq -r '.{}')",
            given.path
        ));
        self.names.push((given.value.clone(), name));
    }

    /// The line with shell variables in the place of this run's values.
    fn generalised(&self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        let mut quoted = false;
        while let Some(c) = rest.chars().next() {
            if let Some((value, name)) =
                self.names.iter().find(|(value, _)| rest.starts_with(value))
            {
                if quoted {
                    out.push_str(&format!("'\"${name}\"'"));
                } else {
                    out.push_str(&format!("${{{name}}}"));
                }
                rest = &rest[value.len()..];
                continue;
            }
            if !quoted && rest.starts_with("\\'") {
                out.push_str("\\'");
                rest = &rest[2..];
                continue;
            }
            quoted ^= c == '\'';
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        out
    }
}

/// The word as a shell needs it; as it is where it needs no quotes.
#[must_use]
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // What a terminal would act upon instead of passing it on; $(…) would lose newlines at the end.
    let acts = |c: char| c.is_control() && c != '\n';
    if word.contains(acts) && !word.ends_with('\n') {
        return format!("\"$(printf %b {})\"", single(&escaped(word)));
    }
    single(word)
}

fn single(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The text as `printf %b` takes it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            c if c.is_ascii_control() => out.push_str(&format!("\\0{:03o}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell makes of a script's last line.
    #[allow(clippy::disallowed_methods, reason = "the script is for a shell")]
    fn run(script: &str) -> String {
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn words_come_out_of_a_shell_as_they_went_in() {
        for word in [
            "",
            "a b",
            "it's",
            "$(x) `y` \\",
            "two\nlines",
            "-a.b/c:d=e@f,g%h+i",
            "a\r\n\\ b\t0",
            "it's\r.",
            "*",
        ] {
            assert_eq!(run(&format!("printf %s {}", quote(word))), word);
        }
    }

    #[test]
    fn values_of_one_run_become_variables_of_the_next() {
        let script = Script {
            names: vec![("veth0badcafe".into(), "veth1".into())],
            ..Script::default()
        };
        for (line, expected) in [
            ("echo veth0badcafe", "other"),
            ("echo 'a veth0badcafe b'", "a other b"),
            (r"echo 'it'\''s veth0badcafe'", "it's other"),
            (r"echo \'veth0badcafe\'", "'other'"),
        ] {
            let line = script.generalised(line);
            assert_eq!(
                run(&format!("veth1=other; {line}")).trim(),
                expected,
                "{line}"
            );
        }
    }
}

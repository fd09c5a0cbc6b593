//! The command line told: as text for people, and as JSON, of which manual pages and completion are
//! made (`netd help --output json`, in the form of podwire's).

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::commands::COMMANDS;
use crate::flags::{Action, FLAGS, Flag};

/// Columns of a line of help.
const WIDTH: usize = 92;

const NAME: &str = "netd";
const ABOUT: &str = "Joins this node's pods to those of the other nodes: leases a subnet of the pod \
                     network for this node, and programs the kernel so that packets to the subnets \
                     of the others reach them. Stands in flanneld's place, with its flags, files and \
                     devices.";
const FLAGS_ABOUT: &str = "Flags take one dash or two, `-flag value` or `-flag=value`. A flag that is \
                           not given is read from the environment: FLANNELD_ and its name in upper \
                           case, `-` as `_`.";
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "FLANNELD_<FLAG>",
        "the value of a flag that is not given, its name in upper case, with _ for -; \
         /etc/podwire/netd.env has them for the unit netd.service",
    ),
    (
        "WIREGUARD_KEY_FILE",
        "as FLANNELD_WIREGUARD_KEY_FILE, which flanneld does not know",
    ),
    (
        "NODE_NAME, or POD_NAME and POD_NAMESPACE",
        "in Kubernetes: this node's name, or the pod that netd runs in",
    ),
    ("NO_COLOR", "netd status uses no colours"),
];
const EXIT_STATUS: &str = "0 stopped by a signal, or help; 1 start failed; 2 command line not \
                           understood; 3 asked for something that is not supported yet; 4 the lease \
                           is lost.";

/// What a command is, for people.
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What stands behind the name.
    pub usage: &'static str,
    /// In a few words.
    pub summary: &'static str,
    /// In sentences.
    pub about: &'static str,
    /// A file that it takes.
    pub operand: Option<&'static str>,
    /// Its own flags.
    pub flags: &'static [FlagAbout],
    /// Which of the daemon's flags it takes.
    pub daemon_flags: &'static str,
    /// How it ends.
    pub exit_status: &'static str,
}

/// A flag of a command.
pub struct FlagAbout {
    /// Without dashes.
    pub name: &'static str,
    /// One letter that does as well.
    pub short: Option<char>,
    /// What it takes.
    pub takes: Takes,
    /// What it does.
    pub about: &'static str,
    /// What is taken when it is not given; empty for none.
    pub default: &'static str,
}

/// What follows a flag.
pub enum Takes {
    /// Nothing.
    Nothing,
    /// Something, which is called so.
    Text(&'static str),
    /// A file.
    File,
    /// One of these words.
    Words(&'static [&'static str]),
}

impl Takes {
    fn word(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(name) => (*name).to_owned(),
            Self::File => "PATH".to_owned(),
            Self::Words(words) => words.join("|"),
        }
    }

    /// podwire's words for it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "text",
            Self::File => "file",
            Self::Words(_) => "word",
        }
    }

    fn values(&self) -> &[&str] {
        match self {
            Self::Words(words) => words,
            _ => &[],
        }
    }
}

impl FlagAbout {
    fn sentence(&self) -> String {
        let short = self.short.map(|letter| format!("; -{letter} for short"));
        described(self.about, &short.unwrap_or_default(), self.default)
    }

    fn json(&self) -> Value {
        json!({
            "name": format!("--{}", self.name),
            "short": self.short.map(String::from),
            "value": self.takes.word(),
            "takes": self.takes.kind(),
            "values": self.takes.values(),
            "about": self.sentence(),
        })
    }
}

fn described(about: &str, more: &str, default: &str) -> String {
    let default = match default {
        "" => String::new(),
        default => format!(" (default {default})"),
    };
    format!("{about}{more}{default}")
}

impl About {
    /// What `netd COMMAND --help` prints.
    pub fn text(&self) -> String {
        let usage = format!("Usage: netd {} {}", self.name, self.usage);
        let mut text = format!("{usage:<34}{}\n\n{}", self.summary, wrapped(self.about, 0));
        if !self.flags.is_empty() {
            text.push('\n');
            for flag in self.flags {
                entry(&mut text, flag.name, &flag.takes.word(), &flag.sentence());
            }
            entry(&mut text, "help", "", "print this text and exit");
        }
        if !self.daemon_flags.is_empty() {
            text = text + "\n" + &wrapped(self.daemon_flags, 0);
        }
        text + "\n" + &wrapped(&format!("Exit status: {}", self.exit_status), 0)
    }

    fn json(&self) -> Value {
        let operands = self.operand.iter().map(|about| {
            json!({"name": "FILE", "takes": "file", "values": [], "many": false, "about": about})
        });
        let flags = self.flags.iter().map(FlagAbout::json);
        let about = format!("{} {}", self.about, self.daemon_flags);
        json!({
            "name": self.name,
            "summary": self.summary,
            "about": about.trim_end(),
            "usage": [self.usage],
            "operands": operands.collect::<Vec<_>>(),
            "options": flags.collect::<Vec<_>>(),
            "exitStatus": self.exit_status,
        })
    }
}

fn entry(text: &mut String, name: &str, value: &str, about: &str) {
    let head = format!("  -{name} {value}");
    // Writing to a String cannot fail.
    let _ = write!(text, "{}\n{}", head.trim_end(), wrapped(about, 8));
}

/// Lines that break before the edge.
fn wrapped(words: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut text = margin.clone();
    let mut column = indent;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            text = text + "\n" + &margin;
            column = indent;
        }
        if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text + "\n"
}

/// What `netd --help` prints.
pub fn overview() -> String {
    let mut text = format!(
        "Usage: {:<26} join this node's pods to those of the other nodes\n",
        "netd [FLAG]..."
    );
    for command in COMMANDS {
        let usage = format!("netd {} {}", command.name, command.usage);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "       {usage:<26} {}", command.summary);
    }
    let intro = format!(
        "`netd COMMAND --help` says more of a command. These are the daemon's flags. {FLAGS_ABOUT}"
    );
    text = text + "\n" + &wrapped(&intro, 0) + "\n";
    for flag in FLAGS {
        entry(&mut text, flag.name, "", &of_daemon(flag));
    }
    text + "\n" + &wrapped(&format!("Exit status: {EXIT_STATUS}"), 0)
}

fn of_daemon(flag: &Flag) -> String {
    let support = match flag.action {
        Action::NotYetValue(_) | Action::NotYetBool(_) => " [not supported yet]",
        _ => "",
    };
    described(flag.help, "", flag.default) + support
}

/// What `netd help --output json` prints.
pub fn json() -> String {
    let environment = ENVIRONMENT
        .iter()
        .map(|(name, about)| json!({"name": name, "about": about}));
    let flags = FLAGS
        .iter()
        .filter(|flag| !matches!(flag.action, Action::Help));
    let flags = flags.map(|flag| {
        let (value, takes) = match flag.is_switch() {
            true => ("", "nothing"),
            false => ("VALUE", "text"),
        };
        json!({
            "name": format!("--{}", flag.name),
            "value": value,
            "takes": takes,
            "values": [],
            "about": of_daemon(flag),
        })
    });
    let document = json!({
        "name": NAME,
        "version": env!("CARGO_PKG_VERSION"),
        "section": "8",
        "about": format!("{ABOUT} {FLAGS_ABOUT}"),
        "summary": "joins this node's pods to those of the other nodes",
        "flags": flags.collect::<Vec<_>>(),
        "environment": environment.collect::<Vec<_>>(),
        "exitStatus": EXIT_STATUS,
        "commands": COMMANDS.iter().map(|command| command.json()).collect::<Vec<_>>(),
        "plugins": [],
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command_and_flag_within_the_width() {
        let overview = overview();
        for command in COMMANDS {
            assert!(overview.contains(&format!("netd {} ", command.name)));
            let text = command.text();
            for flag in command.flags {
                assert!(text.contains(&format!("\n  -{}", flag.name)), "{text}");
            }
            assert!(text.lines().all(|line| line.len() <= WIDTH + 8), "{text}");
        }
        for flag in FLAGS {
            assert!(overview.contains(&format!("\n  -{}\n", flag.name)));
        }
    }

    #[test]
    fn lines_break_before_the_edge() {
        let text = wrapped(&"word ".repeat(40), 4);
        assert!(
            text.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("    word"))
        );
        assert_eq!(text.split_whitespace().count(), 40);
    }
}

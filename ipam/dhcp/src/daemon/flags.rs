//! The command line, as Go's flag package reads it: `-name value`, `-name=value`, one dash or two.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logline::Format;

use crate::config::SOCKET;
use crate::protocol::timing::Timing;

/// Where leases are kept, below the host's root.
const LEASES: &str = "/run/podwire/dhcp";

/// What the daemon was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) pidfile: Option<PathBuf>,
    /// Where the host's root is, for namespaces.
    pub(super) host_prefix: String,
    pub(super) socket: PathBuf,
    pub(super) leases: PathBuf,
    /// Servers shall answer to everybody.
    pub(super) broadcast: bool,
    pub(super) timing: Timing,
    pub(super) log: Format,
}

/// What the command line asks for.
pub(super) enum Command {
    Run(Box<Flags>),
    Help,
}

/// Why a command line cannot be understood; Go's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlagsError {
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(&'static str),
    #[error("invalid value {value:?} for flag -{flag}: {problem}")]
    Value {
        flag: &'static str,
        value: String,
        problem: &'static str,
    },
    #[error("unexpected argument {0:?}")]
    Argument(String),
}

#[derive(Clone, Copy)]
enum Kind {
    Text(fn(&mut Written, String)),
    Switch(fn(&mut Written, bool)),
    Time(fn(&mut Written, Duration)),
    Log(fn(&mut Written, Format)),
}

/// A flag, its value's kind, and what it does.
type Flag = (&'static str, Kind, &'static str);

const FLAGS: [Flag; 9] = [
    (
        "broadcast",
        Kind::Switch(|written, value| written.broadcast = value),
        "ask servers to answer to the broadcast address",
    ),
    (
        "hostprefix",
        Kind::Text(|written, value| written.host_prefix = value),
        "optional prefix to host root",
    ),
    (
        "leasedir",
        Kind::Text(|written, value| written.leases = value),
        "directory in which leases are kept over a restart (default /run/podwire/dhcp below the host prefix)",
    ),
    (
        "log-format",
        Kind::Log(|written, value| written.log = value),
        "log lines: text for people, or json, an object each (default text)",
    ),
    (
        "pidfile",
        Kind::Text(|written, value| written.pidfile = value),
        "optional path to write daemon PID to",
    ),
    (
        "resendmax",
        Kind::Time(|written, value| written.timing.longest_pause = value),
        "optional dhcp client max resend delay between requests (default 1m2s)",
    ),
    (
        "resendtimeout",
        Kind::Time(|written, value| written.timing.give_up = value),
        "optional dhcp client resend timeout, no more retries after this timeout (default 3m28s)",
    ),
    (
        "socketpath",
        Kind::Text(|written, value| written.socket = value),
        "optional dhcp server socketpath",
    ),
    (
        "timeout",
        Kind::Time(|written, value| written.timing.answer = value),
        "optional dhcp client timeout duration for each request (default 10s)",
    ),
];

/// Values as they were written.
struct Written {
    pidfile: String,
    host_prefix: String,
    socket: String,
    leases: String,
    broadcast: bool,
    timing: Timing,
    log: Format,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            pidfile: String::new(),
            host_prefix: String::new(),
            socket: String::new(),
            leases: String::new(),
            broadcast: false,
            log: Format::default(),
            timing: Timing {
                answer: Duration::from_secs(10),
                longest_pause: Duration::from_secs(62),
                give_up: Duration::from_secs(208),
            },
        }
    }
}

impl From<Written> for Flags {
    /// The prefix stands before every path of the host's; the pidfile is the daemon's own.
    fn from(written: Written) -> Self {
        let prefixed = |path: &str| PathBuf::from(format!("{}{path}", written.host_prefix));
        let socket = match written.socket.as_str() {
            "" => SOCKET,
            socket => socket,
        };
        Self {
            pidfile: (!written.pidfile.is_empty()).then(|| written.pidfile.into()),
            socket: prefixed(socket),
            leases: match written.leases.is_empty() {
                true => prefixed(LEASES),
                false => written.leases.into(),
            },
            host_prefix: written.host_prefix,
            broadcast: written.broadcast,
            timing: written.timing,
            log: written.log,
        }
    }
}

impl Flags {
    /// A directory for the daemon at this socket alone: `/run/cni/dhcp.sock` is `run-cni-dhcp.sock`,
    /// escaped as systemd-escape(1) does it.
    pub(super) fn leases_of(&self, socket: &Path) -> PathBuf {
        let mut name = String::new();
        for byte in socket.as_os_str().as_bytes().trim_ascii_start() {
            match byte {
                b'/' => name.push('-'),
                byte if byte.is_ascii_alphanumeric() || b"._:".contains(byte) => {
                    name.push(char::from(*byte));
                }
                byte => name.push_str(&format!("\\x{byte:02x}")),
            }
        }
        self.leases.join(name.trim_start_matches('-'))
    }
}

/// Reads the command line.
pub(super) fn parse(arguments: &[OsString]) -> Result<Command, FlagsError> {
    let mut written = Written::default();
    let mut rest = arguments.iter().map(|one| one.to_string_lossy());
    while let Some(argument) = rest.next() {
        let dashless = argument
            .strip_prefix("--")
            .or_else(|| argument.strip_prefix('-'));
        let Some(name) = dashless.filter(|name| !name.is_empty()) else {
            return Err(FlagsError::Argument(argument.into_owned()));
        };
        let (name, inline) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if matches!(name, "h" | "help") {
            return Ok(Command::Help);
        }
        let flag = FLAGS.iter().find(|(known, ..)| *known == name);
        let flag = flag.ok_or_else(|| FlagsError::Unknown(name.to_owned()))?;
        let next = || rest.next().map(std::borrow::Cow::into_owned);
        apply(&mut written, flag, inline, next)?;
    }
    Ok(Command::Run(Box::new(written.into())))
}

fn apply(
    written: &mut Written,
    flag: &Flag,
    inline: Option<String>,
    next: impl FnOnce() -> Option<String>,
) -> Result<(), FlagsError> {
    let name = flag.0;
    let refused = |value: &str, problem| FlagsError::Value {
        flag: name,
        value: value.to_owned(),
        problem,
    };
    if let Kind::Switch(set) = flag.1 {
        let value = inline.as_deref().unwrap_or("true");
        let on = boolean(value).ok_or_else(|| refused(value, "parse error"))?;
        set(written, on);
        return Ok(());
    }
    let value = inline.or_else(next).ok_or(FlagsError::NoValue(name))?;
    match flag.1 {
        Kind::Text(set) => set(written, value),
        Kind::Time(set) => {
            let time = duration(&value).ok_or_else(|| refused(&value, "parse error"))?;
            set(written, time);
        }
        Kind::Log(set) => {
            let format = value.parse();
            let format = format.map_err(|_| refused(&value, "give text or json"))?;
            set(written, format);
        }
        Kind::Switch(_) => {}
    }
    Ok(())
}

/// What Go's strconv.ParseBool takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A time that is not nothing: nobody could answer in it.
fn duration(text: &str) -> Option<Duration> {
    let time = humantime::parse_duration(text).ok()?;
    (!time.is_zero()).then_some(time)
}

/// What `-h` prints.
pub(super) fn usage() -> String {
    let mut text = "Usage of daemon:\n".to_owned();
    for (name, kind, what) in FLAGS {
        let value = match kind {
            Kind::Text(_) | Kind::Log(_) => " string",
            Kind::Switch(_) => "",
            Kind::Time(_) => " duration",
        };
        text += &format!("  -{name}{value}\n    \t{what}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Flags, FlagsError> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        match parse(&arguments)? {
            Command::Run(flags) => Ok(*flags),
            Command::Help => Err(FlagsError::Argument("help".into())),
        }
    }

    #[test]
    fn one_dash_or_two_with_a_value_behind_or_beside() {
        let flags =
            parsed("-timeout 200ms --resendmax=1m2s -resendtimeout 1.5s -broadcast").unwrap();
        assert_eq!(flags.timing.answer, Duration::from_millis(200));
        assert_eq!(flags.timing.longest_pause, Duration::from_secs(62));
        assert_eq!(flags.timing.give_up, Duration::from_millis(1500));
        assert!(flags.broadcast && !parsed("-broadcast=false").unwrap().broadcast);
        assert_eq!(flags.log, Format::Text);
        assert_eq!(parsed("-log-format=json").unwrap().log, Format::Json);
        assert!(matches!(parse(&["-h".into()]), Ok(Command::Help)));
    }

    #[test]
    fn the_prefix_stands_before_the_host_s_paths() {
        let flags =
            parsed("-hostprefix /host -socketpath /run/a-b/d.sock -pidfile /d.pid").unwrap();
        assert_eq!(flags.socket, Path::new("/host/run/a-b/d.sock"));
        assert_eq!(flags.pidfile.as_deref(), Some(Path::new("/d.pid")));
        assert_eq!(
            flags.leases_of(&flags.socket),
            Path::new("/host/run/podwire/dhcp/host-run-a\\x2db-d.sock")
        );
        let usual = parsed("").unwrap();
        assert_eq!(
            usual.leases_of(&usual.socket),
            Path::new("/run/podwire/dhcp/run-cni-dhcp.sock")
        );
    }

    #[test]
    fn wrong_lines_are_told_in_go_s_words() {
        for (line, text) in [
            ("-bogus", "flag provided but not defined: -bogus"),
            ("-pidfile", "flag needs an argument: -pidfile"),
            (
                "-timeout 10",
                "invalid value \"10\" for flag -timeout: parse error",
            ),
            (
                "-timeout 0s",
                "invalid value \"0s\" for flag -timeout: parse error",
            ),
            (
                "-broadcast=maybe",
                "invalid value \"maybe\" for flag -broadcast: parse error",
            ),
            (
                "-log-format xml",
                "invalid value \"xml\" for flag -log-format: give text or json",
            ),
            ("here", "unexpected argument \"here\""),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), text);
        }
    }
}

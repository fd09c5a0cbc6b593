//! The commands beside the daemon itself, and their flags: one dash or two, as the daemon's.

use std::path::PathBuf;
use std::slice;

use cluster::Allocation;

use crate::describe::{self, About, FlagAbout, Takes};
use crate::options::{self, Command, Given, Options, OptionsError, STATUS_SOCKET};

/// `netd status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// JSON instead of text.
    pub json: bool,
    /// Again and again.
    pub watch: bool,
    /// Every peer, not the first ones alone.
    pub all_peers: bool,
}

/// `netd check-config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// The file; `-` is the standard input.
    pub file: PathBuf,
    /// How nodes are to come to their subnets.
    pub allocation: Allocation,
}

/// `netd cleanup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Say what would be removed.
    pub dry_run: bool,
    /// Also while a daemon runs.
    pub force: bool,
    /// Also the lease in the store.
    pub lease: bool,
    /// Also the routes that flanneld made without a tunnel.
    pub flanneld_routes: bool,
    /// Also this node's WireGuard key.
    pub wireguard_key: bool,
    /// The daemon's flags: where its files and its store are.
    pub options: Box<Options>,
}

/// `netd doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doctor {
    /// Also probe the path to this node.
    pub peer: Option<String>,
    /// Also say what is well.
    pub verbose: bool,
    /// JSON instead of text.
    pub json: bool,
    /// The daemon's flags: where its files and its store are.
    pub options: Box<Options>,
}

const OUTPUT: FlagAbout = FlagAbout {
    name: "output",
    short: Some('o'),
    takes: Takes::Words(&["text", "json"]),
    about: "for people or for programs",
    default: "text",
};

const fn switch(name: &'static str, short: Option<char>, about: &'static str) -> FlagAbout {
    FlagAbout {
        name,
        short,
        takes: Takes::Nothing,
        about,
        default: "",
    }
}

/// Every command.
pub const COMMANDS: &[About] = &[STATUS, CHECK_CONFIG, DOCTOR, CLEANUP];

const STATUS: About = About {
    name: "status",
    usage: "[FLAG]...",
    summary: "what the netd of this node says of itself",
    about: "Asks the running netd how the node does: its lease, devices and peers, and what is wrong, \
            since when, and what to do about it.",
    operand: None,
    flags: &[
        FlagAbout {
            name: "status-socket",
            short: None,
            takes: Takes::File,
            about: "where it answers",
            default: STATUS_SOCKET,
        },
        OUTPUT,
        switch(
            "watch",
            Some('w'),
            "again and again until Ctrl-C: each second on a terminal, else whenever it changes",
        ),
        switch("peers", None, "all peers, not the first 20"),
    ],
    daemon_flags: "",
    exit_status: "0; 1 when no netd answers.",
};

const CHECK_CONFIG: About = About {
    name: "check-config",
    usage: "[FLAG]... FILE",
    summary: "what is wrong with a network configuration",
    about: "FILE holds what is to be put at <prefix>/config in etcd, into the file config of the store \
            dir, or under the key net-conf.json into Kubernetes' ConfigMap; - is the standard input. \
            Every error is told in one reading, each with its key, its value and what would be right; \
            then warnings: keys that nobody reads, what is not as it seems, what this node's kernel \
            lacks.",
    operand: Some("the configuration; - is the standard input"),
    flags: &[switch(
        "kube-subnet-mgr",
        None,
        "for Kubernetes, where nodes are given their pod CIDRs and draw no subnets",
    )],
    daemon_flags: "",
    exit_status: "0 when nodes can use it, also with warnings; 1 when they cannot, or when FILE cannot be \
                  read.",
};

const DOCTOR: About = About {
    name: "doctor",
    usage: "[FLAG]...",
    summary: "what is wrong with this node's pod network",
    about: "Looks at forwarding, packet filters, MTUs, routes, the tunnel's device, port and peers, \
            other network plugins, the subnet file, the store and the running netd. Of each finding it \
            says what it means and what mends it. It changes nothing.",
    operand: None,
    flags: &[
        FlagAbout {
            name: "peer",
            short: None,
            takes: Takes::Text("NODE"),
            about: "also probe the path to a node (public address, subnet, or an address in that) with \
                    small and large pings, below the tunnel and through it",
            default: "",
        },
        switch("v", None, "also what is well"),
        OUTPUT,
    ],
    daemon_flags: "The daemon's flags say where things are, and are needed where they are not the \
                   default: -subnet-file, -status-socket, -store, -store-dir and the flags for etcd \
                   and Kubernetes.",
    exit_status: "0 when nothing was found, 1 when something was, or when nothing could be looked at.",
};

const CLEANUP: About = About {
    name: "cleanup",
    usage: "[FLAG]...",
    summary: "remove what netd and flanneld left on this node",
    about: "Removes netd's routes (protocol 112), the devices flannel.N, flannel-v6.N, flannel-wg, \
            flannel-wg-v6, flannel.ipip and flannelN with the routes that lead there, the chains \
            FLANNEL-POSTRTG and FLANNEL-FWD with what jumps there (iptables of either flavour, both \
            families), the nftables tables flannel-ipv4 and flannel-ipv6, the subnet file and the \
            status socket. Nothing else, and by itself nothing in the store.",
    operand: None,
    flags: &[
        switch(
            "dry-run",
            None,
            "say what would be removed, and touch nothing",
        ),
        switch(
            "lease",
            None,
            "delete this node's lease from the store, too; not a reservation, and never the lease of \
             another node",
        ),
        switch(
            "flanneld-routes",
            None,
            "also the routes that flanneld made to nodes that need no tunnel (host-gw, \
             DirectRouting): those to exactly another node's leased subnet, through that node's \
             public address; every other route is somebody else's",
        ),
        switch(
            "wireguard-key",
            None,
            "also the file with this node's WireGuard key; the next netd makes another",
        ),
        switch(
            "force",
            None,
            "also while netd or flanneld runs on this node",
        ),
    ],
    daemon_flags: "The daemon's flags say where things are, and are needed where they are not the \
                   default: -subnet-file, -status-socket and -wireguard-key-file; with -lease or \
                   -flanneld-routes also -store, -store-dir and the flags for etcd \
                   and Kubernetes.",
    exit_status: "0; 1 when something stays, or when nothing was touched because a daemon runs.",
};

/// What netd starts itself with to carry packets of the backend udp; nobody else has a use for it.
pub const FORWARD: &str = "forward-packets";
/// What the kernel calls that process.
pub const FORWARDER: &str = "netd-udp";

/// Reads the flags of a command, if `arguments` begin with one.
pub fn parse(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Result<Command, OptionsError>> {
    let (name, rest) = arguments.split_first()?;
    match name.as_str() {
        "cleanup" => return Some(cleanup(rest, environment)),
        "doctor" => return Some(doctor(rest, environment)),
        "help" => return Some(help(Arguments(rest.iter()))),
        FORWARD => return Some(Ok(Command::Forward)),
        _ => {}
    }
    let rest = Arguments(rest.iter());
    match name.as_str() {
        "status" => Some(status(rest)),
        "check-config" => Some(check_config(rest)),
        _ => None,
    }
}

/// The daemon's flags, those of a command, or everything for programs.
fn help(mut arguments: Arguments<'_>) -> Result<Command, OptionsError> {
    let Some(first) = arguments.0.next() else {
        return Ok(Command::Help);
    };
    if let Some(argument) = Argument::of(first) {
        return match argument.name {
            "help" | "h" => Ok(Command::Help),
            "output" | "o" => match arguments.is_json(argument)? {
                true => Ok(Command::HelpOf(describe::json())),
                false => Ok(Command::Help),
            },
            _ => Err(argument.unknown()),
        };
    }
    let command = COMMANDS.iter().find(|command| command.name == first);
    let command = command.ok_or_else(|| OptionsError::Argument(first.clone()))?;
    Ok(Command::HelpOf(command.text()))
}

fn status(mut arguments: Arguments<'_>) -> Result<Command, OptionsError> {
    let mut status = Status {
        socket: STATUS_SOCKET.into(),
        json: false,
        watch: false,
        all_peers: false,
    };
    while let Some(argument) = arguments.next()? {
        match argument.name {
            "help" | "h" => return Ok(Command::HelpOf(STATUS.text())),
            "status-socket" => status.socket = arguments.value(argument)?.into(),
            "output" | "o" => status.json = arguments.is_json(argument)?,
            "watch" | "w" => status.watch = argument.switch()?,
            "peers" => status.all_peers = argument.switch()?,
            _ => return Err(argument.unknown()),
        }
    }
    Ok(Command::Status(status))
}

fn check_config(arguments: Arguments<'_>) -> Result<Command, OptionsError> {
    let mut file = None;
    let mut allocation = Allocation::Drawn;
    for text in arguments.0 {
        match text.as_str() {
            "-help" | "--help" | "-h" => return Ok(Command::HelpOf(CHECK_CONFIG.text())),
            "-kube-subnet-mgr" | "--kube-subnet-mgr" => allocation = Allocation::Given,
            text if text.starts_with('-') && text != "-" => {
                return Err(OptionsError::Unknown(
                    text.trim_start_matches('-').to_owned(),
                ));
            }
            text if file.is_none() => file = Some(text.into()),
            text => return Err(OptionsError::Argument(text.to_owned())),
        }
    }
    let file = file.ok_or(OptionsError::MissingFile)?;
    Ok(Command::CheckConfig(CheckConfig { file, allocation }))
}

/// Its own flags, and those of the daemon.
fn cleanup(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, OptionsError> {
    let (mut dry_run, mut force, mut lease) = (false, false, false);
    let (mut flanneld_routes, mut wireguard_key) = (false, false);
    let mut of_the_daemon = Vec::new();
    for text in arguments {
        let argument = Argument::of(text);
        match argument.map_or("", |argument| argument.name) {
            "help" | "h" => return Ok(Command::HelpOf(CLEANUP.text())),
            "dry-run" => dry_run = argument.map_or(Ok(true), Argument::switch)?,
            "force" => force = argument.map_or(Ok(true), Argument::switch)?,
            "lease" => lease = argument.map_or(Ok(true), Argument::switch)?,
            "flanneld-routes" => {
                flanneld_routes = argument.map_or(Ok(true), Argument::switch)?;
            }
            "wireguard-key" => wireguard_key = argument.map_or(Ok(true), Argument::switch)?,
            _ => of_the_daemon.push(text.clone()),
        }
    }
    let options = Box::new(options::daemon(&of_the_daemon, environment)?);
    Ok(Command::Cleanup(Cleanup {
        dry_run,
        force,
        lease,
        flanneld_routes,
        wireguard_key,
        options,
    }))
}

/// Its own flags, and those of the daemon.
fn doctor(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, OptionsError> {
    let (mut peer, mut verbose, mut json) = (None, false, false);
    let mut of_the_daemon = Vec::new();
    let mut rest = Arguments(arguments.iter());
    while let Some(text) = rest.0.next() {
        let Some(argument) = Argument::of(text) else {
            of_the_daemon.push(text.clone());
            continue;
        };
        match argument.name {
            "help" | "h" => return Ok(Command::HelpOf(DOCTOR.text())),
            "peer" => peer = Some(rest.value(argument)?.to_owned()),
            "v" => verbose = argument.switch()?,
            "output" | "o" => json = rest.is_json(argument)?,
            _ => of_the_daemon.push(text.clone()),
        }
    }
    let options = Box::new(options::daemon(&of_the_daemon, environment)?);
    Ok(Command::Doctor(Doctor {
        peer,
        verbose,
        json,
        options,
    }))
}

/// What is left of a command line.
struct Arguments<'a>(slice::Iter<'a, String>);

/// A flag, and its value where that came with it.
#[derive(Clone, Copy)]
struct Argument<'a> {
    name: &'a str,
    inline: Option<&'a str>,
}

impl<'a> Arguments<'a> {
    /// The next flag.
    fn next(&mut self) -> Result<Option<Argument<'a>>, OptionsError> {
        let Some(text) = self.0.next() else {
            return Ok(None);
        };
        let argument = Argument::of(text);
        let argument = argument.ok_or_else(|| OptionsError::Argument(text.clone()))?;
        Ok(Some(argument))
    }

    /// The value of a flag that has one.
    fn value(&mut self, of: Argument<'a>) -> Result<&'a str, OptionsError> {
        let value = of.inline.or_else(|| self.0.next().map(String::as_str));
        value.ok_or_else(|| OptionsError::MissingValue(of.name.to_owned()))
    }

    fn is_json(&mut self, of: Argument<'a>) -> Result<bool, OptionsError> {
        Given::new("-output", self.value(of)?).is_json()
    }
}

impl<'a> Argument<'a> {
    /// Nothing where a text is no flag.
    fn of(text: &'a str) -> Option<Self> {
        let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        Some(match flag.split_once('=') {
            Some((name, value)) => Self {
                name,
                inline: Some(value),
            },
            None => Self {
                name: flag,
                inline: None,
            },
        })
    }

    /// The value of a flag that is on or off.
    fn switch(self) -> Result<bool, OptionsError> {
        let origin = format!("-{}", self.name);
        Given::new(&origin, self.inline.unwrap_or("true")).bool()
    }

    fn unknown(self) -> OptionsError {
        OptionsError::Unknown(self.name.to_owned())
    }
}

//! Their command lines.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use manifest::Processors;

use super::cp::Place;
use super::jsonpath::Template;
use super::labels::Selector;
use super::port_forward::PortForwardArgs;
use super::wait::Goal;
use crate::cli::Output;
use crate::size::{parse_bytes, parse_cpus, parse_memory_limit, parse_pids, parse_seconds};
use crate::state::Name;

/// `lab run`, `apply`, `get`, `describe`, `events`, `logs`, `exec`, `debug`, `port-forward`, `cp`, `delete` and `wait`
#[derive(Debug, Subcommand)]
pub enum KubectlCommand {
    /// Start a pod of one container, without a manifest
    Run(RunArgs),
    /// Start the pods of manifests (v1/Pod; with v1/ConfigMap for their volumes)
    Apply(ApplyArgs),
    /// List pods, nodes or events
    Get(GetArgs),
    /// Tell all about pods, with what happened to them, or about nodes, with what is wrong with them
    Describe(DescribeArgs),
    /// List what happened to pods
    Events(EventsArgs),
    /// Print what a container of a pod printed
    Logs(LogsArgs),
    /// Run a program in a container of a pod
    Exec(ExecArgs),
    /// Look at a pod from a container beside its own, which is gone afterwards
    Debug(DebugArgs),
    /// Lead ports of the machine's loopback to ports of a pod, until Ctrl-C
    PortForward(PortForwardArgs),
    /// Copy files and directories into containers and out of them
    Cp(CpArgs),
    /// End pods and remove them
    Delete(DeleteArgs),
    /// Wait until pods are in a condition, or gone
    Wait(WaitArgs),
}

/// `lab run`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: lab run web --memory 64M -- busybox httpd -f -p 80, lab run look -it --rm -- sh"
)]
pub struct RunArgs {
    /// The pod's name, which is its host name and its container's name too
    pub name: Name,
    /// The node [default: the node with the fewest pods]
    #[arg(long)]
    pub node: Option<Name>,
    /// An image that `lab image load` loaded [default: the machine's own root, which is never written to]
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// An unpacked image, which is never written to
    #[arg(long, value_name = "DIR", conflicts_with = "image")]
    pub rootfs: Option<PathBuf>,
    /// A variable of the program's environment; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub env: Vec<(String, String)>,
    /// The pod's labels [default: run=NAME]
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = parse_pair, value_delimiter = ',')]
    pub labels: Vec<(String, String)>,
    /// When the program is started again after its end
    #[arg(long, value_enum, default_value_t = Restart::Never)]
    pub restart: Restart,
    /// Memory limit (64M, 1G); 6M at least
    #[arg(long, value_parser = parse_memory_limit, value_name = "BYTES")]
    pub memory: Option<u64>,
    /// Processor limit (0.5, 2)
    #[arg(long, value_parser = parse_cpus, value_name = "NUMBER")]
    pub cpus: Option<u32>,
    /// Most processes and threads; the pod's first process and its program make 2
    #[arg(long, value_name = "NUMBER", value_parser = parse_pids)]
    pub pids: Option<u64>,
    /// Bytes a second that are read from each disk (10M)
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub io_read: Option<u64>,
    /// Bytes a second that are written to each disk; with control groups of version 1, past the page cache alone
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub io_write: Option<u64>,
    /// The processors that it runs on (0-1,3)
    #[arg(long, value_name = "PROCESSORS")]
    pub cpuset: Option<Processors>,
    /// bridge, host, none, macvlan, overlay, or a network of `lab network ls`; given again, the pod has net1, net2
    /// and so on beside eth0 [default: the lab's own]
    #[arg(long, value_name = "NETWORK")]
    pub network: Vec<String>,
    /// Give the program standard input from here, print what it prints, and end with its exit status
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the program a terminal of its own, operated from the caller's; with -i
    #[arg(short, long, requires = "stdin")]
    pub tty: bool,
    /// The same as -i without standard input
    #[arg(long)]
    pub attach: bool,
    /// Remove the pod when its program has ended; with -i or --attach
    #[arg(long)]
    pub rm: bool,
    /// All capabilities, system calls and devices: the pod is root on the machine
    #[arg(long)]
    pub privileged: bool,
    /// The words after -- begin with the program; else the image's entry point gets them as its arguments
    #[arg(long)]
    pub command: bool,
    /// Arguments of the image's entry point; program and arguments where there is none [default: the image's]
    #[arg(required_unless_present = "image", last = true, value_name = "WORD")]
    pub words: Vec<String>,
}

/// `--restart`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Restart {
    /// However it ended.
    Always,
    /// When it failed.
    OnFailure,
    /// Never.
    Never,
}

fn parse_pair(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => bail!("{text:?} is not NAME=VALUE"),
    }
}

/// `lab apply`
#[derive(Debug, Args)]
#[command(after_help = "Example: lab apply -f examples/pods/web-and-client.yaml")]
pub struct ApplyArgs {
    /// A file of YAML or JSON, a directory of *.yaml, *.yml and *.json, or - for standard input; may be given again
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filename: Vec<PathBuf>,
    /// The node [default: spec.nodeName, or the node with the fewest pods]
    #[arg(long)]
    pub node: Option<Name>,
}

/// `lab get`
#[derive(Debug, Args)]
#[command(after_help = GET)]
pub struct GetArgs {
    /// pods, nodes, pods,nodes or all, and names of some of them; or pod/NAME, node/NAME; or events
    #[arg(required = true, value_name = "KIND|KIND/NAME")]
    pub what: Vec<String>,
    /// Those with labels: app=web, app!=web, "app in (web, api)", "!app", several with commas between them
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<Selector>,
    /// How to print: wide, json, yaml, name, or jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Print each again when it changes, until Ctrl-C or the end of those that are named; as JSON each is a line
    #[arg(short, long)]
    pub watch: bool,
    /// A column with the labels
    #[arg(long)]
    pub show_labels: bool,
    /// A table without its headings
    #[arg(long)]
    pub no_headers: bool,
}

const GET: &str = "\
Examples:
  lab get pods -o wide
  lab get pods -l app=web -w
  lab get pod/web -o jsonpath={.status.podIP}
  lab get pods -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'
  lab get pods,nodes
  lab get events";

/// How objects are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with addresses and nodes.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// KIND/NAME.
    Name,
    /// What a template says.
    JsonPath(Template),
}

impl FromStr for Format {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            None => match text {
                "wide" => Ok(Self::Wide),
                "json" => Ok(Self::Json),
                "yaml" => Ok(Self::Yaml),
                "name" => Ok(Self::Name),
                _ => bail!(
                    "{text:?} is no form: give wide, json, yaml, name or jsonpath={{.items[*].metadata.name}}"
                ),
            },
            Some(("jsonpath", template)) => Ok(Self::JsonPath(template.parse()?)),
            Some((word, _)) => bail!("{word:?} takes no template: give jsonpath=TEMPLATE"),
        }
    }
}

/// `lab describe`
#[derive(Debug, Args)]
#[command(after_help = "Examples: lab describe pod web, lab describe node n1")]
pub struct DescribeArgs {
    /// pods, nodes or pods,nodes, and names of some of them; or pod/NAME, node/NAME
    #[arg(required = true, value_name = "KIND|KIND/NAME")]
    pub what: Vec<String>,
    /// Those with labels, as with `lab get`
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<Selector>,
}

/// `lab events`
#[derive(Debug, Args)]
#[command(after_help = "Examples: lab events --watch, lab events --for pod/web")]
pub struct EventsArgs {
    /// Those of one pod: pod/NAME or NAME
    #[arg(long = "for", value_name = "POD", value_parser = super::selection::pod_name)]
    pub pod: Option<Name>,
    /// Go on with those to come until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// How to print; as JSON each event is a line of its own with --watch
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `lab logs`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: lab logs -f web, lab logs web -c main --previous, lab logs -l app=web --prefix --since 5m"
)]
pub struct LogsArgs {
    /// The pod: NAME or pod/NAME
    #[arg(required_unless_present = "selector")]
    pub pod: Vec<String>,
    /// Those of all pods with labels, as with `lab get`
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<Selector>,
    /// The container [default: the pod's first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Those of all containers, init containers first
    #[arg(long, conflicts_with = "container")]
    pub all_containers: bool,
    /// Go on with what they print until they end
    #[arg(short, long)]
    pub follow: bool,
    /// Of the start before the last one
    #[arg(short, long)]
    pub previous: bool,
    /// The last lines alone; -1 is all [default: all, or with --selector 10 of each pod]
    #[arg(long, value_name = "LINES", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    pub tail: Option<i64>,
    /// What was printed so long ago at most (5s, 2m, 3h)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// What was printed since then (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "since")]
    pub since_time: Option<SystemTime>,
    /// Before each line, when it was printed
    #[arg(long)]
    pub timestamps: bool,
    /// Before each line, whose it is: [pod/NAME/CONTAINER]
    #[arg(long)]
    pub prefix: bool,
}

/// `lab exec`
#[derive(Debug, Args)]
#[command(after_help = "Example: lab exec -it web -- sh")]
pub struct ExecArgs {
    /// The pod, or pod/NAME
    #[arg(value_parser = super::selection::pod_name)]
    pub pod: Name,
    /// The container [default: the pod's first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Give the program standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the program a terminal of its own, operated from the caller's; usually with -i
    #[arg(short, long)]
    pub tty: bool,
    /// Program and arguments
    #[arg(required = true, last = true)]
    pub command: Vec<String>,
}

/// `lab debug`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: lab debug -it web, lab debug web --target web -- ps ax, lab debug web -- ss -tln"
)]
pub struct DebugArgs {
    /// The pod, or pod/NAME
    #[arg(value_parser = super::selection::pod_name)]
    pub pod: Name,
    /// An image that `lab image load` loaded, or the path of an unpacked one [default: a view of the machine's own
    /// root]
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// The container of the pod whose processes are seen [default: the pod's with shareProcessNamespace, else none]
    #[arg(long, value_name = "CONTAINER")]
    pub target: Option<String>,
    /// Give the program standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the program a terminal of its own, operated from the caller's; with -i
    #[arg(short, long, requires = "stdin")]
    pub tty: bool,
    /// Program and arguments
    #[arg(last = true, default_value = "sh")]
    pub command: Vec<String>,
}

/// `lab debugger`, which is started by `lab debug`
#[derive(Debug, Args)]
pub struct DebuggerArgs {
    /// Who started it
    pub pid: u32,
    /// When that was started
    pub start_time: u64,
    /// What was asked for
    #[command(flatten)]
    pub args: DebugArgs,
}

/// `lab cp`
#[derive(Debug, Args)]
#[command(after_help = "Examples: lab cp page.html web:/www/, lab cp web:/etc/hosts hosts")]
pub struct CpArgs {
    /// A file or directory here, or POD:PATH in a container
    pub from: Place,
    /// A path in a container, POD:PATH, or here; in a directory that is there, the file keeps its name
    pub to: Place,
    /// The container [default: the pod's first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
}

/// `lab delete`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: lab delete pod web, lab delete pods -l app=web --now, lab delete -f FILE"
)]
pub struct DeleteArgs {
    /// pod and names; or pod/NAME
    #[arg(value_name = "KIND|KIND/NAME", required_unless_present = "filename")]
    pub what: Vec<String>,
    /// The pods of manifests, as with `lab apply`
    #[arg(short, long, value_name = "FILE", conflicts_with = "what")]
    pub filename: Vec<PathBuf>,
    /// All pods
    #[arg(long, conflicts_with = "filename")]
    pub all: bool,
    /// Those with labels, as with `lab get`
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "filename")]
    pub selector: Option<Selector>,
    /// Seconds from SIGTERM to SIGKILL; 0 is at once [default: the pod's own]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub grace_period: Option<u32>,
    /// The same as --grace-period 1
    #[arg(long, conflicts_with = "grace_period")]
    pub now: bool,
    /// A pod that is not there is fine
    #[arg(long)]
    pub ignore_not_found: bool,
}

/// `lab wait`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: lab wait pod/web --for=condition=Ready, lab wait pods --all --for=delete --timeout=1m"
)]
pub struct WaitArgs {
    /// pod and names; or pod/NAME
    #[arg(required = true, value_name = "KIND|KIND/NAME")]
    pub what: Vec<String>,
    /// condition=Ready, condition=Initialized=false, delete, jsonpath={.status.phase}=Succeeded
    #[arg(long = "for", value_name = "GOAL")]
    pub goal: Goal,
    /// All pods
    #[arg(long)]
    pub all: bool,
    /// Those with labels, as with `lab get`
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<Selector>,
    /// How long at most (10s, 5m); 0 looks once
    #[arg(long, default_value = "30s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

fn parse_timeout(text: &str) -> Result<Duration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let timeout = parse_duration(text)?;
    Instant::now()
        .checked_add(timeout)
        .with_context(|| format!("{text} is longer than clocks count: give 10s or 5m"))?;
    Ok(timeout)
}

fn parse_duration(text: &str) -> Result<Duration> {
    humantime::parse_duration(text)
        .with_context(|| format!("{text:?} is not a length of time: give 10s or 5m"))
}

/// A time of day with a zone (RFC 3339).
fn parse_time(text: &str) -> Result<SystemTime> {
    let time = in_zone(text).and_then(|(local, east)| {
        let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
        let offset = Duration::from_secs(60 * u64::from(east.unsigned_abs()));
        match east {
            0.. => time.checked_sub(offset),
            _ => time.checked_add(offset),
        }
    });
    time.with_context(|| format!("{text:?} is not a time: give 2026-01-31T12:00:00Z"))
}

/// A time without its zone, and the zone's minutes east of UTC.
fn in_zone(text: &str) -> Option<(&str, i32)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, 0));
    }
    let at = text.len().checked_sub("+00:00".len())?;
    let (local, zone) = text.split_at_checked(at)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let [hours, minutes]: [u8; 2] = [hours.parse().ok()?, minutes.parse().ok()?];
    let east = i32::from(hours) * 60 + i32::from(minutes);
    match zone.as_bytes() {
        [b'+', ..] if minutes < 60 && hours < 24 => Some((local, east)),
        [b'-', ..] if minutes < 60 && hours < 24 => Some((local, -east)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn lengths_of_time_that_end() {
        assert_eq!(parse_timeout("0").unwrap(), Duration::ZERO);
        assert_eq!(parse_timeout("5m").unwrap(), Duration::from_secs(300));
        for (text, words) in [
            ("5", "is not a length of time"),
            ("400000000000y", "is longer than clocks count"),
        ] {
            let error = parse_timeout(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

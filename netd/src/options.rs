//! The command line: flanneld's flag names with one or two dashes, then its environment
//! variables (`FLANNELD_<FLAG>`), then defaults.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cluster::AnnotationKeys;
use vxlan_backend::ChecksumOffload;

use crate::commands;
use crate::endpoint;
use crate::flags::{Action, FLAGS, Flag};
use crate::log::LogFormat;

/// Where leases live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// An etcd cluster, shared with flannel's nodes.
    Etcd,
    /// A directory on this machine.
    Dir,
    /// The nodes of a Kubernetes cluster, shared with flannel's.
    Kube,
}

/// How a Kubernetes cluster is reached. Empty strings mean "not given".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeOptions {
    /// URL of the API server.
    pub api_url: String,
    /// File with credentials; the pod's own without one.
    pub kubeconfig: PathBuf,
    /// Keys of annotations.
    pub annotations: AnnotationKeys,
    /// Whether the node's condition NetworkUnavailable is written: cleared when the network works.
    pub set_network_unavailable: bool,
    /// It is set when the node was not ready for so long; never, without.
    pub network_unavailable_after: Option<Duration>,
    /// This node's name (`NODE_NAME`).
    pub node_name: String,
    /// The pod that the daemon runs in (`POD_NAME`), by which the node is found else.
    pub pod_name: String,
    /// Its namespace (`POD_NAMESPACE`).
    pub pod_namespace: String,
}

impl KubeOptions {
    /// What is never cleared must not be set.
    fn check(&self) -> Result<(), OptionsError> {
        match self.network_unavailable_after {
            Some(after) if !self.set_network_unavailable => Err(OptionsError::BadValue {
                origin: format!("-{NETWORK_UNAVAILABLE_AFTER}"),
                value: humantime::format_duration(after).to_string(),
                expected: "give 0s, or leave out -set-node-network-unavailable=false, with which netd does \
                           not write the condition"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// How etcd is reached. Empty strings mean "not given".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdOptions {
    /// URLs of the cluster's members.
    pub endpoints: Vec<String>,
    /// Directory of all keys.
    pub prefix: String,
    /// Client key, PEM. TLS is used only when both key and certificate are given, as flannel does.
    pub keyfile: String,
    /// Client certificate, PEM.
    pub certfile: String,
    /// Certificate authority of the servers, PEM.
    pub cafile: String,
    /// User name; with an empty one no password is sent.
    pub username: String,
    /// Password of `username`.
    pub password: String,
}

/// Everything that the command line and the environment decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which store.
    pub store: StoreKind,
    /// Directory of the store `dir`.
    pub store_dir: PathBuf,
    /// Access to the store `etcd`.
    pub etcd: EtcdOptions,
    /// Access to the store `kube`.
    pub kube: KubeOptions,
    /// File with the network configuration of the store `kube`.
    pub net_config: PathBuf,
    /// How long a lease lives without renewal.
    pub lease_ttl: Duration,
    /// A lease is renewed when this much of it remains.
    pub renew_margin: Duration,
    /// External interface by name or address; the first that exists wins.
    pub iface: Vec<String>,
    /// External interface by regular expression; after all of `iface`.
    pub iface_regex: Vec<String>,
    /// External interface by route lookup; last.
    pub iface_can_reach: Option<IpAddr>,
    /// Advertised IPv4 address; the interface's own when absent.
    pub public_ip: Option<Ipv4Addr>,
    /// Advertised IPv6 address; the interface's own when absent.
    pub public_ipv6: Option<Ipv6Addr>,
    /// Where `subnet.env` is written.
    pub subnet_file: PathBuf,
    /// Where this node's WireGuard key is kept.
    pub wireguard_key_file: PathBuf,
    /// Where the key is that all nodes share, if it is not in the network config.
    pub wireguard_psk_file: Option<PathBuf>,
    /// Who computes the checksums of packets in a VXLAN tunnel.
    pub vxlan_checksum_offload: ChecksumOffload,
    /// Masquerade traffic that leaves the pod network.
    pub ip_masq: bool,
    /// Let the kernel choose source ports at random when it masquerades.
    pub random_fully: bool,
    /// Accept forwarded traffic of the pod network.
    pub forward_rules: bool,
    /// Drop packets to the node's own subnet for which no other route is better.
    pub blackhole_route: bool,
    /// How often the rules are compared.
    pub iptables_resync: Duration,
    /// Address of the health listener.
    pub healthz_ip: IpAddr,
    /// Port of the health listener; 0 is off.
    pub healthz_port: u16,
    /// Socket on which `/status` and the other pages are always served; empty is off.
    pub status_socket: PathBuf,
    /// Serve all pages on the health listener to everybody.
    pub status_tcp: bool,
    /// From probe to probe of one peer; none is off.
    pub probe_interval: Duration,
    /// UDP port of the probes.
    pub probe_port: u16,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Log level: 0 information, 2 debug, 4 and more trace.
    pub verbosity: u32,
}

/// Of probes: more often they would be a load.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// What the process was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon.
    Run(Box<Options>),
    /// Print what a running daemon says of itself.
    Status(commands::Status),
    /// Say what is wrong with a network configuration.
    CheckConfig(commands::CheckConfig),
    /// Remove what was left on this node.
    Cleanup(commands::Cleanup),
    /// Say what is wrong with this node.
    Doctor(commands::Doctor),
    /// Carry packets for the netd that started this.
    Forward,
    /// Print the flags.
    Help,
    /// Print what a command does, and its flags.
    HelpOf(String),
    /// Print the version.
    Version,
}

/// Why a command line is refused, in one line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionsError {
    /// No such flag.
    #[error("flag provided but not defined: -{}", .0.escape_debug())]
    Unknown(String),
    /// A flag without its value.
    #[error("flag needs a value: -{0}")]
    MissingValue(String),
    /// A value of the wrong form.
    #[error("invalid value {value:?} for {origin}: {expected}")]
    BadValue {
        origin: String,
        value: String,
        expected: String,
    },
    /// Something that is not a flag.
    #[error("unexpected argument {0:?}: give flags, or first of all a command; see `netd --help`")]
    Argument(String),
    /// `check-config` without a file.
    #[error("check-config needs a file: give its path, or - for the standard input")]
    MissingFile,
    /// A flag of flannel's that netd does not serve yet.
    #[error("not supported yet: {origin}={}: {why}", value.escape_debug())]
    Unsupported {
        origin: String,
        value: String,
        why: &'static str,
    },
    /// A URL of etcd's.
    #[error("{origin}: {source}")]
    Endpoint {
        origin: String,
        source: endpoint::EndpointError,
    },
}

impl OptionsError {
    /// Exit status: 2 for a command line that cannot be read, 3 for what is not served yet.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unsupported { .. } => 3,
            _ => 2,
        }
    }
}

impl Options {
    /// Before any flag is read, also those that were not given.
    pub(crate) fn blank() -> Self {
        Self {
            store: StoreKind::Etcd,
            store_dir: PathBuf::new(),
            etcd: EtcdOptions {
                endpoints: Vec::new(),
                prefix: String::new(),
                keyfile: String::new(),
                certfile: String::new(),
                cafile: String::new(),
                username: String::new(),
                password: String::new(),
            },
            kube: KubeOptions {
                api_url: String::new(),
                kubeconfig: PathBuf::new(),
                annotations: AnnotationKeys::default(),
                set_network_unavailable: false,
                network_unavailable_after: None,
                node_name: String::new(),
                pod_name: String::new(),
                pod_namespace: String::new(),
            },
            net_config: PathBuf::new(),
            lease_ttl: Duration::ZERO,
            renew_margin: Duration::ZERO,
            iface: Vec::new(),
            iface_regex: Vec::new(),
            iface_can_reach: None,
            public_ip: None,
            public_ipv6: None,
            subnet_file: PathBuf::new(),
            wireguard_key_file: PathBuf::new(),
            wireguard_psk_file: None,
            vxlan_checksum_offload: ChecksumOffload::Auto,
            ip_masq: false,
            random_fully: false,
            forward_rules: false,
            blackhole_route: false,
            iptables_resync: Duration::ZERO,
            healthz_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            healthz_port: 0,
            status_socket: PathBuf::new(),
            status_tcp: false,
            probe_interval: Duration::ZERO,
            probe_port: 0,
            log_format: LogFormat::Text,
            verbosity: 0,
        }
    }

    /// Whether nobody said where etcd is.
    pub fn has_default_endpoints(&self) -> bool {
        let flag = FLAGS.iter().find(|flag| flag.name == ENDPOINTS);
        let default = flag.map_or("", |flag| flag.default);
        self.store == StoreKind::Etcd && self.etcd.endpoints.iter().eq(default.split(','))
    }
}

/// Where a running netd answers unless told otherwise.
pub const STATUS_SOCKET: &str = "/run/podwire/netd.sock";
/// The flag that says where etcd is.
pub const ENDPOINTS: &str = "etcd-endpoints";
/// The flag that says when the cluster hears that the node's network fails.
pub const NETWORK_UNAVAILABLE_AFTER: &str = "kube-network-unavailable-after";
/// The flag that says where the WireGuard key is.
pub const WIREGUARD_KEY_FILE: &str = "wireguard-key-file";

/// Reads the command line (without the program's name) and the environment.
pub fn parse(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, OptionsError> {
    if let Some(parsed) = commands::parse(arguments, environment) {
        return parsed;
    }
    let given = split(arguments)?;
    let is = |action: fn(&Action) -> bool| given.iter().find(|(flag, _)| action(&flag.action));
    if is(|action| matches!(action, Action::Help)).is_some() {
        return Ok(Command::Help);
    }
    let version = is(|action| matches!(action, Action::Version));
    if version.is_some_and(|(_, value)| Given::new("-version", value).bool() != Ok(false)) {
        return Ok(Command::Version);
    }
    Ok(Command::Run(Box::new(from(&given, environment)?)))
}

/// The daemon's flags alone, for commands that have them.
pub(crate) fn daemon(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Options, OptionsError> {
    from(&split(arguments)?, environment)
}

fn from(
    given: &[(&'static Flag, String)],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Options, OptionsError> {
    let mut options = Options::blank();
    for flag in FLAGS {
        let mut values: Vec<(String, String)> = given
            .iter()
            .filter(|(named, _)| named.name == flag.name)
            .map(|(_, value)| (format!("-{}", flag.name), value.clone()))
            .collect();
        if values.is_empty() {
            let given = |variable: String| {
                let value = environment(&variable).filter(|value| !value.is_empty())?;
                Some((variable, value))
            };
            values.extend(variables(flag.name).into_iter().find_map(given));
        }
        if values.is_empty() && !flag.default.is_empty() {
            values.push((format!("-{}", flag.name), flag.default.to_owned()));
        }
        for (origin, value) in values {
            apply(&mut options, flag, Given::new(&origin, &value))?;
        }
    }
    let said = |name: &str| environment(name).unwrap_or_default();
    options.kube.node_name = said("NODE_NAME");
    options.kube.pod_name = said("POD_NAME");
    options.kube.pod_namespace = said("POD_NAMESPACE");
    if options.store == StoreKind::Kube && !cfg!(feature = "kube") {
        return Err(OptionsError::Unsupported {
            origin: "-kube-subnet-mgr".to_owned(),
            value: "true".to_owned(),
            why: "this netd was built without the feature kube",
        });
    }
    options.kube.check()?;
    Ok(options)
}

/// `FLANNELD_IP_MASQ` for `ip-masq`; flannel knows the WireGuard key's file by a variable alone,
/// without the prefix.
fn variables(flag: &str) -> Vec<String> {
    let name = flag.to_ascii_uppercase().replace('-', "_");
    let mut variables = vec![format!("FLANNELD_{name}")];
    variables.extend(Some(name).filter(|_| flag == WIREGUARD_KEY_FILE));
    variables
}

/// Pairs each flag with its value, as Go's flag package reads a command line.
fn split(arguments: &[String]) -> Result<Vec<(&'static Flag, String)>, OptionsError> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(name) = argument
            .strip_prefix("--")
            .or_else(|| argument.strip_prefix('-'))
        else {
            return Err(OptionsError::Argument(argument.clone()));
        };
        let (name, inline) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let flag = FLAGS
            .iter()
            .find(|flag| flag.name == name || (matches!(flag.action, Action::Help) && name == "h"))
            .ok_or_else(|| OptionsError::Unknown(name.to_owned()))?;
        let value = match (inline, flag.is_switch()) {
            (Some(value), _) => value,
            (None, true) => "true".to_owned(),
            (None, false) => rest
                .next()
                .cloned()
                .ok_or_else(|| OptionsError::MissingValue(name.to_owned()))?,
        };
        given.push((flag, value));
    }
    Ok(given)
}

fn apply(options: &mut Options, flag: &Flag, given: Given<'_>) -> Result<(), OptionsError> {
    match flag.action {
        Action::Value(set) => set(options, &given),
        Action::Bool(set) => {
            set(options, given.bool()?);
            Ok(())
        }
        Action::NotYetValue(why) => match given.value == flag.default {
            true => Ok(()),
            false => Err(given.unsupported(why)),
        },
        Action::NotYetBool(why) => match given.bool()? == (flag.default == "true") {
            true => Ok(()),
            false => Err(given.unsupported(why)),
        },
        Action::Help | Action::Version => Ok(()),
    }
}

/// A value, and where it was given: `-iface` or `FLANNELD_IFACE`.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    origin: &'a str,
    value: &'a str,
}

impl<'a> Given<'a> {
    /// `origin` is for messages.
    pub fn new(origin: &'a str, value: &'a str) -> Self {
        Self { origin, value }
    }

    fn bad(&self, expected: &str) -> OptionsError {
        OptionsError::BadValue {
            origin: self.origin.to_owned(),
            value: self.value.to_owned(),
            expected: expected.to_owned(),
        }
    }

    fn unsupported(&self, why: &'static str) -> OptionsError {
        OptionsError::Unsupported {
            origin: self.origin.to_owned(),
            value: self.value.to_owned(),
            why,
        }
    }

    /// As it is.
    pub fn text(&self) -> Result<String, OptionsError> {
        Ok(self.value.to_owned())
    }

    /// A number, an address, or the like.
    pub fn number<T: FromStr>(&self, expected: &str) -> Result<T, OptionsError> {
        self.value.parse().map_err(|_| self.bad(expected))
    }

    /// An empty path would be the working directory, whichever that is.
    pub fn path(&self) -> Result<PathBuf, OptionsError> {
        match self.value.is_empty() {
            true => Err(self.bad("give a path")),
            false => Ok(PathBuf::from(self.value)),
        }
    }

    /// An empty value is "not given".
    pub fn address<T: FromStr>(&self) -> Result<Option<T>, OptionsError> {
        match self.value.is_empty() {
            true => Ok(None),
            false => self
                .number("give an IP address of the right family")
                .map(Some),
        }
    }

    /// The spellings of Go's `strconv.ParseBool`.
    pub(crate) fn bool(&self) -> Result<bool, OptionsError> {
        match self.value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(self.bad("give true or false")),
        }
    }

    pub(crate) fn is_json(&self) -> Result<bool, OptionsError> {
        match self.value {
            "json" => Ok(true),
            "text" => Ok(false),
            _ => Err(self.bad("give text or json")),
        }
    }

    /// How the log is written.
    pub fn log_format(&self) -> Result<LogFormat, OptionsError> {
        self.value
            .parse()
            .map_err(|_| self.bad("give text or json"))
    }

    /// The store's kind.
    pub fn store(&self) -> Result<StoreKind, OptionsError> {
        match self.value {
            "etcd" => Ok(StoreKind::Etcd),
            "dir" => Ok(StoreKind::Dir),
            "kube" => Ok(StoreKind::Kube),
            _ => Err(self.bad("give etcd, dir or kube")),
        }
    }

    /// Who computes checksums.
    pub fn checksum_offload(&self) -> Result<ChecksumOffload, OptionsError> {
        match self.value {
            "auto" => Ok(ChecksumOffload::Auto),
            "on" => Ok(ChecksumOffload::On),
            "off" => Ok(ChecksumOffload::Off),
            _ => Err(self.bad("give auto, on or off")),
        }
    }

    /// The prefix of a node's annotations.
    pub fn annotations(&self) -> Result<AnnotationKeys, OptionsError> {
        AnnotationKeys::new(self.value).map_err(|_| {
            self.bad(
                "give a domain with a dot, and behind a slash a word if need be, all in lower case, as \
                 in flannel.alpha.coreos.com or example.com/net",
            )
        })
    }

    /// A comma list of URLs.
    pub fn endpoints(&self) -> Result<Vec<String>, OptionsError> {
        let endpoints: Vec<String> = self
            .value
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(str::to_owned)
            .collect();
        if endpoints.is_empty() {
            return Err(self.bad("give at least one URL"));
        }
        for text in &endpoints {
            endpoint::check(text).map_err(|source| OptionsError::Endpoint {
                origin: self.origin.to_owned(),
                source,
            })?;
        }
        Ok(endpoints)
    }

    /// Seconds between comparisons.
    pub fn resync(&self) -> Result<Duration, OptionsError> {
        let seconds: u64 = self.number("give seconds, 1 or more")?;
        match seconds {
            0 => Err(self.bad("give seconds, 1 or more")),
            _ => Ok(Duration::from_secs(seconds)),
        }
    }

    /// Flannel's rule for the renewal margin.
    pub fn margin(&self) -> Result<Duration, OptionsError> {
        let expected = "give 1 to 1439 minutes";
        let minutes: u64 = self.number(expected)?;
        match minutes {
            1..=1439 => Ok(Duration::from_secs(minutes * 60)),
            _ => Err(self.bad(expected)),
        }
    }

    /// From probe to probe; none is off.
    pub fn interval(&self) -> Result<Duration, OptionsError> {
        match humantime::parse_duration(self.value) {
            Ok(interval) if interval.is_zero() || interval >= SHORTEST_INTERVAL => Ok(interval),
            _ => Err(self.bad("give a duration of at least 100ms, such as 5s, or 0s")),
        }
    }

    /// A time to wait; none is for ever.
    pub fn patience(&self) -> Result<Option<Duration>, OptionsError> {
        match humantime::parse_duration(self.value) {
            Ok(none) if none.is_zero() => Ok(None),
            Ok(patience) if patience >= Duration::from_secs(1) => Ok(Some(patience)),
            _ => Err(self.bad("give a duration of at least 1s, such as 5m, or 0s")),
        }
    }

    /// A lease's life.
    pub fn ttl(&self) -> Result<Duration, OptionsError> {
        let expected = "give a duration of at least 1s, such as 24h, 90s or 1m30s";
        match humantime::parse_duration(self.value) {
            Ok(ttl) if ttl >= Duration::from_secs(1) => Ok(ttl),
            _ => Err(self.bad(expected)),
        }
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;

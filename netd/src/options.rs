//! The command line: flanneld's flag names with one or two dashes, then its environment
//! variables (`FLANNELD_<FLAG>`), then defaults.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::endpoint;
use crate::flags::{FLAGS, Flag, Kind, Support};

/// Where leases live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// An etcd cluster, shared with flannel's nodes.
    Etcd,
    /// A directory on this machine.
    Dir,
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
    /// Masquerade traffic that leaves the pod network.
    pub ip_masq: bool,
    /// Let the kernel choose source ports at random when it masquerades.
    pub random_fully: bool,
    /// Accept forwarded traffic of the pod network.
    pub forward_rules: bool,
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
    /// Log level: 0 information, 2 debug, 4 and more trace.
    pub verbosity: u32,
}

/// What the process was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon.
    Run(Box<Options>),
    /// Print what a running daemon says of itself.
    Status {
        /// The daemon's socket.
        socket: PathBuf,
        /// JSON instead of text.
        json: bool,
    },
    /// Print the flags.
    Help,
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
    #[error("unexpected argument {0:?}: give flags, or the command `status`")]
    Argument(String),
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
    /// Flannel's rule for the renewal margin.
    #[error("subnet-lease-renew-margin {minutes} is out of range: give 1 to 1439 minutes")]
    Margin { minutes: i64 },
}

impl OptionsError {
    /// Exit status: 2 for a command line that cannot be read, 3 for what is not served yet,
    /// 1 for a margin out of range (as flannel).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Margin { .. } => 1,
            Self::Unsupported { .. } => 3,
            _ => 2,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            store: StoreKind::Etcd,
            store_dir: PathBuf::from("/var/lib/podwire/store"),
            etcd: EtcdOptions {
                endpoints: vec![
                    "http://127.0.0.1:4001".to_owned(),
                    "http://127.0.0.1:2379".to_owned(),
                ],
                prefix: "/coreos.com/network".to_owned(),
                keyfile: String::new(),
                certfile: String::new(),
                cafile: String::new(),
                username: String::new(),
                password: String::new(),
            },
            lease_ttl: Duration::from_secs(24 * 3600),
            renew_margin: Duration::from_secs(3600),
            iface: Vec::new(),
            iface_regex: Vec::new(),
            iface_can_reach: None,
            public_ip: None,
            public_ipv6: None,
            subnet_file: PathBuf::from("/run/flannel/subnet.env"),
            ip_masq: false,
            random_fully: true,
            forward_rules: true,
            iptables_resync: Duration::from_secs(5),
            healthz_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            healthz_port: 0,
            status_socket: PathBuf::from(STATUS_SOCKET),
            status_tcp: false,
            verbosity: 0,
        }
    }
}

/// Where a running netd answers unless told otherwise.
pub const STATUS_SOCKET: &str = "/run/podwire/netd.sock";

/// Reads the command line (without the program's name) and the environment.
pub fn parse(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, OptionsError> {
    if arguments.first().is_some_and(|first| first == "status") {
        return parse_status(&arguments[1..]);
    }
    let given = split(arguments)?;
    if given.iter().any(|(flag, _)| flag.kind == Kind::Help) {
        return Ok(Command::Help);
    }
    let asks_version = |(flag, value): &(&Flag, String)| {
        flag.kind == Kind::Version && parse_bool("-version", value) != Ok(false)
    };
    if given.iter().any(asks_version) {
        return Ok(Command::Version);
    }
    let mut options = Options::default();
    for flag in FLAGS {
        let mut values: Vec<(String, String)> = given
            .iter()
            .filter(|(named, _)| named.name == flag.name)
            .map(|(_, value)| (format!("-{}", flag.name), value.clone()))
            .collect();
        if values.is_empty() {
            let variable = variable(flag.name);
            let value = environment(&variable).filter(|value| !value.is_empty());
            values.extend(value.map(|value| (variable, value)));
        }
        for (origin, value) in values {
            apply(&mut options, flag, &origin, &value)?;
        }
    }
    Ok(Command::Run(Box::new(options)))
}

/// `FLANNELD_IP_MASQ` for `ip-masq`.
fn variable(flag: &str) -> String {
    format!("FLANNELD_{}", flag.to_ascii_uppercase().replace('-', "_"))
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
            .find(|flag| flag.name == name || (flag.kind == Kind::Help && name == "h"))
            .ok_or_else(|| OptionsError::Unknown(name.to_owned()))?;
        let value = match (inline, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Bool | Kind::Help | Kind::Version) => "true".to_owned(),
            (None, Kind::Value) => rest
                .next()
                .cloned()
                .ok_or_else(|| OptionsError::MissingValue(name.to_owned()))?,
        };
        given.push((flag, value));
    }
    Ok(given)
}

/// `status [-socket PATH] [--output json|text]`.
fn parse_status(arguments: &[String]) -> Result<Command, OptionsError> {
    let mut socket = PathBuf::from(STATUS_SOCKET);
    let mut json = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let name = argument.trim_start_matches('-');
        if name == argument {
            return Err(OptionsError::Argument(argument.clone()));
        }
        let (name, inline) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if matches!(name, "help" | "h") {
            return Ok(Command::Help);
        }
        if !matches!(name, "output" | "o" | "status-socket") {
            return Err(OptionsError::Unknown(name.to_owned()));
        }
        let value = inline
            .or_else(|| rest.next().cloned())
            .ok_or_else(|| OptionsError::MissingValue(name.to_owned()))?;
        match (name, value.as_str()) {
            ("status-socket", path) => socket = PathBuf::from(path),
            (_, "json") => json = true,
            (_, "text") => json = false,
            (_, _) => return Err(bad("-output", &value, "give text or json")),
        }
    }
    Ok(Command::Status { socket, json })
}

fn apply(
    options: &mut Options,
    flag: &Flag,
    origin: &str,
    value: &str,
) -> Result<(), OptionsError> {
    if let Support::NotYet(why) = flag.support {
        let unset = value == flag.default
            || (flag.kind == Kind::Bool && parse_bool(origin, value)? == (flag.default == "true"));
        return match unset {
            true => Ok(()),
            false => Err(OptionsError::Unsupported {
                origin: origin.to_owned(),
                value: value.to_owned(),
                why,
            }),
        };
    }
    match flag.name {
        "store" => options.store = parse_store(origin, value)?,
        "store-dir" => options.store_dir = parse_path(origin, value)?,
        "lease-ttl" => options.lease_ttl = parse_ttl(origin, value)?,
        "etcd-endpoints" => options.etcd.endpoints = parse_endpoints(origin, value)?,
        "etcd-prefix" => options.etcd.prefix = value.to_owned(),
        "etcd-keyfile" => options.etcd.keyfile = value.to_owned(),
        "etcd-certfile" => options.etcd.certfile = value.to_owned(),
        "etcd-cafile" => options.etcd.cafile = value.to_owned(),
        "etcd-username" => options.etcd.username = value.to_owned(),
        "etcd-password" => options.etcd.password = value.to_owned(),
        "iface" => options.iface.push(value.to_owned()),
        "iface-regex" => options.iface_regex.push(value.to_owned()),
        "iface-can-reach" => options.iface_can_reach = parse_address(origin, value)?,
        "public-ip" => options.public_ip = parse_address(origin, value)?,
        "public-ipv6" => options.public_ipv6 = parse_address(origin, value)?,
        "subnet-file" => options.subnet_file = parse_path(origin, value)?,
        "subnet-lease-renew-margin" => options.renew_margin = parse_margin(origin, value)?,
        "ip-masq" => options.ip_masq = parse_bool(origin, value)?,
        "ip-masq-fully-random-disable" => options.random_fully = !parse_bool(origin, value)?,
        "iptables-forward-rules" => options.forward_rules = parse_bool(origin, value)?,
        "iptables-resync" => options.iptables_resync = parse_resync(origin, value)?,
        "healthz-ip" => options.healthz_ip = parse_number(origin, value, "give an IP address")?,
        "healthz-port" => options.healthz_port = parse_number(origin, value, "give 0 to 65535")?,
        "status-socket" => options.status_socket = PathBuf::from(value),
        "status-tcp" => options.status_tcp = parse_bool(origin, value)?,
        "v" => options.verbosity = parse_number(origin, value, "give a number")?,
        _ => {}
    }
    Ok(())
}

fn bad(origin: &str, value: &str, expected: &str) -> OptionsError {
    OptionsError::BadValue {
        origin: origin.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

fn parse_number<T: FromStr>(origin: &str, value: &str, expected: &str) -> Result<T, OptionsError> {
    value.parse().map_err(|_| bad(origin, value, expected))
}

/// An empty path would be the working directory, whichever that is.
fn parse_path(origin: &str, value: &str) -> Result<PathBuf, OptionsError> {
    match value.is_empty() {
        true => Err(bad(origin, value, "give a path")),
        false => Ok(PathBuf::from(value)),
    }
}

/// An empty value is "not given".
fn parse_address<T: FromStr>(origin: &str, value: &str) -> Result<Option<T>, OptionsError> {
    if value.is_empty() {
        return Ok(None);
    }
    parse_number(origin, value, "give an IP address of the right family").map(Some)
}

/// The spellings of Go's `strconv.ParseBool`.
fn parse_bool(origin: &str, value: &str) -> Result<bool, OptionsError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(origin, value, "give true or false")),
    }
}

fn parse_store(origin: &str, value: &str) -> Result<StoreKind, OptionsError> {
    match value {
        "etcd" => Ok(StoreKind::Etcd),
        "dir" => Ok(StoreKind::Dir),
        _ => Err(bad(origin, value, "give etcd or dir")),
    }
}

fn parse_endpoints(origin: &str, value: &str) -> Result<Vec<String>, OptionsError> {
    let endpoints: Vec<String> = value
        .split(',')
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .map(str::to_owned)
        .collect();
    if endpoints.is_empty() {
        return Err(bad(origin, value, "give at least one URL"));
    }
    for text in &endpoints {
        endpoint::check(text).map_err(|source| OptionsError::Endpoint {
            origin: origin.to_owned(),
            source,
        })?;
    }
    Ok(endpoints)
}

fn parse_resync(origin: &str, value: &str) -> Result<Duration, OptionsError> {
    let seconds: u64 = parse_number(origin, value, "give seconds, 1 or more")?;
    match seconds {
        0 => Err(bad(origin, value, "give seconds, 1 or more")),
        _ => Ok(Duration::from_secs(seconds)),
    }
}

fn parse_margin(origin: &str, value: &str) -> Result<Duration, OptionsError> {
    let minutes: i64 = parse_number(origin, value, "give minutes, 1 to 1439")?;
    match u64::try_from(minutes) {
        Ok(valid @ 1..=1439) => Ok(Duration::from_secs(valid * 60)),
        _ => Err(OptionsError::Margin { minutes }),
    }
}

fn parse_ttl(origin: &str, value: &str) -> Result<Duration, OptionsError> {
    let expected = "give a duration of at least 1s, such as 24h, 90s or 1m30s";
    let ttl = parse_duration(value).ok_or_else(|| bad(origin, value, expected))?;
    match ttl >= Duration::from_secs(1) {
        true => Ok(ttl),
        false => Err(bad(origin, value, expected)),
    }
}

/// `1h2m3s4ms`: whole numbers with units, largest first or not.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_len] {
            "h" => Duration::from_secs(3600),
            "m" => Duration::from_secs(60),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[unit_len..];
    }
    Some(total)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;

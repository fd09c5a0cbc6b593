//! The table of flags: every one that flanneld has, and netd's own.

use std::num::NonZeroU16;

use crate::options::{
    ENDPOINTS, Given, NETWORK_UNAVAILABLE_AFTER, Options, OptionsError, StoreKind,
    WIREGUARD_KEY_FILE,
};

/// What a flag does.
#[derive(Clone, Copy)]
pub enum Action {
    /// `-flag value` or `-flag=value` sets an option.
    Value(Set),
    /// `-flag`, `-flag=true` or `-flag=false` sets one.
    Bool(SetBool),
    /// A flag of flannel's with a value, not served yet: only its default is accepted.
    NotYetValue(&'static str),
    /// The same without a value.
    NotYetBool(&'static str),
    /// Prints the flags.
    Help,
    /// Prints the version.
    Version,
}

/// Reads a value into the options.
pub type Set = fn(&mut Options, &Given<'_>) -> Result<(), OptionsError>;
/// Sets a switch.
pub type SetBool = fn(&mut Options, bool);

/// One flag.
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
    /// The default, as it would be given; empty for none.
    pub default: &'static str,
    /// One line of help.
    pub help: &'static str,
}

impl Flag {
    /// Whether it is given without a value.
    pub fn is_switch(&self) -> bool {
        !matches!(self.action, Action::Value(_) | Action::NotYetValue(_))
    }
}

const fn value(name: &'static str, default: &'static str, set: Set, help: &'static str) -> Flag {
    Flag {
        name,
        action: Action::Value(set),
        default,
        help,
    }
}

const fn boolean(
    name: &'static str,
    default: &'static str,
    set: SetBool,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        action: Action::Bool(set),
        default,
        help,
    }
}

const fn not_yet(flag: Flag, why: &'static str) -> Flag {
    let action = match flag.action {
        Action::Value(_) => Action::NotYetValue(why),
        _ => Action::NotYetBool(why),
    };
    Flag { action, ..flag }
}

/// For flags that are not served.
const fn named(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    value(name, default, |_, _| Ok(()), help)
}

const LOG: &str = "use -v for the log level";

/// Every flag, in the order of the help text.
pub const FLAGS: &[Flag] = &[
    value(
        "store",
        "etcd",
        |o, g| set(&mut o.store, g.store()),
        "where leases live: etcd, dir or kube",
    ),
    value(
        "store-dir",
        "/var/lib/podwire/store",
        |o, g| set(&mut o.store_dir, g.path()),
        "directory of the store dir",
    ),
    value(
        "lease-ttl",
        "24h",
        |o, g| set(&mut o.lease_ttl, g.ttl()),
        "life of a lease without renewal",
    ),
    value(
        ENDPOINTS,
        "http://127.0.0.1:4001,http://127.0.0.1:2379",
        |o, g| set(&mut o.etcd.endpoints, g.endpoints()),
        "comma-separated URLs of the etcd members",
    ),
    value(
        "etcd-prefix",
        "/coreos.com/network",
        |o, g| set(&mut o.etcd.prefix, g.text()),
        "directory of all keys in etcd",
    ),
    value(
        "etcd-keyfile",
        "",
        |o, g| set(&mut o.etcd.keyfile, g.text()),
        "client key for etcd, PEM; needs etcd-certfile",
    ),
    value(
        "etcd-certfile",
        "",
        |o, g| set(&mut o.etcd.certfile, g.text()),
        "client certificate for etcd, PEM; needs etcd-keyfile",
    ),
    value(
        "etcd-cafile",
        "",
        |o, g| set(&mut o.etcd.cafile, g.text()),
        "certificate authority of etcd, PEM",
    ),
    value(
        "etcd-username",
        "",
        |o, g| set(&mut o.etcd.username, g.text()),
        "user name for etcd",
    ),
    value(
        "etcd-password",
        "",
        |o, g| set(&mut o.etcd.password, g.text()),
        "password for etcd",
    ),
    value(
        "iface",
        "",
        |o, g| push(&mut o.iface, g.text()),
        "external interface, name or address; repeatable, the first match wins",
    ),
    value(
        "iface-regex",
        "",
        |o, g| push(&mut o.iface_regex, g.text()),
        "external interface by regular expression on addresses, then names; repeatable, after iface",
    ),
    value(
        "iface-can-reach",
        "",
        |o, g| set(&mut o.iface_can_reach, g.address()),
        "external interface that the route to this address uses; last",
    ),
    value(
        "subnet-file",
        "/run/flannel/subnet.env",
        |o, g| set(&mut o.subnet_file, g.path()),
        "file that tells plugins the subnet",
    ),
    value(
        WIREGUARD_KEY_FILE,
        "/run/flannel/wgkey",
        |o, g| set(&mut o.wireguard_key_file, g.path()),
        "file with this node's WireGuard key; made when missing",
    ),
    value(
        "wireguard-psk-file",
        "",
        |o, g| set(&mut o.wireguard_psk_file, g.path().map(Some)),
        "file with the preshared key, in place of PSK in the network config",
    ),
    value(
        "vxlan-checksum-offload",
        "auto",
        |o, g| set(&mut o.vxlan_checksum_offload, g.checksum_offload()),
        "whether the network card computes checksums of packets in the tunnel: on, off, or auto: off \
         where public-ip is not the interface's",
    ),
    value(
        "public-ip",
        "",
        |o, g| set(&mut o.public_ip, g.address()),
        "IPv4 address that other nodes use for this one",
    ),
    value(
        "public-ipv6",
        "",
        |o, g| set(&mut o.public_ipv6, g.address()),
        "IPv6 address that other nodes use for this one",
    ),
    value(
        "subnet-lease-renew-margin",
        "60",
        |o, g| set(&mut o.renew_margin, g.margin()),
        "minutes before expiry when the lease is renewed",
    ),
    boolean(
        "ip-masq",
        "false",
        |o, on| o.ip_masq = on,
        "masquerade traffic that leaves the pod network",
    ),
    boolean(
        "ip-masq-fully-random-disable",
        "false",
        |o, on| o.random_fully = !on,
        "do not choose source ports at random when masquerading",
    ),
    boolean(
        "iptables-forward-rules",
        "true",
        |o, on| o.forward_rules = on,
        "accept forwarded traffic of the pod network",
    ),
    boolean(
        "ip-blackhole-route",
        "false",
        |o, on| o.blackhole_route = on,
        "drop what is sent to addresses of the node's own subnet that no pod's route reaches",
    ),
    value(
        "iptables-resync",
        "5",
        |o, g| set(&mut o.iptables_resync, g.resync()),
        "seconds between comparisons of the firewall rules",
    ),
    value(
        "healthz-ip",
        "0.0.0.0",
        |o, g| set(&mut o.healthz_ip, g.number("give an IP address")),
        "address of the health listener",
    ),
    value(
        "healthz-port",
        "0",
        |o, g| set(&mut o.healthz_port, g.number("give 0 to 65535")),
        "port of the health listener; 0 is off",
    ),
    value(
        "status-socket",
        "/run/podwire/netd.sock",
        |o, g| set(&mut o.status_socket, g.text().map(Into::into)),
        "unix socket that serves /status, /metrics, /healthz, /readyz; empty is off",
    ),
    boolean(
        "status-tcp",
        "false",
        |o, on| o.status_tcp = on,
        "serve /status and /metrics on the health listener to everybody, not to loopback alone",
    ),
    value(
        "probe-interval",
        "0s",
        |o, g| set(&mut o.probe_interval, g.interval()),
        "from probe to probe of the path to each peer, and answer the peers' probes; 0s is off",
    ),
    value(
        "probe-port",
        "8475",
        |o, g| {
            set(
                &mut o.probe_port,
                g.number("give 1 to 65535").map(NonZeroU16::get),
            )
        },
        "UDP port of the probes, the same on all nodes",
    ),
    value(
        "log-format",
        "text",
        |o, g| set(&mut o.log_format, g.log_format()),
        "log lines: text for people, or json, an object each",
    ),
    value(
        "v",
        "0",
        |o, g| set(&mut o.verbosity, g.number("give a number")),
        "log level: 0 information, 2 debug, 4 trace",
    ),
    Flag {
        name: "version",
        action: Action::Version,
        default: "false",
        help: "print the version and exit",
    },
    Flag {
        name: "help",
        action: Action::Help,
        default: "false",
        help: "print this text and exit",
    },
    boolean(
        "kube-subnet-mgr",
        "false",
        |o, on| {
            if on {
                o.store = StoreKind::Kube;
            }
        },
        "leases in Kubernetes node objects; the same as -store kube",
    ),
    value(
        "kube-api-url",
        "",
        |o, g| set(&mut o.kube.api_url, g.text()),
        "URL of the Kubernetes API; else that of the kubeconfig, or of the pod's service account",
    ),
    value(
        "kubeconfig-file",
        "",
        |o, g| set(&mut o.kube.kubeconfig, g.text().map(Into::into)),
        "credentials for the Kubernetes API; else those of the pod's service account",
    ),
    value(
        "kube-annotation-prefix",
        "flannel.alpha.coreos.com",
        |o, g| set(&mut o.kube.annotations, g.annotations()),
        "prefix of node annotations",
    ),
    value(
        "net-config-path",
        "/etc/kube-flannel/net-conf.json",
        |o, g| set(&mut o.net_config, g.path()),
        "file with the network config of Kubernetes",
    ),
    boolean(
        "set-node-network-unavailable",
        "true",
        |o, on| o.kube.set_network_unavailable = on,
        "set the node's condition NetworkUnavailable to False when its network works",
    ),
    value(
        NETWORK_UNAVAILABLE_AFTER,
        "0s",
        |o, g| set(&mut o.kube.network_unavailable_after, g.patience()),
        "with -kube-subnet-mgr: set that condition to True when the node was not ready for so long, and no new \
         pods come to it; 0s is never",
    ),
    not_yet(named("vmodule", "", "log level per file"), LOG),
    not_yet(
        named("log_backtrace_at", "", "stack trace at a log line"),
        LOG,
    ),
];

fn set<T>(option: &mut T, value: Result<T, OptionsError>) -> Result<(), OptionsError> {
    *option = value?;
    Ok(())
}

fn push<T>(list: &mut Vec<T>, value: Result<T, OptionsError>) -> Result<(), OptionsError> {
    list.push(value?);
    Ok(())
}

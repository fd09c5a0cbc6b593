//! The table of flags: every one that flanneld has, and netd's own.

use std::fmt::Write as _;

/// Whether a flag takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `-flag value` or `-flag=value`.
    Value,
    /// `-flag`, `-flag=true`, `-flag=false`.
    Bool,
    /// Prints the flags.
    Help,
    /// Prints the version.
    Version,
}

/// Whether netd serves a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Full,
    /// Only its default is accepted, for this reason.
    NotYet(&'static str),
}

/// One flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// Whether it takes a value.
    pub kind: Kind,
    /// The default, as text.
    pub default: &'static str,
    /// Whether netd serves it.
    pub support: Support,
    /// One line of help.
    pub help: &'static str,
}

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        kind: Kind::Value,
        default,
        support: Support::Full,
        help,
    }
}

const fn boolean(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        kind: Kind::Bool,
        default,
        support: Support::Full,
        help,
    }
}

const fn not_yet(flag: Flag, why: &'static str) -> Flag {
    Flag {
        support: Support::NotYet(why),
        ..flag
    }
}

const KUBE: &str = "netd has no Kubernetes store yet; use the store etcd or dir";
const LOG: &str = "use -v for the log level";

/// Every flag, in the order of the help text.
pub const FLAGS: &[Flag] = &[
    value("store", "etcd", "where leases live: etcd or dir"),
    value(
        "store-dir",
        "/var/lib/podwire/store",
        "directory of the store dir",
    ),
    value("lease-ttl", "24h", "life of a lease without renewal"),
    value(
        "etcd-endpoints",
        "http://127.0.0.1:4001,http://127.0.0.1:2379",
        "comma-separated URLs of the etcd members",
    ),
    value(
        "etcd-prefix",
        "/coreos.com/network",
        "directory of all keys in etcd",
    ),
    value(
        "etcd-keyfile",
        "",
        "client key for etcd, PEM; needs etcd-certfile",
    ),
    value(
        "etcd-certfile",
        "",
        "client certificate for etcd, PEM; needs etcd-keyfile",
    ),
    value("etcd-cafile", "", "certificate authority of etcd, PEM"),
    value("etcd-username", "", "user name for etcd"),
    value("etcd-password", "", "password for etcd"),
    value(
        "iface",
        "",
        "external interface, name or address; repeatable, the first match wins",
    ),
    value(
        "iface-regex",
        "",
        "external interface by regular expression on addresses, then names; repeatable, after iface",
    ),
    value(
        "iface-can-reach",
        "",
        "external interface that the route to this address uses; last",
    ),
    value(
        "subnet-file",
        "/run/flannel/subnet.env",
        "file that tells plugins the subnet",
    ),
    value(
        "public-ip",
        "",
        "IPv4 address that other nodes use for this one",
    ),
    value(
        "public-ipv6",
        "",
        "IPv6 address that other nodes use for this one",
    ),
    value(
        "subnet-lease-renew-margin",
        "60",
        "minutes before expiry when the lease is renewed",
    ),
    boolean(
        "ip-masq",
        "false",
        "masquerade traffic that leaves the pod network",
    ),
    boolean(
        "ip-masq-fully-random-disable",
        "false",
        "do not choose source ports at random when masquerading",
    ),
    boolean(
        "iptables-forward-rules",
        "true",
        "accept forwarded traffic of the pod network",
    ),
    value(
        "iptables-resync",
        "5",
        "seconds between comparisons of the firewall rules",
    ),
    value("healthz-ip", "0.0.0.0", "address of the health listener"),
    value("healthz-port", "0", "port of the health listener; 0 is off"),
    value(
        "status-socket",
        "/run/podwire/netd.sock",
        "unix socket that serves /status, /metrics, /healthz, /readyz; empty is off",
    ),
    boolean(
        "status-tcp",
        "false",
        "serve /status and /metrics on the health listener to everybody, not to loopback alone",
    ),
    value("v", "0", "log level: 0 information, 2 debug, 4 trace"),
    Flag {
        name: "version",
        kind: Kind::Version,
        default: "false",
        support: Support::Full,
        help: "print the version and exit",
    },
    Flag {
        name: "help",
        kind: Kind::Help,
        default: "false",
        support: Support::Full,
        help: "print this text and exit",
    },
    not_yet(
        boolean(
            "kube-subnet-mgr",
            "false",
            "leases in Kubernetes node objects",
        ),
        KUBE,
    ),
    not_yet(value("kube-api-url", "", "URL of the Kubernetes API"), KUBE),
    not_yet(
        value("kubeconfig-file", "", "credentials for the Kubernetes API"),
        KUBE,
    ),
    not_yet(
        value(
            "kube-annotation-prefix",
            "flannel.alpha.coreos.com",
            "prefix of node annotations",
        ),
        KUBE,
    ),
    not_yet(
        value(
            "net-config-path",
            "/etc/kube-flannel/net-conf.json",
            "network config of Kubernetes",
        ),
        KUBE,
    ),
    not_yet(
        boolean(
            "set-node-network-unavailable",
            "true",
            "clear NetworkUnavailable of the node",
        ),
        KUBE,
    ),
    not_yet(
        boolean(
            "ip-blackhole-route",
            "false",
            "blackhole route for the node's own subnet",
        ),
        "netd installs no blackhole route yet",
    ),
    not_yet(value("vmodule", "", "log level per file"), LOG),
    not_yet(
        value("log_backtrace_at", "", "stack trace at a log line"),
        LOG,
    ),
];

/// The help text.
pub fn usage() -> String {
    let mut text = String::from(
        "Usage: netd [FLAG]...            join this node's pods to those of the other nodes\n       \
         netd status [-status-socket PATH] [--output text|json]\n\n\
         Flags take one dash or two, `-flag value` or `-flag=value`. A flag that is not given is\n\
         read from the environment: FLANNELD_ and its name in upper case, `-` as `_`.\n\n",
    );
    for flag in FLAGS {
        let default = match flag.default {
            "" => String::new(),
            default => format!(" (default {default})"),
        };
        let support = match flag.support {
            Support::Full => "",
            Support::NotYet(_) => " [not supported yet]",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  -{}\n        {}{default}{support}",
            flag.name, flag.help
        );
    }
    text.push_str(
        "\nExit status: 0 stopped by a signal, or help; 1 start failed; 2 command line not\n\
         understood; 3 asked for something that is not supported yet; 4 the lease is lost.\n",
    );
    text
}

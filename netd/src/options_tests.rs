use super::*;
use crate::commands::Status;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, OptionsError> {
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    parse(&arguments, &|name| {
        environment
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn options(arguments: &[&str], environment: &[(&str, &str)]) -> Options {
    match run(arguments, environment) {
        Ok(Command::Run(options)) => *options,
        other => panic!("{arguments:?} gave {other:?}"),
    }
}

/// flanneld's flags and defaults as its documentation has them; `iface` and `iface-regex` are
/// lists, which are empty. `version` is in [`other_commands`].
const FLANNELS: &[(&str, &str)] = &[
    (
        "etcd-endpoints",
        "http://127.0.0.1:4001,http://127.0.0.1:2379",
    ),
    ("etcd-prefix", "/coreos.com/network"),
    ("etcd-keyfile", ""),
    ("etcd-certfile", ""),
    ("etcd-cafile", ""),
    ("etcd-username", ""),
    ("etcd-password", ""),
    ("iface", ""),
    ("iface-regex", ""),
    ("iface-can-reach", ""),
    ("subnet-file", "/run/flannel/subnet.env"),
    ("public-ip", ""),
    ("public-ipv6", ""),
    ("subnet-lease-renew-margin", "60"),
    ("ip-masq", "false"),
    ("ip-masq-fully-random-disable", "false"),
    ("kube-subnet-mgr", "false"),
    ("kube-api-url", ""),
    ("kubeconfig-file", ""),
    ("kube-annotation-prefix", "flannel.alpha.coreos.com"),
    ("net-config-path", "/etc/kube-flannel/net-conf.json"),
    ("set-node-network-unavailable", "true"),
    ("healthz-ip", "0.0.0.0"),
    ("healthz-port", "0"),
    ("iptables-resync", "5"),
    ("iptables-forward-rules", "true"),
    ("ip-blackhole-route", "false"),
    ("version", "false"),
    ("v", "0"),
    ("vmodule", ""),
    ("log_backtrace_at", ""),
];

#[test]
fn the_table_has_every_flag_of_flannels_with_its_default() {
    for (name, default) in FLANNELS {
        let flag = FLAGS.iter().find(|flag| flag.name == *name);
        let flag = flag.unwrap_or_else(|| panic!("no flag {name}"));
        assert_eq!(flag.default, *default, "{name}");
    }
}

#[test]
fn without_flags_the_options_are_flannels_defaults() {
    let text = |text: &str| text.to_owned();
    let expected = Options {
        store: StoreKind::Etcd,
        store_dir: PathBuf::from("/var/lib/podwire/store"),
        etcd: EtcdOptions {
            endpoints: vec![text("http://127.0.0.1:4001"), text("http://127.0.0.1:2379")],
            prefix: text("/coreos.com/network"),
            keyfile: text(""),
            certfile: text(""),
            cafile: text(""),
            username: text(""),
            password: text(""),
        },
        kube: KubeOptions {
            api_url: String::new(),
            kubeconfig: PathBuf::new(),
            annotations: AnnotationKeys::default(),
            set_network_unavailable: true,
            network_unavailable_after: None,
            node_name: String::new(),
            pod_name: String::new(),
            pod_namespace: String::new(),
        },
        net_config: "/etc/kube-flannel/net-conf.json".into(),
        lease_ttl: Duration::from_secs(86_400),
        renew_margin: Duration::from_secs(3600),
        iface: Vec::new(),
        iface_regex: Vec::new(),
        iface_can_reach: None,
        public_ip: None,
        public_ipv6: None,
        subnet_file: PathBuf::from("/run/flannel/subnet.env"),
        vxlan_checksum_offload: ChecksumOffload::Auto,
        wireguard_key_file: PathBuf::from("/run/flannel/wgkey"),
        wireguard_psk_file: None,
        ip_masq: false,
        random_fully: true,
        forward_rules: true,
        blackhole_route: false,
        iptables_resync: Duration::from_secs(5),
        healthz_ip: "0.0.0.0".parse().expect("address"),
        healthz_port: 0,
        status_socket: PathBuf::from("/run/podwire/netd.sock"),
        status_tcp: false,
        probe_interval: Duration::ZERO,
        probe_port: 8475,
        log_format: LogFormat::Text,
        verbosity: 0,
    };
    let defaults = options(&[], &[]);
    assert_eq!(defaults, expected);
    assert!(defaults.has_default_endpoints());
    assert!(!options(&["-store", "dir"], &[]).has_default_endpoints());
    let given = ["-etcd-endpoints", "http://127.0.0.1:2379"];
    assert!(!options(&given, &[]).has_default_endpoints());
}

#[test]
fn the_wireguard_keys_file_is_named_as_flannel_names_it() {
    let file = |arguments: &[&str], environment: &[(&str, &str)]| {
        options(arguments, environment).wireguard_key_file
    };
    let flannels = ("WIREGUARD_KEY_FILE", "/a");
    let ours = ("FLANNELD_WIREGUARD_KEY_FILE", "/b");
    assert_eq!(file(&[], &[flannels]), PathBuf::from("/a"));
    assert_eq!(file(&[], &[flannels, ours]), PathBuf::from("/b"));
    let flag = ["-wireguard-key-file", "/c"];
    assert_eq!(file(&flag, &[flannels, ours]), PathBuf::from("/c"));
}

#[test]
fn passwords_in_endpoints_are_refused_wherever_they_are_given() {
    let url = "http://root:hunter2@192.0.2.9:2379";
    let list = format!("http://192.0.2.8:2379,{url}");
    for (arguments, environment) in [
        (vec!["-etcd-endpoints", url], vec![]),
        (vec!["-etcd-endpoints", list.as_str()], vec![]),
        (vec![], vec![("FLANNELD_ETCD_ENDPOINTS", url)]),
    ] {
        let error = run(&arguments, &environment).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("-etcd-username"), "{error}");
    }
}

#[test]
fn flags_take_every_spelling() {
    for arguments in [
        &["-ip-masq", "-iface", "eth0", "-healthz-port=8081"][..],
        &["--ip-masq=true", "--iface=eth0", "--healthz-port", "8081"],
        &["-ip-masq=T", "-iface=eth0", "-healthz-port=8081"],
    ] {
        let options = options(arguments, &[]);
        assert!(options.ip_masq, "{arguments:?}");
        assert_eq!(options.iface, ["eth0"]);
        assert_eq!(options.healthz_port, 8081);
    }
    assert!(!options(&["-ip-masq", "-iptables-forward-rules=false"], &[]).forward_rules);
    assert!(!options(&["--ip-masq-fully-random-disable"], &[]).random_fully);
}

#[test]
fn the_command_line_of_the_manual_runs() {
    let options = options(
        &[
            "-etcd-endpoints",
            "http://127.0.0.1:2379",
            "-iface",
            "eth0",
            "-subnet-file",
            "F",
            "-ip-masq=false",
        ],
        &[],
    );
    assert_eq!(options.etcd.endpoints, ["http://127.0.0.1:2379"]);
    assert_eq!(options.subnet_file, PathBuf::from("F"));
    assert!(!options.ip_masq);
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let environment = [
        ("FLANNELD_IFACE", "d0"),
        ("FLANNELD_IP_MASQ", "true"),
        ("FLANNELD_PUBLIC_IP", "192.0.2.9"),
        ("FLANNELD_SUBNET_FILE", ""),
    ];
    let from_environment = options(&[], &environment);
    assert_eq!(from_environment.iface, ["d0"]);
    assert!(from_environment.ip_masq);
    assert_eq!(
        from_environment.public_ip,
        Some(Ipv4Addr::new(192, 0, 2, 9))
    );
    assert_eq!(
        from_environment.subnet_file,
        PathBuf::from("/run/flannel/subnet.env")
    );
    assert_eq!(options(&["-iface", "eth0"], &environment).iface, ["eth0"]);
}

#[test]
fn repeatable_flags_keep_their_order() {
    assert_eq!(options(&["-iface", "a", "-iface=b"], &[]).iface, ["a", "b"]);
    assert_eq!(options(&["-iface-regex", "^e"], &[]).iface_regex, ["^e"]);
}

#[test]
fn refused_command_lines() {
    for (arguments, code, message) in [
        (
            &["-nosuch"][..],
            2,
            "flag provided but not defined: -nosuch",
        ),
        (&["-iface"], 2, "flag needs a value: -iface"),
        (
            &["-ip-masq=maybe"],
            2,
            "invalid value \"maybe\" for -ip-masq",
        ),
        (
            &["-public-ip", "abc"],
            2,
            "invalid value \"abc\" for -public-ip",
        ),
        (
            &["-public-ip", "fd00::1"],
            2,
            "invalid value \"fd00::1\" for -public-ip",
        ),
        (
            &["-healthz-port", "70000"],
            2,
            "invalid value \"70000\" for -healthz-port",
        ),
        (&["-store", "zk"], 2, "invalid value \"zk\" for -store"),
        (
            &["-lease-ttl", "5"],
            2,
            "invalid value \"5\" for -lease-ttl",
        ),
        (
            &["-lease-ttl", "0s"],
            2,
            "invalid value \"0s\" for -lease-ttl",
        ),
        (
            &["-iptables-resync", "0"],
            2,
            "invalid value \"0\" for -iptables-resync",
        ),
        (
            &["-etcd-endpoints", ","],
            2,
            "invalid value \",\" for -etcd-endpoints",
        ),
        (
            &["-store-dir", ""],
            2,
            "invalid value \"\" for -store-dir: give a path",
        ),
        (
            &["-subnet-file="],
            2,
            "invalid value \"\" for -subnet-file: give a path",
        ),
        (&["run"], 2, "unexpected argument \"run\""),
        (&["-a\nb"], 2, "flag provided but not defined: -a\\nb"),
        (
            &["-subnet-lease-renew-margin", "0"],
            2,
            "invalid value \"0\" for -subnet-lease-renew-margin: give 1 to 1439 minutes",
        ),
        (
            &["-subnet-lease-renew-margin", "1440"],
            2,
            "invalid value \"1440\" for -subnet-lease-renew-margin",
        ),
        (
            &["-etcd-endpoints", "nonsense here"],
            2,
            "-etcd-endpoints: \"nonsense here\" is no URL: give http://HOST:PORT",
        ),
        (
            &["-vmodule", "store=4"],
            3,
            "not supported yet: -vmodule=store=4",
        ),
        (
            &["-kube-annotation-prefix", "flannel"],
            2,
            "invalid value \"flannel\" for -kube-annotation-prefix: give a domain with a dot",
        ),
        (
            &["-net-config-path", ""],
            2,
            "invalid value \"\" for -net-config-path: give a path",
        ),
        (
            &["status", "--output", "xml"],
            2,
            "invalid value \"xml\" for -output",
        ),
        (
            &["status", "-nosuch"],
            2,
            "flag provided but not defined: -nosuch",
        ),
    ] {
        let error = run(arguments, &[]).expect_err(&format!("{arguments:?}"));
        assert_eq!(error.exit_code(), code, "{arguments:?}: {error}");
        assert!(
            error.to_string().starts_with(message),
            "{arguments:?}: {error}"
        );
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[cfg(feature = "kube")]
#[test]
fn kubernetes_is_a_store_by_two_names() {
    let given = [
        "-kube-subnet-mgr",
        "-kube-api-url",
        "https://192.0.2.1:6443",
        "-kubeconfig-file=/etc/k",
        "-kube-annotation-prefix=example.com/net",
        "-net-config-path",
        "/etc/n.json",
        "-set-node-network-unavailable=false",
    ];
    let environment = [
        ("NODE_NAME", "n1"),
        ("POD_NAME", "p"),
        ("POD_NAMESPACE", "ns"),
    ];
    let found = options(&given, &environment);
    assert_eq!(found.store, StoreKind::Kube);
    let kube = &found.kube;
    assert_eq!(kube.api_url, "https://192.0.2.1:6443");
    assert_eq!(kube.kubeconfig, PathBuf::from("/etc/k"));
    assert_eq!(kube.annotations.prefix(), "example.com/net-");
    assert!(!kube.set_network_unavailable);
    assert_eq!(
        (
            kube.node_name.as_str(),
            kube.pod_name.as_str(),
            kube.pod_namespace.as_str()
        ),
        ("n1", "p", "ns")
    );
    assert_eq!(found.net_config, PathBuf::from("/etc/n.json"));
    for (given, environment) in [
        (&["-store", "kube"][..], &[][..]),
        (&[], &[("FLANNELD_KUBE_SUBNET_MGR", "true")]),
        (&["-kube-subnet-mgr", "-store", "dir"], &[]),
    ] {
        assert_eq!(options(given, environment).store, StoreKind::Kube);
    }
}

#[test]
fn defaults_of_unsupported_flags_are_accepted() {
    let given = [
        "-kube-subnet-mgr=false",
        "-set-node-network-unavailable",
        "-vmodule=",
    ];
    assert_eq!(options(&given, &[]), options(&[], &[]));
}

#[test]
fn a_bad_variable_is_named() {
    let error = run(&[], &[("FLANNELD_SUBNET_LEASE_RENEW_MARGIN", "abc")]).expect_err("abc");
    assert!(
        error
            .to_string()
            .contains("FLANNELD_SUBNET_LEASE_RENEW_MARGIN"),
        "{error}"
    );
}

#[test]
fn other_commands() {
    assert_eq!(run(&["--help"], &[]), Ok(Command::Help));
    assert_eq!(run(&["-h"], &[]), Ok(Command::Help));
    assert_eq!(run(&["--version"], &[]), Ok(Command::Version));
    let socket = PathBuf::from(STATUS_SOCKET);
    let plain = Status {
        socket,
        json: false,
        watch: false,
        all_peers: false,
    };
    assert_eq!(run(&["status"], &[]), Ok(Command::Status(plain.clone())));
    let json = Status {
        json: true,
        watch: true,
        ..plain
    };
    let arguments = ["status", "--output", "json", "--watch"];
    assert_eq!(run(&arguments, &[]), Ok(Command::Status(json)));
    let help = run(&["status", "--help"], &[]);
    assert!(matches!(help, Ok(Command::HelpOf(text)) if text.contains("-watch")));
}

#[test]
fn durations() {
    for (text, seconds) in [
        ("24h", 86_400),
        ("90s", 90),
        ("1m30s", 90),
        ("1h1m1s", 3661),
        ("1d", 86_400),
    ] {
        let options = options(&["-lease-ttl", text], &[]);
        assert_eq!(options.lease_ttl, Duration::from_secs(seconds), "{text}");
    }
    for text in ["", "5", "h", "5x", "-1s", "999ms", "9999999999999999h"] {
        let refused = run(&[&format!("-lease-ttl={text}")], &[]).unwrap_err();
        assert!(refused.to_string().contains("1m30s"), "{text}: {refused}");
    }
}

#[test]
fn the_network_fails_after_a_while_or_never() {
    let flag = "-kube-network-unavailable-after";
    for (text, after) in [("0s", None), ("1s", Some(1)), ("5m", Some(300))] {
        let found = options(&[flag, text], &[]).kube.network_unavailable_after;
        assert_eq!(found, after.map(Duration::from_secs), "{text}");
    }
    let hands_off = "-set-node-network-unavailable=false";
    for (arguments, expected) in [
        (&[flag, "999ms"][..], "at least 1s"),
        (&[flag, "soon"], "at least 1s"),
        (&[flag, "5m", hands_off], "give 0s, or leave out -set"),
    ] {
        let refused = run(arguments, &[]).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        let refused = refused.to_string();
        assert!(
            refused.contains(flag) && refused.contains(expected),
            "{refused}"
        );
    }
    options(&[flag, "0s", hands_off], &[]);
}

#[test]
fn help_names_every_flag_and_its_default() {
    let text = crate::describe::overview();
    for flag in FLAGS {
        assert!(
            text.contains(&format!("  -{}\n", flag.name)),
            "{}",
            flag.name
        );
        assert!(text.contains(flag.default), "{}", flag.name);
    }
}

use super::*;

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

#[test]
fn defaults_are_flannels() {
    let options = options(&[], &[]);
    assert_eq!(options, Options::default());
    assert_eq!(options.store, StoreKind::Etcd);
    assert_eq!(
        options.etcd.endpoints,
        ["http://127.0.0.1:4001", "http://127.0.0.1:2379"]
    );
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
        (&["-store", "kube"], 2, "invalid value \"kube\" for -store"),
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
            1,
            "subnet-lease-renew-margin 0",
        ),
        (
            &["-subnet-lease-renew-margin", "1440"],
            1,
            "subnet-lease-renew-margin 1440",
        ),
        (
            &["-kube-subnet-mgr"],
            3,
            "not supported yet: -kube-subnet-mgr=true",
        ),
        (
            &["-net-config-path", "/x"],
            3,
            "not supported yet: -net-config-path=/x",
        ),
        (
            &["-ip-blackhole-route=true"],
            3,
            "not supported yet: -ip-blackhole-route=true",
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

#[test]
fn defaults_of_unsupported_flags_are_accepted() {
    let given = [
        "-kube-subnet-mgr=false",
        "-set-node-network-unavailable",
        "-vmodule=",
    ];
    assert_eq!(options(&given, &[]), Options::default());
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
    assert_eq!(
        run(&["status"], &[]),
        Ok(Command::Status {
            socket: socket.clone(),
            json: false
        })
    );
    let json = run(&["status", "--output", "json"], &[]);
    assert_eq!(json, Ok(Command::Status { socket, json: true }));
}

#[test]
fn durations() {
    for (text, seconds) in [
        ("24h", 86_400),
        ("90s", 90),
        ("1m30s", 90),
        ("1h1m1s", 3661),
    ] {
        assert_eq!(
            parse_duration(text),
            Some(Duration::from_secs(seconds)),
            "{text}"
        );
    }
    for text in ["", "5", "h", "5x", "-1s", "1.5h", "99999999999h"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn help_names_every_flag_and_its_default() {
    let text = crate::flags::usage();
    for flag in FLAGS {
        assert!(
            text.contains(&format!("  -{}\n", flag.name)),
            "{}",
            flag.name
        );
        assert!(text.contains(flag.default), "{}", flag.name);
    }
}

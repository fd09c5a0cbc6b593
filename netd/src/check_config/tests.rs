use super::*;

fn report(text: &str) -> Report {
    judge(text.as_bytes(), Allocation::Drawn)
}

#[test]
fn every_error_is_told_in_one_reading() {
    let told = report(
        r#"{"EnableIPv4": 1, "Network": "10.5.0.0", "SubnetLen": 31, "SubnetMin": "10.6.0.0",
            "EnableIPv6": true, "IPv6Network": "fd00:1::/125",
            "Backend": {"Type": "vxlan", "VNI": -1, "Port": 70000, "GBP": "yes"}}"#,
    );
    assert_eq!(
        told.errors,
        [
            "EnableIPv4: 1: EnableIPv4 must be true or false, not 1",
            "Network: \"10.5.0.0\": invalid CIDR address: 10.5.0.0; give an address and a \
             length, \"10.244.0.0/16\"",
            "IPv6Network: \"fd00:1::/125\": IPv6Network is too small. Minimum useful network \
             prefix is /124; give a network of /124 or wider",
            "Backend.GBP: \"yes\": the backend options cannot be read: GBP must be true or \
             false, not \"yes\"",
            "Backend.Port: 70000: Port 70000 is out of range: give 1 to 65535, or leave it out \
             for the kernel's 8472",
            "Backend.VNI: -1: VNI -1 is out of range: give 0 to 16777215",
        ]
    );
    assert!(!told.is_usable());
}

#[test]
fn each_error_says_what_would_be_right() {
    for (text, error) in [
        (
            r#"{"Network":"10.5.0.0/16","SubnetLen":31}"#,
            "SubnetLen: 31: SubnetLen must be less than /31; give 18 to 30, or leave it out",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetLen":17}"#,
            "SubnetLen: 17: network must be able to accommodate at least four subnets; give 18 \
             to 30, or leave it out",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.128"}"#,
            "SubnetMin: \"10.5.1.128\": SubnetMin is not on a SubnetLen boundary: 10.5.1.128; \
             give the first address of a /24, 10.5.1.0 for example",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetMax":"10.6.0.0"}"#,
            "SubnetMax: \"10.6.0.0\": SubnetMax is not in the range of the Network; give an \
             address in 10.5.0.0/16",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","SubnetMax":"10.5.3.0"}"#,
            "SubnetMin: \"10.5.9.0\": SubnetMin 10.5.9.0 is after SubnetMax 10.5.3.0: there is \
             no subnet between them; give the lower address as the first",
        ),
        (
            r#"{"EnableIPv4":false}"#,
            "EnableIPv4: false: none defined stack; leave EnableIPv4 out, or turn EnableIPv6 on",
        ),
        (
            "{}",
            "Network: please define a correct Network parameter in the flannel config; give an \
             address and a length, \"10.244.0.0/16\"",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":7}"#,
            "Backend: 7: error decoding Backend property of config: Backend must be an object, \
             not 7; give an object with a Type, {\"Type\": \"vxlan\"}",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlam"}}"#,
            "Backend.Type: \"vxlam\": unknown backend type \"vxlam\"",
        ),
        ("{", "unexpected end of JSON input"),
    ] {
        let told = report(text).errors;
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert!(told[0].starts_with(error), "{text}: {told:?}");
    }
}

#[test]
fn keys_that_nobody_reads_are_told_with_the_likely_ones() {
    let warnings = |text: &str| report(text).warnings;
    let told = warnings(
        r#"{"Network":"10.5.0.0/16","SubnetLenght":24,"network":"10.6.0.0/16","Colour":1,
            "Networks":[],"Backend":{"Type":"vxlan","Prot":1,"MacPrefix":"0E-2A","PSK":"x"}}"#,
    );
    let expected = [
        "Network: it stands there again below, and the last one is read",
        "SubnetLenght: a network configuration has no such key; is SubnetLen meant?",
        "Colour: a network configuration has no such key; it is passed over",
        "Networks: flannel 0.25 and later ignore it, and so does netd; give Network",
        "Backend.MacPrefix: it is for Windows nodes; others pass over it",
        "Backend.PSK: the backend vxlan has no such key, wireguard has; it is passed over",
        "Backend.Prot: the backend vxlan has no such key; is Port meant?",
    ];
    for expected in expected {
        assert!(
            told.iter().any(|told| told == expected),
            "{expected}\n{told:#?}"
        );
    }
    let fine = r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","vni":3}}"#;
    assert_eq!(
        warnings(fine),
        Vec::<String>::new(),
        "letters of either case"
    );
}

#[test]
fn traps_of_flannels_are_told() {
    for (text, warning) in [
        (
            r#"{"Network":"10.5.0.0/16"}"#,
            "Backend: without it the backend is udp",
        ),
        (
            r#"{"Network":"10.5.9.9/16","Backend":{"Type":"host-gw"}}"#,
            "Network: \"10.5.9.9/16\" has host bits set; 10.5.0.0/16 is read",
        ),
        (
            r#"{"Network":"10.5.0.0/16","IPv6Network":"fd00::/48","Backend":{"Type":"host-gw"}}"#,
            "IPv6Network: no node uses it without EnableIPv6; it is off unless it says true",
        ),
        (
            r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48",
                "Backend":{"Type":"host-gw"}}"#,
            "EnableIPv6: a flanneld that still runs with the IPv4 configuration",
        ),
        (
            r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/48",
                "Backend":{"Type":"host-gw"}}"#,
            "EnableIPv4: false: with etcd all flanneld",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":70000}}"#,
            "Backend.VNI: 70000: nodes with flannel up to 0.20 use 4464 instead",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard","PSK":"secret"}}"#,
            "Backend.PSK: everybody who may read",
        ),
    ] {
        let told = report(text).warnings;
        assert!(
            told.iter().any(|told| told.starts_with(warning)),
            "{warning}\n{told:#?}"
        );
    }
}

#[test]
fn secrets_are_not_repeated() {
    for text in [
        r#"{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard","PSK":"c2VjcmV0"}}"#,
        r#"{"Network":"10.5.0.0/16","Backend":{"Type":5,"PSK":"c2VjcmV0"}}"#,
        r#"{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard","PSK":{"a":"c2VjcmV0"}}}"#,
    ] {
        let told = report(text).to_string();
        assert!(!told.contains("c2VjcmV0"), "{told}");
    }
}

#[test]
fn all_options_of_wireguard_that_are_wrong_are_told() {
    let told = report(
        r#"{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard","Mode":"Both","ListenPort":0,
            "PSK":"c2VjcmV0"}}"#,
    );
    for error in [
        r#"Backend.Mode: "Both": Mode "Both" is unknown: give separate, auto, ipv4 or ipv6"#,
        "Backend.ListenPort: 0: ListenPort 0 is out of range: give 1 to 65535",
        "Backend.PSK: (not shown): PSK is not 32 bytes in base64",
    ] {
        let mut errors = told.errors.iter();
        assert!(
            errors.any(|told| told.starts_with(error)),
            "{error}\n{told}"
        );
    }
    let both = r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48",
        "Backend":{"Type":"wireguard","ListenPort":7,"ListenPortV6":7}}"#;
    assert!(
        report(both).errors[0].contains("are both 7"),
        "{}",
        report(both)
    );
}

#[test]
fn what_is_right_is_told_too() {
    let told = report(r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}"#);
    assert!(told.is_usable());
    assert_eq!(
        told.to_string(),
        "ok       10.5.0.0/16: 255 subnets of /24, 10.5.1.0 to 10.5.255.0\n\
         ok       backend vxlan\n"
    );
}

/// The daemon and this command never disagree.
#[test]
fn what_the_daemon_refuses_is_refused_and_nothing_else() {
    let numbers = [
        "-1", "0", "1", "118", "1450", "65535", "65536", "16777216", "\"x\"", "null",
    ];
    for key in [
        "VNI",
        "Port",
        "MTU",
        "GBP",
        "Learning",
        "DirectRouting",
        "Other",
    ] {
        for value in numbers {
            for v6 in ["", r#""EnableIPv6":true,"IPv6Network":"fd00::/48","#] {
                for kind in ["vxlan", "ipip"] {
                    let backend = format!(r#"{{"Type":"{kind}","{key}":{value}}}"#);
                    let text = format!(r#"{{{v6}"Network":"10.5.0.0/16","Backend":{backend}}}"#);
                    let config = NetworkConfig::parse(text.as_bytes()).expect("config");
                    let daemon = backends::check(&config).is_ok();
                    assert_eq!(report(&text).is_usable(), daemon, "{text}");
                }
            }
        }
    }
}

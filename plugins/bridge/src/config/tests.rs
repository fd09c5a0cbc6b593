use cni::invocation::Env;

use attach::masquerade::Backend;

use cni::SpecVersion;

use super::*;

fn with_call<T>(extra: &str, version: SpecVersion, test: impl FnOnce(&Call<'_>) -> T) -> T {
    let stdin = format!(r#"{{"name":"net"{extra}}}"#);
    let args = "IgnoreUnknown=1;MAC=c2:11:22:33:44:55;K8S_POD_NAME=x".to_owned();
    test(&Call {
        network: "net".parse().unwrap(),
        version,
        stdin: stdin.as_bytes(),
        env: &Env::from([("CNI_ARGS".to_owned(), args)]),
        registry: &[],
    })
}

fn read(extra: &str) -> Result<Config, (u32, String)> {
    with_call(extra, SpecVersion::V1_0_0, Config::for_add).map_err(|error| (error.code, error.msg))
}

#[test]
fn defaults() {
    for extra in [
        "",
        r#","bridge":null,"mtu":null,"dns":null,"ipam":null,"vlanTrunk":null"#,
    ] {
        let config = read(extra).unwrap();
        assert_eq!(config.bridge.as_str(), "cni0");
        assert_eq!((config.mtu, config.masquerading), (None, None));
        assert!(!config.is_gateway && !config.hairpin && !config.isolated && !config.promisc);
    }
}

/// The reference plugin takes a negative MTU, too, for none; configurations with it are in use as
/// long as they work.
#[test]
fn an_mtu_of_zero_or_less_is_the_kernels_default() {
    for (mtu, expected) in [
        ("-70000", None),
        ("-1", None),
        ("0", None),
        ("68", Some(68)),
        ("65535", Some(65535)),
    ] {
        let config = read(&format!(r#","mtu":{mtu}"#)).unwrap();
        assert_eq!(config.mtu, expected, "{mtu}");
    }
}

#[test]
fn the_default_gateway_is_a_gateway() {
    assert!(read(r#","isDefaultGateway":true"#).unwrap().is_gateway);
}

#[test]
fn the_first_mac_address_in_the_order_of_precedence_counts() {
    let runtime = r#","runtimeConfig":{"mac":"C2-11-22-33-44-77"}"#;
    let args = r#","args":{"cni":{"mac":"c2:11:22:33:44:66"}}"#;
    for (extra, mac) in [
        (format!("{runtime}{args}"), "c2:11:22:33:44:77"),
        (
            format!(r#"{args},"runtimeConfig":{{"mac":""}}"#),
            "c2:11:22:33:44:66",
        ),
        (String::new(), "c2:11:22:33:44:55"),
    ] {
        assert_eq!(read(&extra).unwrap().mac.unwrap().to_string(), mac);
    }
}

#[test]
fn masquerading_needs_addresses() {
    assert_eq!(read(r#","ipMasq":true"#).unwrap().masquerading, None);
    for (backend, expected) in [
        ("", None),
        (r#","ipMasqBackend":"""#, None),
        (r#","ipMasqBackend":"iptables""#, Some(Backend::Iptables)),
        (r#","ipMasqBackend":"nftables""#, Some(Backend::Nftables)),
    ] {
        let extra = format!(r#","ipMasq":true,"ipam":{{"type":"host-local"}}{backend}"#);
        let masquerading = read(&extra).unwrap().masquerading.unwrap();
        assert_eq!(masquerading.backend, expected);
    }
}

#[test]
fn flooding_is_suppressed_where_the_host_can_stand_in_for_it() {
    let ipam = r#","ipam":{"type":"host-local"}"#;
    let gateway = r#","isGateway":true"#;
    for (extra, problem) in [
        (format!("{ipam}{gateway}"), None),
        (
            format!(r#"{ipam},"isDefaultGateway":true,"hairpinMode":true"#),
            None,
        ),
        (
            format!(
                r#"{ipam}{gateway},"macspoofchk":true,"portIsolation":true,"promiscMode":true"#
            ),
            None,
        ),
        (ipam.to_owned(), Some("needs isGateway")),
        (gateway.to_owned(), Some("needs ipam")),
        (
            format!(r#"{gateway},"ipam":{{"type":"dhcp"}}"#),
            Some("does not go with ipam dhcp"),
        ),
        (
            format!(r#"{ipam}{gateway},"vlan":5"#),
            Some("does not go with vlan:"),
        ),
        (
            format!(r#"{ipam}{gateway},"vlanTrunk":[{{"id":5}}]"#),
            Some("does not go with vlanTrunk:"),
        ),
        (
            format!(r#"{ipam}{gateway},"enabledad":true"#),
            Some("does not go with enabledad"),
        ),
    ] {
        assert!(read(&extra).is_ok(), "{extra}");
        let refused = read(&format!(r#"{extra},"suppressFlooding":true"#)).err();
        match (refused, problem) {
            (None, None) => {}
            (Some((7, message)), Some(problem)) => {
                let expected = format!("suppressFlooding {problem}");
                assert!(message.starts_with(&expected), "{message}");
            }
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_done() {
    let ipam = r#","ipam":{"type":"host-local"}"#;
    for (extra, code, message) in [
        (
            r#","vlan":4095"#,
            999,
            "invalid VLAN ID 4095 (must be between 0 and 4094)",
        ),
        (
            r#","vlan":-1"#,
            999,
            "invalid VLAN ID -1 (must be between 0 and 4094)",
        ),
        (
            r#","vlanTrunk":[{"minID":0,"maxID":5}]"#,
            999,
            "incorrect trunk minID parameter",
        ),
        (
            r#","vlanTrunk":[{"minID":5,"maxID":4095}]"#,
            999,
            "incorrect trunk maxID parameter",
        ),
        (
            r#","vlanTrunk":[{"minID":10,"maxID":5}]"#,
            999,
            "minID is greater than maxID in trunk parameter",
        ),
        (
            r#","vlanTrunk":[{"maxID":5}]"#,
            999,
            "minID and maxID should be configured simultaneously, minID is missing",
        ),
        (
            r#","vlanTrunk":[{"minID":5}]"#,
            999,
            "minID and maxID should be configured simultaneously, maxID is missing",
        ),
        (
            r#","vlanTrunk":[{"id":0}]"#,
            999,
            "incorrect trunk id parameter",
        ),
        (
            r#","vlanTrunk":[{"id":7},{"id":4095}]"#,
            999,
            "incorrect trunk id parameter",
        ),
        (
            r#","vlan":1000,"isGateway":true,"bridge":"cbr-abcdefg""#,
            999,
            "failed to create vlan interface: faild to create vlan gateway \"cbr-abcdefg.1000\": \
             failed to make veth pair: numerical result out of range",
        ),
        (
            &format!(r#","disableContainerInterface":true{ipam}"#),
            999,
            "cannot use IPAM when DisableContainerInterface flag is set",
        ),
        (
            r#","hairpinMode":true,"promiscMode":true"#,
            999,
            "cannot set hairpin mode and promiscuous mode at the same time",
        ),
        (
            r#","bridge":"""#,
            999,
            "failed to create bridge \"\": could not add \"\": LinkAttrs.Name cannot be empty",
        ),
        (
            r#","bridge":"br-name-longer-than-15""#,
            999,
            "failed to create bridge \"br-name-longer-than-15\": could not add \
             \"br-name-longer-than-15\": numerical result out of range",
        ),
        (
            r#","bridge":"a/b""#,
            999,
            "failed to create bridge \"a/b\": could not add \"a/b\": invalid argument",
        ),
        (
            r#","mtu":4294967296"#,
            999,
            "invalid mtu 4294967296 (must be below 4294967296)",
        ),
        (
            r#","runtimeConfig":{"mac":"c2:11:22"}"#,
            999,
            "failed to make veth pair: address c2:11:22: invalid MAC address",
        ),
        (
            &format!(r#","ipMasq":true,"ipMasqBackend":"pf"{ipam}"#),
            999,
            "unknown ipmasq backend \"pf\"",
        ),
    ] {
        assert_eq!(
            read(extra).unwrap_err(),
            (code, message.to_owned()),
            "{extra}"
        );
    }
}

#[test]
fn wrong_types_are_refused() {
    for extra in [
        r#","mtu":"1500""#,
        r#","mtu":1500.0"#,
        r#","isGateway":1"#,
        r#","dns":"x""#,
        r#","ipam":5"#,
        r#","vlanTrunk":{}"#,
        r#","preserveDefaultVlan":"no""#,
        r#","prevResult":5"#,
    ] {
        let (code, message) = read(extra).unwrap_err();
        assert_eq!(code, 999);
        assert!(
            message.starts_with("failed to load netconf: json: "),
            "{message}"
        );
    }
}

#[test]
fn a_version_without_interfaces_in_its_results_needs_addresses() {
    for (version, code) in [
        (SpecVersion::V0_2_0, Some(999)),
        (SpecVersion::V0_3_0, None),
    ] {
        let read = with_call("", version, Config::for_add);
        assert_eq!(read.err().map(|error| error.code), code);
    }
}

#[test]
fn vlans_and_their_gateway() {
    for (extra, access, trunk, gateway) in [
        (r#","vlan":100"#, Some(100), &[][..], None),
        (
            r#","vlan":100,"isGateway":true"#,
            Some(100),
            &[],
            Some("cni0.100"),
        ),
        (
            r#","vlanTrunk":[{"id":7,"minID":9,"maxID":11},{"id":7},{}]"#,
            None,
            &[7, 9, 10, 11],
            None,
        ),
        (r#","vlanTrunk":[],"isGateway":true"#, None, &[], None),
    ] {
        let config = with_call(extra, SpecVersion::V1_0_0, Config::for_add).unwrap();
        let vlans = config.vlans.unwrap();
        assert_eq!(vlans.access, access, "{extra}");
        assert_eq!(
            vlans.trunk.into_iter().collect::<Vec<_>>(),
            trunk,
            "{extra}"
        );
        let seen = config.vlan_gateway.map(|gateway| gateway.name.to_string());
        assert_eq!(seen.as_deref(), gateway, "{extra}");
    }
    for extra in [
        "",
        r#","vlan":0"#,
        r#","vlanTrunk":null"#,
        r#","preserveDefaultVlan":true"#,
    ] {
        let config = with_call(extra, SpecVersion::V1_0_0, Config::for_add).unwrap();
        assert_eq!(config.vlans, None, "{extra}");
    }
}

//! Network configurations, as flanneld takes and refuses them (each row was recorded from it).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use cluster::{Backend, BackendError, ConfigError, IpipOptions, NetworkConfig, VxlanOptions};
use proptest::prelude::*;

fn refused(text: &str) -> String {
    NetworkConfig::parse(text.as_bytes())
        .expect_err(text)
        .to_string()
}

fn read(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn refusals_have_flannels_words() {
    let no_network = "please define a correct Network parameter in the flannel config";
    let four = "network must be able to accommodate at least four subnets";
    let small = "network is too small. Minimum useful network prefix is /28";
    for (text, message) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("null", no_network),
        ("{}", no_network),
        (r#"{"Network":""}"#, "invalid CIDR address: "),
        (r#"{"Network":null}"#, "invalid CIDR address: null"),
        (
            r#"{"Network":"10.100.0.0"}"#,
            "invalid CIDR address: 10.100.0.0",
        ),
        (r#"{"Network":"fd00::/64"}"#, "invalid IPv4 CIDR format"),
        (r#"{"Network":5}"#, "invalid CIDR address: 5"),
        (
            r#"{"Network":"10.100.0.0/33"}"#,
            "invalid CIDR address: 10.100.0.0/33",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetLen":31}"#,
            "SubnetLen must be less than /31",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetLen":33}"#,
            "SubnetLen must be less than /31",
        ),
        (r#"{"Network":"10.100.0.0/16","SubnetLen":17}"#, four),
        (r#"{"Network":"10.100.0.0/29","SubnetLen":30}"#, four),
        (r#"{"Network":"10.100.0.0/29"}"#, small),
        (r#"{"Network":"10.100.0.0/31"}"#, small),
        (r#"{"Network":"0.0.0.0/0"}"#, no_network),
        (
            r#"{"Network":"10.100.0.0/16","SubnetMin":"10.99.0.0"}"#,
            "SubnetMin is not in the range of the Network",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetMin":"10.100.1.128"}"#,
            "SubnetMin is not on a SubnetLen boundary: 10.100.1.128",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetMin":null}"#,
            "invalid IP address format",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetMin":"x"}"#,
            "invalid IP address format",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetMax":"10.101.0.0"}"#,
            "SubnetMax is not in the range of the Network",
        ),
        (
            r#"{"Network":"10.100.0.0/16","SubnetMax":"10.100.5.1"}"#,
            "SubnetMax is not on a SubnetLen boundary: 10.100.5.1",
        ),
        (r#"{"EnableIPv4":false}"#, "none defined stack"),
        (
            r#"{"Network":"10.100.0.0/16","EnableIPv6":true}"#,
            "please define a correct IPv6Network parameter in the flannel config",
        ),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn refusals_of_ipv6_have_flannels_words() {
    for (rest, message) in [
        (r#""IPv6Network":null"#, "invalid CIDR address: null"),
        (
            r#""IPv6Network":"10.0.0.0/8""#,
            "IPv6SubnetMin is not on a SubnetLen boundary: ::1:0:ffff:a00:0",
        ),
        (
            r#""IPv6Network":"fd00::/125""#,
            "IPv6Network is too small. Minimum useful network prefix is /124",
        ),
        (
            r#""IPv6Network":"fd00::/48","IPv6SubnetLen":127"#,
            "SubnetLen must be less than /127",
        ),
        (
            r#""IPv6Network":"fd00::/48","IPv6SubnetLen":49"#,
            "network must be able to accommodate at least four subnets",
        ),
        (
            r#""IPv6Network":"fd00::/48","IPv6SubnetMin":"fd01::""#,
            "IPv6SubnetMin is not in the range of the IPv6Network",
        ),
        (
            r#""IPv6Network":"fd00::/48","IPv6SubnetMin":"fd00:0:0:1::1""#,
            "IPv6SubnetMin is not on a SubnetLen boundary: fd00:0:0:1::1",
        ),
        (
            r#""IPv6Network":"fd00::/48","IPv6SubnetMax":"fd01::""#,
            "IPv6SubnetMax is not in the range of the IPv6Network",
        ),
    ] {
        let text = format!(r#"{{"Network":"10.100.0.0/16","EnableIPv6":true,{rest}}}"#);
        assert_eq!(refused(&text), message, "{text}");
    }
}

#[test]
fn wrong_types_name_the_key_and_what_is_right() {
    let network = |rest: &str| refused(&format!(r#"{{"Network":"10.100.0.0/16",{rest}}}"#));
    let whole = "must be a whole number of at least 0";
    assert_eq!(
        network(r#""SubnetLen":-1"#),
        format!("SubnetLen {whole}, not -1")
    );
    assert_eq!(
        network(r#""SubnetLen":24.5"#),
        format!("SubnetLen {whole}, not 24.5")
    );
    assert_eq!(
        network(r#""SubnetLen":"24""#),
        format!("SubnetLen {whole}, not \"24\"")
    );
    assert_eq!(
        refused("[]"),
        "the network configuration must be an object, not an array"
    );
    assert_eq!(
        refused("\"x\""),
        "the network configuration must be an object, not a string"
    );
    for rest in [r#""Backend":"vxlan""#, r#""Backend":{"Type":5}"#] {
        let text = format!(r#"{{"Network":"10.100.0.0/16",{rest}}}"#);
        let error = NetworkConfig::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, ConfigError::Backend(_)), "{error:?}");
    }
}

#[test]
fn defaults_are_flannels() {
    for (text, len, first, last) in [
        (r#"{"Network":"10.5.0.0/16"}"#, 24, "10.5.1.0", "10.5.255.0"),
        (r#"{"network":"10.5.9.9/16"}"#, 24, "10.5.1.0", "10.5.255.0"),
        (
            r#"{"Network":"10.5.0.0/16","Network":"10.6.0.0/16"}"#,
            24,
            "10.6.1.0",
            "10.6.255.0",
        ),
        (r#"{"Network":"10.0.0.0/22"}"#, 24, "10.0.1.0", "10.0.3.0"),
        (
            r#"{"Network":"10.0.0.0/23"}"#,
            25,
            "10.0.0.128",
            "10.0.1.128",
        ),
        (r#"{"Network":"10.0.0.0/28"}"#, 30, "10.0.0.4", "10.0.0.12"),
        (
            r#"{"Network":"10.0.0.0/8","SubnetLen":20,"SubnetMin":"10.10.0.0","SubnetMax":"10.99.0.0","Unknown":[1]}"#,
            20,
            "10.10.0.0",
            "10.99.0.0",
        ),
    ] {
        let pool = read(text).v4.unwrap();
        let found = (
            pool.subnet_len(),
            pool.first().to_string(),
            pool.last().to_string(),
        );
        assert_eq!(found, (len, first.to_owned(), last.to_owned()), "{text}");
    }
    for (network, len, first, last) in [
        ("fc00::/48", 64, "fc00:0:0:1::", "fc00:0:0:ffff::"),
        ("fd00::/63", 65, "fd00::8000:0:0:0", "fd00:0:0:1:8000::"),
        ("fd00::/124", 126, "fd00::4", "fd00::c"),
        ("fd00::/16", 64, "fd00:0:0:1::", "fd00:ffff:ffff:ffff::"),
    ] {
        let text = format!(
            r#"{{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"{network}","IPv6SubnetMin":null}}"#
        );
        let config = read(&text);
        let pool = config.v6.unwrap();
        let found = (
            pool.subnet_len(),
            pool.first().to_string(),
            pool.last().to_string(),
        );
        assert_eq!(found, (len, first.to_owned(), last.to_owned()), "{text}");
        assert_eq!(config.v4, None);
    }
}

#[test]
fn the_backend_has_a_name_or_none() {
    for (rest, kind) in [
        ("", "udp"),
        (r#","Backend":{}"#, ""),
        (r#","Backend":null"#, ""),
        (r#","Backend":{"Type":""}"#, ""),
        (r#","backend":{"type":"VXLAN"}"#, "vxlan"),
        (r#","Backend":{"Type":"host-gw"}"#, "host-gw"),
    ] {
        assert_eq!(
            read(&format!(r#"{{"Network":"10.5.0.0/16"{rest}}}"#))
                .backend
                .kind,
            kind
        );
    }
}

#[test]
fn ipip_has_one_option_and_is_for_ipv4_alone() {
    let parse = |families: &str, options: &str| {
        let text = format!(r#"{{{families},"Backend":{{"Type":"ipip"{options}}}}}"#);
        IpipOptions::parse(&NetworkConfig::parse(text.as_bytes()).unwrap())
    };
    let v4 = r#""Network":"10.5.0.0/16""#;
    for (options, direct_routing) in [
        ("", false),
        (r#","DirectRouting":null"#, false),
        (r#","directrouting":true"#, true),
        (r#","MTU":1400"#, false),
    ] {
        assert_eq!(
            parse(v4, options).unwrap(),
            IpipOptions { direct_routing },
            "{options}"
        );
    }
    assert!(parse(v4, r#","DirectRouting":"yes""#).is_err());
    let v6 = r#""EnableIPv6":true,"IPv6Network":"fd00:100::/48""#;
    for families in [format!("{v4},{v6}"), format!(r#""EnableIPv4":false,{v6}"#)] {
        let error = parse(&families, "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the backend ipip carries IPv4 only, and EnableIPv6 is true: leave IPv6 out of the \
             network config (IPv4 needs a Network), or use the backend vxlan or host-gw"
        );
    }
}

fn vxlan(options: &str, dual: bool) -> Result<VxlanOptions, BackendError> {
    let value: serde_json::Value = serde_json::from_str(options).unwrap();
    VxlanOptions::parse(&Backend::parse(Some(&value)).unwrap(), dual)
}

#[test]
fn vxlan_options_have_flannels_defaults_and_limits() {
    let options = vxlan(r#"{"Type":"vxlan"}"#, false).unwrap();
    let default = VxlanOptions {
        vni: 1,
        port: 0,
        mtu: None,
        gbp: false,
        learning: false,
        direct_routing: false,
    };
    assert_eq!(options, default);
    let set = r#"{"vni":7,"port":4789,"mtu":1400,"gbp":true,"Learning":true,"directrouting":true}"#;
    let options = vxlan(set, false).unwrap();
    assert_eq!(
        (options.vni, options.port, options.mtu),
        (7, 4789, Some(1400))
    );
    assert!(options.gbp && options.learning && options.direct_routing);
    for (port, result) in [
        (-1, None),
        (0, Some(0)),
        (1, Some(1)),
        (8472, Some(8472)),
        (65_535, Some(65_535)),
        (65_536, None),
        (70_000, None),
    ] {
        let read = vxlan(&format!(r#"{{"Port":{port}}}"#), false);
        assert_eq!(read.ok().map(|options| options.port), result, "{port}");
    }
    for (vni, dual, good) in [
        (0, false, true),
        (1, false, true),
        (16_777_216, false, false),
        (70_000, false, true),
        (9_999_999, false, true),
        (10_000_000, false, false),
        (9_999, true, true),
        (10_000, true, false),
        (-1, false, false),
    ] {
        assert_eq!(
            vxlan(&format!(r#"{{"VNI":{vni}}}"#), dual).is_ok(),
            good,
            "{vni} {dual}"
        );
    }
    assert!(vxlan(r#"{"VNI":"1"}"#, false).is_err());
    for (mtu, ipv6, good) in [
        (0, false, true),
        (118, false, true),
        (117, false, false),
        (9000, false, true),
        (65_535, true, true),
        (65_536, true, false),
        (1350, true, true),
        (1349, true, false),
        (-1, false, false),
    ] {
        assert_eq!(
            vxlan(&format!(r#"{{"MTU":{mtu}}}"#), ipv6).is_ok(),
            good,
            "{mtu} {ipv6}"
        );
    }
}

/// flanneld takes these, and fails or misbehaves later.
#[test]
fn values_that_cannot_work_are_refused() {
    let v6 = |rest: &str| format!(r#"{{"EnableIPv4":false,"EnableIPv6":true,{rest}}}"#);
    for (text, message) in [
        (
            r#"{"Network":"10.100.0.0/16","SubnetMin":"10.100.9.0","SubnetMax":"10.100.8.0"}"#
                .to_owned(),
            "SubnetMin 10.100.9.0 is after SubnetMax 10.100.8.0: there is no subnet between them",
        ),
        (
            v6(r#""IPv6Network":"fd00::/48","IPv6SubnetMin":"fd00:0:0:9::",
                "IPv6SubnetMax":"fd00:0:0:8::""#),
            "IPv6SubnetMin fd00:0:0:9:: is after IPv6SubnetMax fd00:0:0:8::: there is no subnet \
             between them",
        ),
        (
            r#"{"Network":"127.0.0.0/16"}"#.to_owned(),
            "Network 127.0.0.0/16 holds loopback addresses: give one that pods can have",
        ),
        (
            r#"{"Network":"126.0.0.0/7"}"#.to_owned(),
            "Network 126.0.0.0/7 holds loopback addresses: give one that pods can have",
        ),
        (
            r#"{"Network":"239.1.0.0/16"}"#.to_owned(),
            "Network 239.1.0.0/16 holds multicast addresses: give one that pods can have",
        ),
        (
            v6(r#""IPv6Network":"fe80::/48""#),
            "IPv6Network fe80::/48 holds link-local addresses: give one that pods can have",
        ),
    ] {
        assert_eq!(refused(&text), message, "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in ".{0,80}") {
        let _ = NetworkConfig::parse(text.as_bytes());
    }

    #[test]
    fn no_numbers_panic(ip in any::<[u8; 4]>(), len in 0u8..=33, subnet_len in 0u64..300,
                        v6 in any::<[u16; 8]>(), len6 in 0u8..=129, subnet_len6 in 0u64..300) {
        let v4 = std::net::Ipv4Addr::from(ip);
        let v6 = std::net::Ipv6Addr::from(v6);
        let text = format!(
            r#"{{"EnableIPv6":true,"Network":"{v4}/{len}","SubnetLen":{subnet_len},"IPv6Network":"{v6}/{len6}","IPv6SubnetLen":{subnet_len6}}}"#
        );
        if let Ok(config) = NetworkConfig::parse(text.as_bytes()) {
            for pool in [config.v4, config.v6].into_iter().flatten() {
                let taken = pool.taken([]);
                prop_assert!(pool.size() >= 3);
                for index in [0, pool.size() - 1] {
                    let subnet = pool.nth_free(&taken, index).unwrap();
                    prop_assert!(pool.contains(subnet));
                    prop_assert!(pool.network().contains(subnet.ip()));
                }
            }
        }
    }
}

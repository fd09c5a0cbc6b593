//! The wireguard backend's options and what nodes publish of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cluster::{
    BackendError, LeaseAttrs, NetworkConfig, WireguardData, WireguardMode, WireguardOptions,
    is_backend_device, is_wireguard_device, parse_key, print_key,
};
use proptest::prelude::*;

const PSK: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn v4(backend: &str) -> NetworkConfig {
    config(r#""Network":"10.100.0.0/16""#, backend)
}

fn v6(backend: &str) -> NetworkConfig {
    let families = r#""EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:100::/48""#;
    config(families, backend)
}

fn dual(backend: &str) -> NetworkConfig {
    let families = r#""Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48""#;
    config(families, backend)
}

fn config(families: &str, backend: &str) -> NetworkConfig {
    let text = format!(r#"{{{families},"Backend":{{"Type":"wireguard"{backend}}}}}"#);
    NetworkConfig::parse(text.as_bytes()).unwrap()
}

#[test]
fn options_have_flannels_defaults() {
    let options = WireguardOptions::parse(&v4("")).unwrap();
    let default = WireguardOptions {
        listen_port: 51820,
        listen_port_v6: 51821,
        mtu: None,
        psk: None,
        keepalive: 0,
        mode: WireguardMode::Separate,
    };
    assert_eq!(options, default);
    assert_eq!((options.port(false), options.port(true)), (51820, 51821));
    let devices = (options.device(false), options.device(true));
    assert_eq!(devices, ("flannel-wg", "flannel-wg-v6"));
    let all = format!(
        r#","listenport":1,"ListenPortV6":2,"MTU":1400,"psk":"{PSK}","PersistentKeepaliveInterval":25,
            "mode":"auto""#
    );
    let options = WireguardOptions::parse(&dual(&all)).unwrap();
    assert_eq!(
        (options.port(false), options.port(true)),
        (1, 1),
        "one device"
    );
    assert_eq!((options.mtu, options.keepalive), (Some(1400), 25));
    assert_eq!(options.psk.map(|psk| psk.reveal()), Some([9; 32]));
    assert_eq!(options.mode, WireguardMode::Auto);
    let none = WireguardOptions::parse(&v4(r#","PSK":"","MTU":0,"Mode":null"#));
    assert_eq!(none.unwrap(), default);
}

#[test]
fn what_cannot_work_is_refused_with_key_and_value() {
    for (config, message) in [
        (
            v4(r#","Mode":"Both""#),
            r#"Mode "Both" is unknown: give separate, auto, ipv4 or ipv6"#,
        ),
        (
            v4(r#","Mode":"""#),
            r#"Mode "" is unknown: give separate, auto, ipv4 or ipv6"#,
        ),
        (
            v4(r#","Mode":"ipv6""#),
            r#"Mode "ipv6" needs EnableIPv6, which is off: no node would have an address for it"#,
        ),
        (
            v6(r#","Mode":"ipv4""#),
            r#"Mode "ipv4" needs EnableIPv4, which is off: no node would have an address for it"#,
        ),
        (
            v4(r#","ListenPort":0"#),
            "ListenPort 0 is out of range: give 1 to 65535, or leave it out",
        ),
        (
            v4(r#","ListenPort":70000"#),
            "ListenPort 70000 is out of range: give 1 to 65535, or leave it out",
        ),
        (
            v4(r#","ListenPortV6":-1"#),
            "ListenPortV6 -1 is out of range: give 1 to 65535, or leave it out",
        ),
        (
            dual(r#","ListenPort":51821"#),
            "ListenPort and ListenPortV6 are both 51821: give each device its own, or a Mode with one device",
        ),
        (
            v4(r#","PersistentKeepaliveInterval":70000"#),
            "PersistentKeepaliveInterval 70000 is out of range: give 0 to 65535 seconds",
        ),
        (
            v4(r#","MTU":147"#),
            "MTU 147 is out of range: give 148 to 65535, or leave it out",
        ),
        (
            v6(r#","MTU":1359"#),
            "MTU 1359 is out of range: give 1360 to 65535, or leave it out",
        ),
    ] {
        let error = WireguardOptions::parse(&config).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert!(
        WireguardOptions::parse(&v4(r#","ListenPort":51821"#)).is_ok(),
        "one device"
    );
    assert!(WireguardOptions::parse(&dual(r#","ListenPort":51821,"Mode":"auto""#)).is_ok());
}

#[test]
fn a_shared_key_is_nowhere_to_be_seen() {
    for wrong in [
        r#""not base64""#,
        &format!(r#""{}""#, &PSK[4..]),
        &format!(r#""{PSK}AAAA""#),
        &format!(r#"["{PSK}"]"#),
        "12345",
    ] {
        let error = WireguardOptions::parse(&v4(&format!(r#","PSK":{wrong}"#))).unwrap_err();
        assert!(matches!(error, BackendError::Psk), "{wrong}: {error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains(wrong.trim_matches('"')), "{text}");
    }
    let config = v4(&format!(r#","PSK":"{PSK}""#));
    let options = WireguardOptions::parse(&config).unwrap();
    assert!(options.psk.is_some());
    let text = format!("{config:?} {options:?}");
    assert!(!text.contains(PSK) && !text.contains("9, 9"), "{text}");
    let whole = format!(r#"{{"Network":"10.0.0.0/8","Backend":[{{"PSK":"{PSK}"}}]}}"#);
    let error = NetworkConfig::parse(whole.as_bytes()).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PSK), "{text}");
}

fn data(json: &str) -> Result<WireguardData, String> {
    let lease = format!(r#"{{"PublicIP":"192.0.2.1","BackendData":{json}}}"#);
    let attrs = LeaseAttrs::parse(lease.as_bytes()).unwrap();
    WireguardData::parse(&attrs.backend_data.unwrap()).map_err(|error| error.to_string())
}

#[test]
fn backend_data_of_all_flannels_are_read_and_those_of_the_newest_written() {
    let public_key = [1; 32];
    let port = |port| WireguardData { public_key, port };
    for (json, read) in [
        (format!(r#"{{"PublicKey":"{KEY}"}}"#), port(None)),
        (format!(r#"{{"PublicKey":"{KEY}","Port":0}}"#), port(None)),
        (
            format!(r#"{{"publickey":"{KEY}","PORT":51999,"x":1}}"#),
            port(Some(51999)),
        ),
    ] {
        assert_eq!(data(&json), Ok(read), "{json}");
    }
    let written = port(Some(51820)).to_json();
    assert_eq!(
        written.as_str(),
        format!(r#"{{"PublicKey":"{KEY}","Port":51820}}"#)
    );
    assert_eq!(
        port(None).to_json().as_str(),
        format!(r#"{{"PublicKey":"{KEY}"}}"#)
    );
    for (json, message) in [
        (
            r#""text""#.to_owned(),
            "the wireguard backend data cannot be read",
        ),
        (
            "{}".to_owned(),
            "the wireguard backend data has no PublicKey",
        ),
        (
            r#"{"PublicKey":"not-a-key"}"#.to_owned(),
            r#"PublicKey "not-a-key" is not a key of 32 bytes in base64"#,
        ),
        (
            r#"{"PublicKey":"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ=="}"#.to_owned(),
            r#"PublicKey "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ==" is not a key of 32 bytes in base64"#,
        ),
        (
            r#"{"PublicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#.to_owned(),
            r#"PublicKey "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" is not a key of 32 bytes in base64"#,
        ),
        (
            format!(r#"{{"PublicKey":"{KEY}","Port":70000}}"#),
            "Port 70000 is out of range: 0 to 65535",
        ),
    ] {
        assert_eq!(data(&json), Err(message.to_owned()), "{json}");
    }
}

#[test]
fn devices_are_known_by_name() {
    for (name, known) in [
        ("flannel-wg", true),
        ("flannel-wg-v6", true),
        ("flannel-wg-v4", false),
        ("wg0", false),
        ("flannel.1", false),
    ] {
        assert_eq!(is_wireguard_device(name), known, "{name}");
    }
    assert!(is_backend_device("flannel.1") && is_backend_device("flannel-wg"));
    assert!(!is_backend_device("eth0"));
}

proptest! {
    #[test]
    fn keys_survive_printing(key: [u8; 32]) {
        prop_assert_eq!(parse_key(&print_key(&key)), Some(key));
    }

    #[test]
    fn no_data_panic(text in "\\{?\"?(PublicKey|Port)?\"?:?.{0,50}\\}?") {
        let lease = format!(r#"{{"PublicIP":"192.0.2.1","BackendData":{text}}}"#);
        if let Ok(attrs) = LeaseAttrs::parse(lease.as_bytes())
            && let Some(raw) = attrs.backend_data
        {
            let _ = WireguardData::parse(&raw);
        }
    }
}

//! Leases as annotations of nodes, byte for byte as flannel's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;

use cluster::{
    AnnotationKeys, Families, LeaseAttrs, NodeError, PublicAddresses, RawJson, VtepData, pod_cidrs,
};
use proptest::prelude::*;
use serde_json::Value;

const V4: Families = Families {
    v4: true,
    v6: false,
};
const V6: Families = Families {
    v4: false,
    v6: true,
};
const DUAL: Families = Families { v4: true, v6: true };

type Annotations = BTreeMap<String, String>;

fn read(annotations: &Annotations, families: Families) -> Result<Option<LeaseAttrs>, NodeError> {
    let keys = AnnotationKeys::default();
    keys.read(families, |key| annotations.get(key).map(String::as_str))
}

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    let keys = AnnotationKeys::default();
    let whole = |(word, value): &(&str, &str)| (keys.key(word), (*value).to_owned());
    pairs.iter().map(whole).collect()
}

fn vtep(last: u8) -> RawJson {
    let data = VtepData {
        vni: Some(1),
        mac: [2, 0, 0, 0, 0, last],
    };
    data.to_json()
}

fn attrs(kind: &'static str, v4: bool, v6: bool) -> LeaseAttrs {
    let public_ip = if v4 { [192, 0, 2, 1] } else { [0; 4] };
    let public_ipv6 = v6.then(|| "2001:db8::1".parse().unwrap());
    let mut attrs = LeaseAttrs::new(public_ip.into(), public_ipv6);
    attrs.backend_type = kind.into();
    if kind == "vxlan" {
        attrs.backend_data = v4.then(|| vtep(4));
        attrs.backend_v6_data = v6.then(|| vtep(6));
    }
    attrs
}

#[test]
fn prefixes_are_normalised_as_flannel_does() {
    for (given, normal) in [
        ("flannel.alpha.coreos.com", "flannel.alpha.coreos.com/"),
        ("flannel.alpha.coreos.com/", "flannel.alpha.coreos.com/"),
        ("flannel.alpha.coreos.com/p", "flannel.alpha.coreos.com/p-"),
        ("flannel.alpha.coreos.com/p-", "flannel.alpha.coreos.com/p-"),
        ("org.com/9", "org.com/9-"),
    ] {
        assert_eq!(AnnotationKeys::new(given).unwrap().prefix(), normal);
    }
    for bad in [
        "org",
        "org/",
        "org/p",
        "org.COM",
        "org.com/P",
        "org.com/a/b",
        "",
        ".com",
        "a..b",
    ] {
        let error = AnnotationKeys::new(bad).expect_err(bad).to_string();
        assert!(error.contains("flannel.alpha.coreos.com"), "{error}");
    }
    assert_eq!(
        AnnotationKeys::new("org.com/9")
            .unwrap()
            .key("backend-type"),
        "org.com/9-backend-type"
    );
}

/// A backend, the families that are on, and what is written besides the same for all.
type Row<'a> = (&'static str, bool, bool, Vec<(&'a str, &'a str)>);

/// flannel-compat 3.2, each row of "written when".
#[test]
fn what_each_backend_writes() {
    let mac4 = r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:04"}"#;
    let mac6 = r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:06"}"#;
    let managed = ("kube-subnet-manager", "true");
    let table: [Row<'_>; 7] = [
        (
            "vxlan",
            true,
            false,
            vec![("backend-data", mac4), ("public-ip", "192.0.2.1")],
        ),
        (
            "vxlan",
            true,
            true,
            vec![
                ("backend-data", mac4),
                ("public-ip", "192.0.2.1"),
                ("backend-v6-data", mac6),
                ("public-ipv6", "2001:db8::1"),
            ],
        ),
        (
            "vxlan",
            false,
            true,
            vec![("backend-v6-data", mac6), ("public-ipv6", "2001:db8::1")],
        ),
        (
            "host-gw",
            true,
            false,
            vec![("backend-data", "null"), ("public-ip", "192.0.2.1")],
        ),
        (
            "host-gw",
            true,
            true,
            vec![
                ("backend-data", "null"),
                ("public-ip", "192.0.2.1"),
                ("backend-v6-data", "null"),
                ("public-ipv6", "2001:db8::1"),
            ],
        ),
        (
            "host-gw",
            false,
            true,
            vec![
                ("backend-data", "null"),
                ("public-ip", "0.0.0.0"),
                ("backend-v6-data", "null"),
                ("public-ipv6", "2001:db8::1"),
            ],
        ),
        (
            "",
            true,
            false,
            vec![("backend-data", "null"), ("public-ip", "192.0.2.1")],
        ),
    ];
    for (kind, v4, v6, more) in table {
        let mut expected = annotations(&more);
        expected.extend(annotations(&[managed, ("backend-type", kind)]));
        let attrs = attrs(kind, v4, v6);
        let keys = AnnotationKeys::default();
        let written: Annotations = keys
            .write(&attrs, PublicAddresses::default())
            .into_iter()
            .collect();
        assert_eq!(written, expected, "{kind} {v4} {v6}");
        let families = Families { v4, v6 };
        let back = read(&written, families).unwrap().expect("a lease");
        assert_eq!(back, attrs, "{kind} {v4} {v6}");
    }
}

/// H3: a flanneld of today finds its MAC by splitting the text at `:"`, and needs two pieces.
#[test]
fn flannel_finds_the_mac_after_a_rollback() {
    let keys = AnnotationKeys::default();
    let written = keys.write(&attrs("vxlan", true, true), PublicAddresses::default());
    for (key, value) in written {
        if key.ends_with("-data") {
            let pieces: Vec<&str> = value.split(":\"").collect();
            let [_, mac] = pieces[..] else {
                panic!("{value}")
            };
            assert!(mac.starts_with("02:00:00:00:00:"), "{mac}");
            assert!(!value.contains(' '));
        }
    }
}

#[test]
fn an_operator_has_the_last_word_about_public_addresses() {
    let keys = AnnotationKeys::default();
    let given = annotations(&[
        ("public-ip-overwrite", "203.0.113.9"),
        ("public-ipv6-overwrite", "2001:db8::9"),
        ("node-public-ip", "198.51.100.1"),
        ("node-public-ipv6", ""),
    ]);
    let get = |key: &str| given.get(key).map(String::as_str);
    let overwritten = keys.overwritten(get).unwrap();
    let written: Annotations = keys
        .write(&attrs("host-gw", true, true), overwritten)
        .into_iter()
        .collect();
    assert_eq!(written[&keys.key("public-ip")], "203.0.113.9");
    assert_eq!(written[&keys.key("public-ipv6")], "2001:db8::9");
    let of_node = keys.of_node(get).unwrap();
    assert_eq!(of_node.v4, Some([198, 51, 100, 1].into()));
    assert_eq!(of_node.v6, None);
    let bad = annotations(&[("node-public-ip", "2001:db8::1")]);
    let error = keys.of_node(|key| bad.get(key).map(String::as_str));
    assert_eq!(
        error.unwrap_err().to_string(),
        "its annotation flannel.alpha.coreos.com/node-public-ip is \"2001:db8::1\": give an IPv4 address"
    );
}

#[test]
fn what_cannot_be_a_lease_says_why() {
    let managed = ("kube-subnet-manager", "true");
    let nothing = annotations(&[("backend-type", "vxlan"), ("public-ip", "192.0.2.1")]);
    assert_eq!(read(&nothing, V4), Ok(None), "no daemon manages it");
    let not_quite = annotations(&[("kube-subnet-manager", "yes"), ("public-ip", "192.0.2.1")]);
    assert_eq!(read(&not_quite, V4), Ok(None));
    for (more, families, words) in [
        (
            vec![],
            V4,
            "no annotation flannel.alpha.coreos.com/public-ip",
        ),
        (
            vec![("public-ip", "here")],
            V4,
            "\"here\": give an IPv4 address",
        ),
        (
            vec![("public-ip", "2001:db8::1")],
            V4,
            "give an IPv4 address",
        ),
        (
            vec![("public-ip", "192.0.2.1")],
            DUAL,
            "no annotation flannel.alpha.coreos.com/public-ipv6",
        ),
        (
            vec![("public-ipv6", "192.0.2.1")],
            V6,
            "give an IPv6 address",
        ),
        (
            vec![("public-ip", "192.0.2.1"), ("backend-data", "{")],
            V4,
            "backend-data is \"{\": give JSON",
        ),
    ] {
        let mut pairs = vec![managed];
        pairs.extend(more);
        let error = read(&annotations(&pairs), families)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    // Of a family that is off, anything may be written.
    let odd = annotations(&[
        managed,
        ("public-ip", "192.0.2.1"),
        ("backend-v6-data", "{"),
    ]);
    assert!(read(&odd, V4).unwrap().is_some());
}

#[test]
fn pod_cidrs_by_family() {
    let list = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let dual = list(&["fd00:10:244:1::/64", "10.244.1.0/24"]);
    assert_eq!(pod_cidrs(&dual, V4).unwrap().key(), "10.244.1.0-24");
    assert_eq!(
        pod_cidrs(&dual, DUAL).unwrap().key(),
        "10.244.1.0-24&fd00:10:244:1::-64"
    );
    assert_eq!(
        pod_cidrs(&dual, V6).unwrap().key(),
        "0.0.0.0-0&fd00:10:244:1::-64"
    );
    for (texts, families, words) in [
        (list(&[]), V4, "no IPv4 pod CIDR"),
        (list(&["10.244.1.0/24"]), DUAL, "no IPv6 pod CIDR"),
        (list(&["10.244.1.0"]), V4, "\"10.244.1.0\" is no network"),
        (list(&["a/24"]), V4, "is no network"),
        (
            list(&["10.1.0.0/24", "10.2.0.0/24", "fd00::/64"]),
            V4,
            "3 pod CIDRs",
        ),
    ] {
        let error = pod_cidrs(&texts, families).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(prefix in ".{0,40}", values in prop::collection::vec(".{0,40}", 6), cidr in ".{0,30}") {
        let _ = AnnotationKeys::new(&prefix);
        let keys = AnnotationKeys::default();
        let words = ["kube-subnet-manager", "backend-type", "backend-data", "backend-v6-data", "public-ip", "public-ipv6"];
        let mut all = annotations(&words.iter().zip(&values).map(|(w, v)| (*w, v.as_str())).collect::<Vec<_>>());
        all.insert(keys.key("kube-subnet-manager"), "true".to_owned());
        let _ = read(&all, DUAL);
        let _ = pod_cidrs(&[cidr], DUAL);
    }

    #[test]
    fn what_is_written_is_read_again(text in "[ -~]{0,30}", v4: [u8; 4], v6: [u16; 8]) {
        let mut attrs = LeaseAttrs::new(v4.into(), Some(v6.into()));
        attrs.backend_type = "extension".into();
        attrs.backend_data = Some(RawJson::new(&Value::from(text)));
        let written: Annotations = AnnotationKeys::default()
            .write(&attrs, PublicAddresses::default())
            .into_iter()
            .collect();
        prop_assert_eq!(read(&written, DUAL).unwrap(), Some(attrs));
    }
}

//! What the reader gives to configuration types.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json::{from_slice, from_value};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    mtu: u32,
    is_gateway: bool,
    bridge: String,
    vlan: Option<i32>,
    ratio: f64,
    ipam: Ipam,
    list: Vec<String>,
    sets: Vec<Vec<Ipam>>,
    sysctl: BTreeMap<String, String>,
    prev_result: Option<Value>,
    raw: Value,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Ipam {
    #[serde(rename = "type")]
    plugin: String,
    subnet: String,
}

#[derive(Debug, Deserialize)]
struct Strict {
    #[allow(dead_code, reason = "only its absence matters")]
    needed: String,
}

fn read(text: &str) -> Config {
    from_slice(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    from_slice::<Config>(text.as_bytes()).unwrap_err().0
}

#[test]
fn keys_match_without_regard_to_case() {
    let config = read(r#"{"MTU":1400,"isgateway":true,"IPAM":{"TYPE":"x"},"unknown":{"a":[1]}}"#);
    assert_eq!(
        (config.mtu, config.is_gateway, config.ipam.plugin.as_str()),
        (1400, true, "x")
    );
}

#[test]
fn the_last_of_duplicates_wins() {
    assert_eq!(read(r#"{"mtu":1,"mtu":2}"#).mtu, 2);
    assert_eq!(read(r#"{"mtu":1,"MTU":2}"#).mtu, 2);
    assert_eq!(read(r#"{"MTU":2,"mtu":1}"#).mtu, 1);
    assert_eq!(read(r#"{"sysctl":{"a":"1","a":"2"}}"#).sysctl["a"], "2");
}

#[test]
fn null_leaves_what_was_there() {
    let all = r#"{"mtu":null,"isGateway":null,"bridge":null,"vlan":null,"ipam":null,"list":null,
        "sets":null,"sysctl":null,"prevResult":null,"raw":null,"ratio":null}"#;
    assert_eq!(read(all), Config::default());
    assert_eq!(read(r#"{"mtu":5,"mtu":null}"#).mtu, 5);
    assert_eq!(read("null"), Config::default());
    assert_eq!(read(r#"{"list":[null,"a"]}"#).list, ["", "a"]);
    assert_eq!(read(r#"{"sets":[[null]]}"#).sets, [[Ipam::default()]]);
    assert_eq!(read(r#"{"sysctl":{"a":null}}"#).sysctl["a"], "");
}

#[test]
fn keys_of_maps_keep_their_case() {
    let config = read(r#"{"sysctl":{"A":"1","a":"2"}}"#);
    assert_eq!(config.sysctl.len(), 2);
}

#[test]
fn raw_values_stay_as_they_are() {
    let config = read(r#"{"prevResult":{"a":null,"B":[1.5,-2]},"raw":"x"}"#);
    assert_eq!(config.prev_result, Some(json!({"a": null, "B": [1.5, -2]})));
    assert_eq!(config.raw, json!("x"));
    let ipam: Ipam = from_value(json!({"TYPE": "host-local"})).unwrap();
    assert_eq!(ipam.plugin, "host-local");
}

#[test]
fn numbers_are_checked() {
    assert_eq!(read(r#"{"vlan":-3,"ratio":2}"#).vlan, Some(-3));
    for (text, message) in [
        (
            r#"{"mtu":1500.0}"#,
            r#"number 1500.0 into key "mtu" of type integer (0 to 4294967295)"#,
        ),
        (
            r#"{"mtu":1e3}"#,
            r#"number 1000.0 into key "mtu" of type integer (0 to 4294967295)"#,
        ),
        (
            r#"{"mtu":-1}"#,
            r#"number -1 into key "mtu" of type integer (0 to 4294967295)"#,
        ),
        (
            r#"{"mtu":4294967296}"#,
            r#"number 4294967296 into key "mtu" of type integer (0 to 4294967295)"#,
        ),
        (
            r#"{"mtu":"1500"}"#,
            r#"string into key "mtu" of type integer (0 to 4294967295)"#,
        ),
        (
            r#"{"vlan":9999999999}"#,
            r#"number 9999999999 into key "vlan" of type integer"#,
        ),
        (
            r#"{"ratio":"1"}"#,
            r#"string into key "ratio" of type number"#,
        ),
    ] {
        assert_eq!(refusal(text), format!("json: cannot unmarshal {message}"));
    }
}

#[test]
fn wrong_types_name_the_key_what_was_found_and_what_is_wanted() {
    for (text, message) in [
        (
            r#"{"isGateway":"true"}"#,
            r#"string into key "isGateway" of type bool"#,
        ),
        (
            r#"{"bridge":5}"#,
            r#"number 5 into key "bridge" of type string"#,
        ),
        (
            r#"{"IPAM":5}"#,
            r#"number 5 into key "ipam" of type object"#,
        ),
        (
            r#"{"ipam":{"subnet":[]}}"#,
            r#"array into key "ipam.subnet" of type string"#,
        ),
        (r#"{"list":{}}"#, r#"object into key "list" of type array"#),
        (
            r#"{"list":["a",true]}"#,
            r#"bool into key "list[1]" of type string"#,
        ),
        (
            r#"{"sets":[[],[{"subnet":1}]]}"#,
            r#"number 1 into key "sets[1][0].subnet" of type string"#,
        ),
        (
            r#"{"sysctl":{"a":1}}"#,
            r#"number 1 into key "sysctl.a" of type string"#,
        ),
        (r#"[1]"#, "array into object"),
        (r#""x""#, "string into object"),
    ] {
        assert_eq!(refusal(text), format!("json: cannot unmarshal {message}"));
    }
    let missing = from_slice::<Vec<Strict>>(br#"[{}]"#).unwrap_err();
    assert_eq!(missing.0, r#"json: key "[0].needed" is missing"#);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e15..1e15f64).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(".{0,5}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[derive(Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
struct Ordinary {
    number: i32,
    text: Option<String>,
    list: Vec<u8>,
    map: BTreeMap<String, Option<bool>>,
    nested: Option<Box<Ordinary>>,
}

fn any_ordinary() -> impl Strategy<Value = Ordinary> {
    let leaf = (
        any::<i32>(),
        proptest::option::of(".{0,8}"),
        proptest::collection::vec(any::<u8>(), 0..6),
        proptest::collection::btree_map(".{0,5}", any::<Option<bool>>(), 0..4),
    )
        .prop_map(|(number, text, list, map)| Ordinary {
            number,
            text,
            list,
            map,
            nested: None,
        });
    leaf.prop_recursive(3, 8, 1, |inner| {
        (inner, any::<i32>()).prop_map(|(nested, number)| Ordinary {
            number,
            nested: Some(Box::new(nested)),
            ..Default::default()
        })
    })
}

proptest! {
    #[test]
    fn values_read_as_serde_json_reads_them(value in any_value()) {
        let text = value.to_string();
        prop_assert_eq!(from_slice::<Value>(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn ordinary_documents_read_as_serde_json_reads_them(document in any_ordinary()) {
        let text = serde_json::to_string(&document).unwrap();
        prop_assert_eq!(from_slice::<Ordinary>(text.as_bytes()).unwrap(), document);
    }

    #[test]
    fn never_panics(value in any_value()) {
        let _ = from_value::<Config>(value);
    }
}

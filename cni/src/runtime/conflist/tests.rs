//! Configuration directories and lists, good and bad.

use std::fs;

use super::*;

/// A directory with these files, by path and content.
fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn types(network: &NetworkConfig) -> Vec<&str> {
    network
        .plugins
        .iter()
        .map(|plugin| plugin.plugin.plugin_type.as_str())
        .collect()
}

fn load(files: &[(&str, &str)]) -> Result<NetworkConfig, String> {
    let dir = dir(files);
    NetworkConfig::load(dir.path(), "net").map_err(|error| {
        error
            .to_string()
            .replace(dir.path().to_str().unwrap(), "DIR")
    })
}

#[test]
fn the_first_list_of_the_name_wins_over_later_ones_and_single_files() {
    let network = load(&[
        ("20.conflist", r#"{"name":"net","plugins":[{"type":"b"}]}"#),
        (
            "10.conflist",
            r#"{"name":"other","plugins":[{"type":"x"}]}"#,
        ),
        ("30.conflist", r#"{"name":"net","plugins":[{"type":"c"}]}"#),
        ("00.conf", r#"{"name":"net","type":"a"}"#),
        (
            "sub.conflist/inner.conflist",
            r#"{"name":"net","plugins":[{"type":"d"}]}"#,
        ),
        ("15.txt", "not JSON"),
    ])
    .unwrap();
    assert_eq!(types(&network), ["b"]);
    assert_eq!(network.bytes, br#"{"name":"net","plugins":[{"type":"b"}]}"#);
}

#[test]
fn single_files_become_lists() {
    let text = r#"{"type":"bridge","name":"net","cniVersion":"0.3.1","b":1,"a":2.0}"#;
    let network = load(&[("b.json", text), ("a.conf", r#"{"name":"x","type":"y"}"#)]).unwrap();
    assert_eq!(
        (types(&network), network.version.as_str()),
        (vec!["bridge"], "0.3.1")
    );
    assert_eq!(network.plugins[0].plugin.name.as_deref(), Some("net"));
    assert_eq!(
        String::from_utf8(network.bytes).unwrap(),
        r#"{"cniVersion":"0.3.1","name":"net","plugins":[{"a":2,"b":1,"cniVersion":"0.3.1","name":"net","type":"bridge"}]}"#
    );
}

#[test]
fn plugins_beside_the_list_are_appended() {
    let side = [
        ("net/20.conf", r#"{"type":"c"}"#),
        ("net/10.conf", r#"{"type":"b"}"#),
        ("net/30.json", r#"{"type":"x"}"#),
    ];
    let with = |list: &'static str| {
        let files: Vec<_> = side
            .iter()
            .copied()
            .chain([("10.conflist", list)])
            .collect();
        load(&files)
    };
    let network = with(r#"{"name":"net","plugins":[{"type":"a"}]}"#).unwrap();
    assert_eq!(types(&network), ["a", "b", "c"]);
    assert_eq!(types(&with(r#"{"name":"net"}"#).unwrap()), ["b", "c"]);
    let only = r#"{"name":"net","loadOnlyInlinedPlugins":"True","plugins":[{"type":"a"}]}"#;
    assert_eq!(types(&with(only).unwrap()), ["a"]);
    let none = r#"{"name":"net","loadOnlyInlinedPlugins":true}"#;
    let text = "DIR/10.conflist: error parsing configuration list: no 'plugins' key, and loadOnlyInlinedPlugins is set";
    assert_eq!(with(none).unwrap_err(), text);
}

#[test]
fn nothing_found_says_where() {
    assert_eq!(load(&[]).unwrap_err(), "no net configurations found in DIR");
    assert_eq!(
        load(&[("a.txt", "")]).unwrap_err(),
        "no net configurations found in DIR"
    );
    for file in [
        ("a.conflist", r#"{"name":"x","plugins":[{"type":"a"}]}"#),
        ("a.conf", r#"{"name":"x","type":"a"}"#),
    ] {
        let error = load(&[file]).unwrap_err();
        assert_eq!(error, "no net configuration with name \"net\" in DIR");
    }
    let error = NetworkConfig::load(Path::new("/nonexistent/net.d"), "net").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no net configurations found in /nonexistent/net.d"
    );
}

#[test]
fn bad_files_are_named_with_what_is_wrong() {
    for (file, content, message) in [
        ("a.conflist", "", "unexpected end of JSON input"),
        ("a.conflist", "[]", "an object is wanted, not array"),
        ("a.conflist", r#"{"plugins":[]}"#, "no name"),
        (
            "a.conflist",
            r#"{"name":5}"#,
            "name must be a string, not number",
        ),
        ("a.conflist", r#"{"name":"net"}"#, "no plugin configs found"),
        (
            "a.conflist",
            r#"{"name":"net","plugins":[]}"#,
            "no plugins in list",
        ),
        (
            "a.conflist",
            r#"{"name":"net","plugins":{}}"#,
            "plugins must be a list, not object",
        ),
        (
            "a.conflist",
            r#"{"name":"net","plugins":[{}]}"#,
            "plugins[0]: missing 'type'",
        ),
        (
            "a.conflist",
            r#"{"name":"net","plugins":["x"]}"#,
            "plugins[0]: a plugin must be an object, not string",
        ),
        (
            "a.conflist",
            r#"{"name":"net","plugins":[{"type":"a","capabilities":{"x":1}}]}"#,
            "plugins[0]: json: cannot unmarshal number 1 into key \"capabilities.x\" of type bool",
        ),
        (
            "a.conflist",
            r#"{"name":"net","disableCheck":"no","plugins":[{"type":"a"}]}"#,
            "disableCheck must be true or false, not \"no\"",
        ),
        (
            "a.conflist",
            r#"{"name":"net","disableGC":1,"plugins":[{"type":"a"}]}"#,
            "disableGC must be true or false, not number",
        ),
        (
            "a.conflist",
            r#"{"name":"net","cniVersion":1,"plugins":[{"type":"a"}]}"#,
            "cniVersion must hold strings, not number",
        ),
        (
            "a.conflist",
            r#"{"name":"net","cniVersions":["x"],"plugins":[{"type":"a"}]}"#,
            "failed to convert major version part \"x\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        ("a.conf", r#"{"name":"net"}"#, "missing 'type'"),
    ] {
        let text = format!("DIR/{file}: error parsing configuration list: {message}");
        assert_eq!(load(&[(file, content)]).unwrap_err(), text);
    }
    let beside = load(&[("a.conflist", r#"{"name":"net"}"#), ("net/b.conf", "{}")]).unwrap_err();
    assert_eq!(
        beside,
        "DIR/net/b.conf: error parsing configuration list: missing 'type'"
    );
}

#[test]
fn the_highest_version_that_is_known_is_selected() {
    for (versions, selected) in [
        (
            r#""cniVersion":"0.4.0","cniVersions":["0.3.1","1.0.0","1.1.0","9.0.0"]"#,
            "1.1.0",
        ),
        (r#""cniVersion":"1.0.0","cniVersions":["0.4.0"]"#, "1.0.0"),
        (r#""cniVersions":["0.3.1","0.10.0","0.4.0"]"#, "0.10.0"),
        (r#""cniVersion":"1.2.0""#, "1.2.0"),
        (r#""cniVersions":["1.2.0"]"#, ""),
        (r#""x":0"#, ""),
    ] {
        let text = format!(r#"{{"name":"net",{versions},"plugins":[{{"type":"a"}}]}}"#);
        assert_eq!(
            NetworkConfig::parse(text.as_bytes()).unwrap().version,
            selected,
            "{text}"
        );
    }
}

#[test]
fn flags_are_booleans_or_words() {
    for (text, expected) in [
        (r#""disableCheck":true"#, (true, false)),
        (
            r#""disableGC":"TRUE","disableCheck":"False""#,
            (false, true),
        ),
        (r#""disableGC":null"#, (false, false)),
    ] {
        let text = format!(r#"{{"name":"net",{text},"plugins":[{{"type":"a"}}]}}"#);
        let network = NetworkConfig::parse(text.as_bytes()).unwrap();
        assert_eq!((network.disable_check, network.disable_gc), expected);
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let _ = NetworkConfig::parse(&bytes);
    }
}

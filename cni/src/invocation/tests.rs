//! The front end's rows: environment, order of checks, streams and exit status.

use std::sync::Mutex;

use super::*;
use crate::{Detachment, IpConfig, ValidAttachment};

/// Records what it was called with and answers as told.
#[derive(Default)]
struct Probe {
    calls: Mutex<Vec<String>>,
    addresses: Vec<&'static str>,
    fail: Option<&'static str>,
    panic: Option<&'static str>,
    versions: Option<&'static [SpecVersion]>,
}

impl Probe {
    fn log(&self, entry: impl Into<String>) -> Result<(), Error> {
        let entry = entry.into();
        let failing = self.fail.is_some_and(|name| entry.starts_with(name));
        let panicking = self.panic.is_some_and(|name| entry.starts_with(name));
        self.calls.lock().unwrap().push(entry);
        assert!(!panicking, "told to panic");
        if failing {
            Err(Error::new(111, "told to fail").with_details("d"))
        } else {
            Ok(())
        }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Plugin for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn role(&self) -> crate::Role {
        crate::Role::Interface
    }

    fn versions(&self) -> &'static [SpecVersion] {
        self.versions.unwrap_or(SpecVersion::ALL)
    }

    fn schema(&self) -> crate::PluginSchema {
        crate::PluginSchema::of::<()>("a stub", "{}")
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error> {
        self.log(format!(
            "add {} {} {}",
            call.network, call.version, attachment.ifname
        ))?;
        let ips = self.addresses.iter().map(|address| IpConfig {
            address: address.parse().unwrap(),
            gateway: None,
            interface: None,
        });
        Ok(AddResult {
            ips: ips.collect(),
            ..AddResult::default()
        })
    }

    fn del(&self, _call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
        self.log(format!("del {:?}", attachment.netns))
    }

    fn check(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<(), Error> {
        self.log("check")
    }

    fn gc(&self, _call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        self.log(format!("gc {:?}", valid.map(<[_]>::len)))
    }

    fn status(&self, _call: &Call<'_>) -> Result<(), Error> {
        self.log("status")
    }
}

fn env_of(command: &str) -> Env {
    [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "ctr1"),
        ("CNI_NETNS", "/run/netns/none"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"dbnet","type":"probe"}"#;

fn run_with(probe: &Probe, env: Env, mut stdin: &[u8]) -> Outcome {
    run(
        probe,
        &[],
        Invocation {
            env,
            stdin: &mut stdin,
        },
    )
}

/// Runs `command` with changed variables (`None` unsets) and gives the error as text.
fn refusal(command: &str, changes: &[(&str, Option<&str>)], stdin: &str) -> String {
    let (probe, mut env) = (Probe::default(), env_of(command));
    for (name, value) in changes {
        match value {
            Some(value) => env.insert((*name).to_owned(), (*value).to_owned()),
            None => env.remove(*name),
        };
    }
    let outcome = run_with(&probe, env, stdin.as_bytes());
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (1, ""),
        "{outcome:?}"
    );
    assert_eq!(probe.calls(), Vec::<String>::new());
    let error: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let details = error
        .get("details")
        .map_or("", |details| details.as_str().unwrap());
    format!(
        "{}|{}|{details}",
        error["code"],
        error["msg"].as_str().unwrap()
    )
}

#[test]
fn environment_is_checked_by_command() {
    let none = &[
        ("CNI_CONTAINERID", None),
        ("CNI_NETNS", None),
        ("CNI_IFNAME", None),
    ];
    let all: Vec<_> = none.iter().copied().chain([("CNI_PATH", None)]).collect();
    let missing = |names: &str| format!("4|required env variables [{names}] missing|");
    for (command, changes, expected) in [
        (
            "ADD",
            &none[..],
            missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"),
        ),
        (
            "ADD",
            &all,
            missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ),
        (
            "CHECK",
            &all,
            missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ),
        ("DEL", &all, missing("CNI_CONTAINERID,CNI_IFNAME,CNI_PATH")),
        ("GC", &all, missing("CNI_PATH")),
        ("STATUS", &all, missing("CNI_PATH")),
        ("ADD", &[("CNI_NETNS", Some(""))], missing("CNI_NETNS")),
        ("ADD", &[("CNI_PATH", Some(""))], missing("CNI_PATH")),
        (
            "ADD",
            &[("CNI_CONTAINERID", Some("a/b"))],
            "4|invalid characters in containerID|CNI_CONTAINERID=a/b".into(),
        ),
        (
            "ADD",
            &[("CNI_CONTAINERID", Some("_x")), ("CNI_IFNAME", None)],
            "4|invalid characters in containerID|CNI_CONTAINERID=_x".into(),
        ),
        (
            "ADD",
            &[("CNI_CONTAINERID", None), ("CNI_IFNAME", Some(".."))],
            "4|interface name is . or ..|CNI_IFNAME=..".into(),
        ),
        (
            "DEL",
            &[("CNI_IFNAME", Some("abcdefghijklmnop"))],
            "4|interface name is too long|interface name should be less than 16 characters: CNI_IFNAME=abcdefghijklmnop".into(),
        ),
        (
            "CHECK",
            &[("CNI_IFNAME", Some("a/b"))],
            "4|interface name contains / or : or whitespace characters|CNI_IFNAME=a/b".into(),
        ),
    ] {
        assert_eq!(
            refusal(command, changes, CONFIG),
            expected,
            "{command} {changes:?}"
        );
    }
}

#[test]
fn variables_that_a_command_ignores_are_not_checked() {
    for command in ["GC", "STATUS"] {
        let mut env = env_of(command);
        env.insert("CNI_CONTAINERID".into(), "a/b".into());
        env.insert("CNI_IFNAME".into(), "..".into());
        assert_eq!(
            run_with(&Probe::default(), env, CONFIG.as_bytes()),
            Outcome::default()
        );
    }
}

#[test]
fn standard_input_is_checked_before_the_command() {
    for (command, stdin, expected) in [
        (
            "ADD",
            "",
            "6|error unmarshall network config: unexpected end of JSON input|",
        ),
        (
            "ADD",
            r#"{"cniVersion":"1.0.0","name":"#,
            "6|error unmarshall network config: unexpected end of JSON input|",
        ),
        (
            "ADD",
            "[1]",
            "6|error unmarshall network config: json: cannot unmarshal array into object|",
        ),
        (
            "ADD",
            r#"{"cniVersion":"1.0.0","name":"dbnet"} x"#,
            "6|error unmarshall network config: invalid character 'x' after top-level value|",
        ),
        (
            "ADD",
            r#"{"cniVersion":"1.0.0"}"#,
            "7|missing network name|",
        ),
        (
            "ADD",
            r#"{"name":"a b"}"#,
            "7|invalid characters found in network name|a b",
        ),
        (
            "ADD",
            r#"{"name":5}"#,
            "6|error unmarshall network config: json: cannot unmarshal number 5 into key \"name\" of type string|",
        ),
        ("FOO", r#"{"name":""}"#, "7|missing network name|"),
        ("FOO", CONFIG, "4|unknown CNI_COMMAND: FOO|"),
        (
            "add",
            r#"{"name":"n","cniVersion":1}"#,
            "4|unknown CNI_COMMAND: add|",
        ),
    ] {
        assert_eq!(refusal(command, &[], stdin), expected, "{command} {stdin}");
    }
    let without_path = refusal("FOO", &[("CNI_PATH", None)], CONFIG);
    assert_eq!(without_path, "4|unknown CNI_COMMAND: FOO|");
}

#[test]
fn versions_are_gated() {
    let all = r#"["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#;
    let incompatible = |version: &str| {
        format!("1|incompatible CNI versions|config is \"{version}\", plugin supports {all}")
    };
    for (command, version, expected) in [
        ("ADD", r#""9.9.9""#, incompatible("9.9.9")),
        ("DEL", r#""9.9.9""#, incompatible("9.9.9")),
        ("ADD", r#""1.0""#, incompatible("1.0")),
        ("ADD", r#""abc""#, incompatible("abc")),
        ("CHECK", r#""1.0""#, incompatible("1.0")),
        (
            "ADD",
            "1",
            "6|decoding version from network config: json: cannot unmarshal number 1 into key \"cniVersion\" of type string|".into(),
        ),
        (
            "CHECK",
            r#""abc""#,
            "6|failed to convert major version part \"abc\": strconv.Atoi: parsing \"abc\": invalid syntax|".into(),
        ),
        ("CHECK", r#""1.2.3.4""#, "6|invalid version \"1.2.3.4\": too many parts|".into()),
        ("CHECK", r#""0.3.1""#, "1|config version does not allow CHECK|".into()),
        ("CHECK", "null", "1|config version does not allow CHECK|".into()),
        ("GC", r#""1.0.0""#, "1|config version does not allow GC|".into()),
        ("STATUS", r#""1.0.0""#, "1|config version does not allow STATUS|".into()),
        ("CHECK", r#""1.2.0""#, "1|plugin version does not allow CHECK|".into()),
        ("GC", r#""1.2.0""#, "1|plugin version does not allow GC|".into()),
        ("STATUS", r#""1.2.0""#, "1|plugin version does not allow STATUS|".into()),
    ] {
        let stdin = format!(r#"{{"cniVersion":{version},"name":"dbnet"}}"#);
        assert_eq!(refusal(command, &[], &stdin), expected, "{command} {version}");
    }
}

#[test]
fn a_plugin_of_some_versions_refuses_the_others() {
    let probe = Probe {
        versions: Some(&[SpecVersion::V0_4_0]),
        ..Probe::default()
    };
    let outcome = run_with(&probe, env_of("GC"), CONFIG.as_bytes());
    assert!(
        outcome.stdout.contains("plugin version does not allow GC"),
        "{outcome:?}"
    );
    let outcome = run_with(&probe, env_of("ADD"), CONFIG.as_bytes());
    assert!(
        outcome.stdout.contains(r#"plugin supports [\"0.4.0\"]"#),
        "{outcome:?}"
    );
}

/// Fails the test when it is read.
struct Untouchable;

impl Read for Untouchable {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("standard input was read");
    }
}

#[test]
fn version_needs_nothing_and_reads_nothing() {
    let env = Env::from([("CNI_COMMAND".to_owned(), "VERSION".to_owned())]);
    let outcome = run(
        &Probe::default(),
        &[],
        Invocation {
            env,
            stdin: &mut Untouchable,
        },
    );
    let stdout = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n";
    assert_eq!(
        outcome,
        Outcome {
            stdout: stdout.into(),
            ..Outcome::default()
        }
    );
}

#[test]
fn without_a_command_it_says_what_it_is() {
    for command in ["", "\0"] {
        let mut env = env_of("");
        if command == "\0" {
            env.remove("CNI_COMMAND");
        }
        let outcome = run(
            &Probe::default(),
            &[],
            Invocation {
                env,
                stdin: &mut Untouchable,
            },
        );
        assert_eq!((outcome.stdout.as_str(), outcome.code), ("", 0));
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(
            lines[0],
            concat!("CNI probe plugin podwire ", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(
            lines[1],
            "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
        );
    }
}

#[test]
fn unreadable_standard_input_is_code_5() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("pipe burst"))
        }
    }
    let invocation = Invocation {
        env: env_of("ADD"),
        stdin: &mut Broken,
    };
    let outcome = run(&Probe::default(), &[], invocation);
    assert_eq!(
        outcome.stdout,
        "{\n    \"code\": 5,\n    \"msg\": \"error reading from stdin: pipe burst\"\n}"
    );
}

#[test]
fn add_prints_the_result_in_the_configuration_s_version() {
    for (version, stated, expected) in [
        (
            r#""1.0.0""#,
            "1.0.0",
            "\"ips\": [\n        {\n            \"address\": \"10.0.0.2/8\"\n",
        ),
        (
            "null",
            "0.1.0",
            "\"ip4\": {\n        \"ip\": \"10.0.0.2/8\"\n",
        ),
        (
            r#""""#,
            "0.1.0",
            "\"ip4\": {\n        \"ip\": \"10.0.0.2/8\"\n",
        ),
    ] {
        let probe = Probe {
            addresses: vec!["10.0.0.2/8"],
            ..Probe::default()
        };
        let stdin = format!(r#"{{"CNIVERSION":{version},"Name":"dbnet"}}"#);
        let outcome = run_with(&probe, env_of("ADD"), stdin.as_bytes());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
        assert!(outcome.stdout.contains(expected), "{}", outcome.stdout);
        assert_eq!(probe.calls(), [format!("add dbnet {stated} eth0")]);
    }
}

#[test]
fn other_commands_succeed_silently() {
    let list = r#"{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[]}"#;
    let null = r#"{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":null}"#;
    for (command, stdin, call) in [
        ("DEL", CONFIG, "del Some(\"/run/netns/none\")"),
        ("CHECK", CONFIG, "check"),
        ("GC", CONFIG, "gc None"),
        ("GC", list, "gc Some(0)"),
        ("GC", null, "gc Some(0)"),
        ("STATUS", CONFIG, "status"),
    ] {
        let probe = Probe::default();
        assert_eq!(
            run_with(&probe, env_of(command), stdin.as_bytes()),
            Outcome::default()
        );
        assert_eq!(probe.calls(), [call]);
    }
    let (probe, mut env) = (Probe::default(), env_of("DEL"));
    env.insert("CNI_NETNS".into(), String::new());
    assert_eq!(run_with(&probe, env, CONFIG.as_bytes()), Outcome::default());
    assert_eq!(probe.calls(), ["del None"]);
}

#[test]
fn a_handler_s_error_is_printed_unchanged() {
    for (command, name) in [
        ("ADD", "add"),
        ("DEL", "del"),
        ("CHECK", "check"),
        ("GC", "gc"),
        ("STATUS", "status"),
    ] {
        let probe = Probe {
            fail: Some(name),
            ..Probe::default()
        };
        let outcome = run_with(&probe, env_of(command), CONFIG.as_bytes());
        let stdout =
            "{\n    \"code\": 111,\n    \"msg\": \"told to fail\",\n    \"details\": \"d\"\n}";
        assert_eq!(
            outcome,
            Outcome {
                stdout: stdout.into(),
                stderr: String::new(),
                code: 1
            }
        );
    }
}

#[test]
fn a_result_that_cannot_be_printed_is_taken_back() {
    let stdin = br#"{"cniVersion":"0.2.0","name":"dbnet"}"#;
    let probe = Probe::default();
    let outcome = run_with(&probe, env_of("ADD"), stdin);
    let message = "\"msg\": \"cannot convert: no valid IP addresses\"";
    assert!(
        outcome.code == 1 && outcome.stdout.contains(message),
        "{outcome:?}"
    );
    assert_eq!(
        probe.calls(),
        ["add dbnet 0.2.0 eth0", "del Some(\"/run/netns/none\")"]
    );

    let probe = Probe {
        fail: Some("del"),
        ..Probe::default()
    };
    let outcome = run_with(&probe, env_of("ADD"), stdin);
    assert!(outcome.stdout.contains(message), "{outcome:?}");
    assert!(outcome.stdout.contains("told to fail; d"), "{outcome:?}");
}

/// Takes so many bytes, then is full.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match bytes.len().min(self.0) {
            0 => Err(std::io::ErrorKind::StorageFull.into()),
            some => {
                self.0 -= some;
                Ok(some)
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn serve_to(probe: &Probe, command: &str, stdout: Option<&mut dyn Write>) -> Ended {
    let invocation = Invocation {
        env: env_of(command),
        stdin: &mut CONFIG.as_bytes(),
    };
    serve(probe, &[], invocation, stdout)
}

#[test]
fn a_result_that_cannot_be_written_is_taken_back() {
    for room in [0, 10] {
        let probe = Probe::default();
        let ended = serve_to(&probe, "ADD", Some(&mut Full(room)));
        assert_eq!(ended.code, 1);
        let text = "podwire: nobody can read the result: cannot write to standard output: ";
        assert!(ended.stderr.starts_with(text), "{ended:?}");
        assert_eq!(
            probe.calls(),
            ["add dbnet 1.1.0 eth0", "del Some(\"/run/netns/none\")"]
        );
    }
    let ended = serve_to(&Probe::default(), "VERSION", Some(&mut Full(0)));
    assert_eq!(ended.code, 1);
}

#[test]
fn without_standard_output_nothing_is_done_that_has_a_result() {
    for (command, code, calls) in [
        ("ADD", 1, vec![]),
        ("VERSION", 1, vec![]),
        ("DEL", 0, vec!["del Some(\"/run/netns/none\")"]),
        ("CHECK", 0, vec!["check"]),
    ] {
        let probe = Probe::default();
        let ended = serve_to(&probe, command, None);
        assert_eq!(ended.code, code, "{command}");
        assert_eq!(ended.stderr.is_empty(), code == 0, "{ended:?}");
        assert_eq!(probe.calls(), calls, "{command}");
    }
    let failing = Probe {
        fail: Some("del"),
        ..Probe::default()
    };
    let ended = serve_to(&failing, "DEL", None);
    assert_eq!(
        (ended.code, &*ended.stderr),
        (1, "podwire: told to fail; d\n")
    );
}

#[test]
fn a_panic_is_an_error_document() {
    for (command, name) in [
        ("ADD", "add"),
        ("DEL", "del"),
        ("CHECK", "check"),
        ("GC", "gc"),
        ("STATUS", "status"),
    ] {
        let probe = Probe {
            panic: Some(name),
            ..Probe::default()
        };
        let outcome = run_with(&probe, env_of(command), CONFIG.as_bytes());
        let error: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!((outcome.code, &error["code"]), (1, &999.into()));
        assert_eq!(error["msg"], "the plugin panicked: told to panic");
    }
}

#[test]
fn gc_does_nothing_where_the_configuration_disables_it() {
    let stdin =
        br#"{"cniVersion":"1.1.0","name":"n","disableGC":true,"cni.dev/valid-attachments":[]}"#;
    let probe = Probe::default();
    assert_eq!(run_with(&probe, env_of("GC"), stdin), Outcome::default());
    assert!(probe.calls().is_empty());
}

#[test]
fn the_plugin_s_own_namespace_is_refused_before_the_work() {
    let own = ("CNI_NETNS", Some("/proc/thread-self/ns/net"));
    let message = "8|plugin's netns and netns from CNI_NETNS should not be the same|";
    for command in ["ADD", "CHECK"] {
        assert_eq!(refusal(command, &[own], CONFIG), message);
        let not_overridden = [own, ("CNI_NETNS_OVERRIDE", Some("0"))];
        assert_eq!(refusal(command, &not_overridden, CONFIG), message);
    }
    let own = "/proc/thread-self/ns/net";
    for (command, value, call) in [
        ("ADD", "1", "add dbnet 1.1.0 eth0"),
        ("DEL", "TRUE", "del Some(\"/proc/thread-self/ns/net\")"),
        ("DEL", "0", "del None"),
        ("CHECK", "true", "check"),
    ] {
        let (probe, mut env) = (Probe::default(), env_of(command));
        env.insert("CNI_NETNS".into(), own.into());
        env.insert("CNI_NETNS_OVERRIDE".into(), value.into());
        assert_eq!(
            run_with(&probe, env, CONFIG.as_bytes()).code,
            0,
            "{command}"
        );
        assert_eq!(probe.calls(), [call]);
    }
}

proptest::proptest! {
    #[test]
    fn never_panics_and_always_prints_one_document(
        stdin in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
        command in "ADD|DEL|CHECK|GC|STATUS|X",
    ) {
        let outcome = run_with(&Probe::default(), env_of(&command), &stdin);
        proptest::prop_assert_eq!(outcome.code, 1);
        proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&outcome.stdout).is_ok());
    }
}

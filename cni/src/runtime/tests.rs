//! Chains with plugins that are closures, and the files they leave.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::{AddResult, ValidAttachment};

/// One call of a plugin: name, environment, configuration.
type Seen = (String, Env, String);

/// Answers for plugins and records their calls.
struct Fake<F> {
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: F,
}

impl<F: Fn(&str, &str) -> Result<String, crate::Error>> Runner for Fake<F> {
    fn run(&self, plugin: &Path, env: &Env, stdin: &[u8]) -> Result<Vec<u8>, crate::Error> {
        let name = plugin.file_name().unwrap().to_str().unwrap().to_owned();
        let answer = (self.answer)(&name, &env["CNI_COMMAND"]);
        let stdin = String::from_utf8(stdin.to_vec()).unwrap();
        self.seen.lock().unwrap().push((name, env.clone(), stdin));
        answer.map(String::into_bytes)
    }
}

struct World {
    dir: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    conf: RuntimeConf,
}

impl World {
    /// Files for the plugins `a`, `b` and `c`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(bin.join(name), "").unwrap();
        }
        let conf = RuntimeConf {
            container_id: "ctr1".into(),
            netns: "/run/netns/pod".into(),
            cni_path: vec![bin],
            cache_dir: dir.path().join("cache"),
            ..RuntimeConf::default()
        };
        Self {
            dir,
            seen: Arc::default(),
            conf,
        }
    }

    fn chain(
        &self,
        list: &str,
        answer: impl Fn(&str, &str) -> Result<String, crate::Error> + Send + Sync + 'static,
    ) -> Chain {
        let fake = Fake {
            seen: Arc::clone(&self.seen),
            answer,
        };
        Chain::with_runner(
            NetworkConfig::parse(list.as_bytes()).unwrap(),
            Box::new(fake),
        )
    }

    /// `COMMAND plugin` of every call since the last look.
    fn calls(&self) -> Vec<String> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.iter()
            .map(|(name, env, _)| format!("{} {name}", env["CNI_COMMAND"]))
            .collect()
    }

    fn cache_file(&self) -> PathBuf {
        self.conf.cache_dir.join("results/net-ctr1-eth0")
    }

    /// Every file below the cache directory.
    fn cached(&self) -> Vec<String> {
        let mut names = Vec::new();
        for dir in [
            self.conf.cache_dir.clone(),
            self.conf.cache_dir.join("results"),
        ] {
            let entries = fs::read_dir(dir).into_iter().flatten();
            names.extend(entries.map(|e| e.unwrap().file_name().into_string().unwrap()));
        }
        names.retain(|name| name != "results");
        names.sort();
        names
    }
}

const LIST: &str =
    r#"{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"a"},{"type":"b"},{"type":"c"}]}"#;

/// Each plugin adds an interface of its name.
fn add_interface(name: &str, _command: &str) -> Result<String, crate::Error> {
    Ok(json!({"cniVersion": "1.1.0", "interfaces": [{"name": name}]}).to_string())
}

fn full_text(error: &Error) -> String {
    let links = std::iter::successors(Some(error as &dyn std::error::Error), |e| (*e).source());
    links
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn fail_on(
    plugin: &'static str,
    command: &'static str,
) -> impl Fn(&str, &str) -> Result<String, crate::Error> {
    move |name, called| {
        if (name, called) == (plugin, command) {
            return Err(crate::Error::new(11, format!("{name} is busy")).with_details("d"));
        }
        add_interface(name, called)
    }
}

#[test]
fn add_hands_each_result_on_and_caches_the_last() {
    let mut world = World::new();
    let list = r#"{"cniVersion":"1.1.0","name":"net","plugins":[
        {"type":"a","z":1500.0,"name":"own"},
        {"type":"b","capabilities":{"mac":true,"ips":false,"other":true}}]}"#;
    world.conf.args = vec![
        ("IgnoreUnknown".into(), "1".into()),
        ("K".into(), "v".into()),
    ];
    world.conf.capability_args = [
        ("mac".to_owned(), json!("c2:11:22:00:00:01")),
        ("ips".to_owned(), json!([])),
    ]
    .into();
    let result = world.chain(list, add_interface).add(&world.conf).unwrap();
    assert_eq!(result.interfaces[0].name, "b");

    let seen = world.seen.lock().unwrap().clone();
    assert_eq!(
        seen[0].2,
        r#"{"cniVersion":"1.1.0","name":"net","type":"a","z":1500}"#
    );
    assert_eq!(
        seen[1].2,
        r#"{"capabilities":{"ips":false,"mac":true,"other":true},"cniVersion":"1.1.0","name":"net","prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"a"}]},"runtimeConfig":{"mac":"c2:11:22:00:00:01"},"type":"b"}"#
    );
    let expected = [
        ("CNI_ARGS", "IgnoreUnknown=1;K=v"),
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "ctr1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/run/netns/pod"),
        ("CNI_PATH", world.conf.cni_path[0].to_str().unwrap()),
    ];
    let env: Vec<(&str, &str)> = seen[0]
        .1
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, expected);
    assert_eq!(world.cached(), ["net-ctr1-eth0"]);
}

/// The bytes that cnitool left for `cniVersions` (container, interfaces and result shortened).
#[test]
fn the_cache_file_is_libcni_s() {
    let mut world = World::new();
    let list = r#"{"cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.0.0", "1.1.0", "9.0.0"], "name": "net", "plugins": [{"type": "a"}]}"#;
    let answer = |_: &str, _: &str| {
        Ok(r#"{"cniVersion":"1.1.0","interfaces":[{"mac":"c2:11:22:00:00:01","name":"cni0"}],"ips":[{"address":"10.22.0.3/24","gateway":"10.22.0.1","interface":0}]}"#.to_owned())
    };
    world.chain(list, answer).add(&world.conf).unwrap();
    let config = "eyJjbmlWZXJzaW9uIjogIjAuNC4wIiwgImNuaVZlcnNpb25zIjogWyIwLjMuMSIsICIxLjAuMCIsICIxLjEuMCIsICI5LjAuMCJdLCAibmFtZSI6ICJuZXQiLCAicGx1Z2lucyI6IFt7InR5cGUiOiAiYSJ9XX0=";
    let result = r#"{"cniVersion":"1.1.0","interfaces":[{"mac":"c2:11:22:00:00:01","name":"cni0"}],"ips":[{"address":"10.22.0.3/24","gateway":"10.22.0.1","interface":0}]}"#;
    assert_eq!(
        fs::read_to_string(world.cache_file()).unwrap(),
        format!(
            r#"{{"kind":"cniCacheV1","containerId":"ctr1","config":"{config}","ifName":"eth0","networkName":"net","netns":"/run/netns/pod","result":{result}}}"#
        )
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&world.cache_file()), 0o600);
    assert_eq!(mode(world.cache_file().parent().unwrap()), 0o700);

    world.conf.netns = String::new();
    world.conf.args = vec![("A".into(), "1".into())];
    world.conf.capability_args = [("x".to_owned(), json!({"b": 1, "a": 2}))].into();
    world.chain(list, answer).add(&world.conf).unwrap();
    let text = fs::read_to_string(world.cache_file()).unwrap();
    let middle = r#""networkName":"net","cniArgs":[["A","1"]],"capabilityArgs":{"x":{"a":2,"b":1}},"result":"#;
    assert!(text.contains(middle), "{text}");
    let attachment = &cached_attachments(&world.conf.cache_dir).unwrap()[0];
    assert_eq!(attachment.args, world.conf.args);
    assert_eq!(attachment.capability_args, world.conf.capability_args);
    assert_eq!(attachment.config, list.as_bytes());
}

#[test]
fn a_failed_chain_is_undone_in_reverse_order() {
    for version in ["1.1.0", "0.3.1"] {
        let world = World::new();
        let chain = world.chain(&LIST.replace("1.1.0", version), fail_on("b", "ADD"));
        let error = chain.add(&world.conf).unwrap_err();
        assert_eq!(
            full_text(&error),
            r#"plugin type="b" failed (add): b is busy; d"#
        );
        let has_prev = world.seen.lock().unwrap()[2].2.contains("prevResult");
        assert_eq!(has_prev, version == "1.1.0");
        assert_eq!(world.calls(), ["ADD a", "ADD b", "DEL b", "DEL a"]);
        assert_eq!(world.cached(), Vec::<String>::new());
    }
}

#[test]
fn an_undo_that_fails_keeps_both_errors_and_goes_on() {
    let world = World::new();
    let chain = world.chain(LIST, |name, command| match (name, command) {
        ("c", "ADD") => Err(crate::Error::new(7, "no")),
        ("b", "DEL") => Err(crate::Error::new(5, "stuck")),
        _ => add_interface(name, command),
    });
    let error = chain.add(&world.conf).unwrap_err();
    assert_eq!(
        full_text(&error),
        r#"add failed, and so did undoing it (plugin type="b" failed (delete): stuck): plugin type="c" failed (add): no"#
    );
    assert_eq!(
        world.calls(),
        ["ADD a", "ADD b", "ADD c", "DEL c", "DEL b", "DEL a"]
    );
    let root = crate::Error::internal(error);
    assert_eq!((root.code, root.msg.as_str()), (7, "no"));
}

#[test]
fn a_plugin_that_refuses_both_commands_alike_left_nothing() {
    let world = World::new();
    let refuse = |_: &str, _: &str| {
        Err(crate::Error::new(1, "incompatible CNI versions").with_details("config is \"1.2.0\""))
    };
    let chain = world.chain(&LIST.replace("1.1.0", "1.2.0"), refuse);
    let error = chain.add(&world.conf).unwrap_err();
    assert_eq!(
        full_text(&error),
        r#"plugin type="a" failed (add): incompatible CNI versions; config is "1.2.0""#
    );
}

#[test]
fn add_fails_before_any_work_for_what_can_be_known() {
    let mut world = World::new();
    let list = r#"{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"a"},{"type":"nope"}]}"#;
    let error = world
        .chain(list, add_interface)
        .add(&world.conf)
        .unwrap_err();
    let bin = world.conf.cni_path[0].display();
    assert_eq!(
        full_text(&error),
        format!(r#"plugin type="nope" failed (add): failed to find plugin "nope" in path [{bin}]"#)
    );
    world.conf.container_id = "a/b".into();
    let error = world
        .chain(LIST, add_interface)
        .add(&world.conf)
        .unwrap_err();
    assert_eq!(full_text(&error), "invalid characters in containerID; a/b");
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[test]
fn results_that_cannot_be_used_or_kept_are_undone() {
    let world = World::new();
    let garbage = world.chain(LIST, |_, _| Ok("{".to_owned()));
    let error = garbage.add(&world.conf).unwrap_err();
    let text = r#"plugin type="a" failed (add): unexpected end of JSON input"#;
    assert_eq!(full_text(&error), text);
    assert_eq!(world.calls(), ["ADD a", "DEL a"]);

    fs::write(&world.conf.cache_dir, "a file where a directory should be").unwrap();
    let error = world
        .chain(LIST, add_interface)
        .add(&world.conf)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Cache {
                operation: "write",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        world.calls(),
        ["ADD a", "ADD b", "ADD c", "DEL c", "DEL b", "DEL a"]
    );
}

#[test]
fn del_goes_backwards_with_the_cached_result_and_forgets_it() {
    let world = World::new();
    let chain = world.chain(LIST, add_interface);
    chain.add(&world.conf).unwrap();
    world.calls();
    fs::write(
        world.conf.cache_dir.join(".net-ctr1-eth0.new"),
        "cut off by a crash",
    )
    .unwrap();
    chain.del(&world.conf).unwrap();
    let prev = r#""prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"c"}]}"#;
    assert!(
        world
            .seen
            .lock()
            .unwrap()
            .iter()
            .all(|(_, _, stdin)| stdin.contains(prev))
    );
    assert_eq!(world.calls(), ["DEL c", "DEL b", "DEL a"]);
    assert_eq!(world.cached(), Vec::<String>::new());

    chain.del(&world.conf).unwrap();
    assert!(
        world
            .seen
            .lock()
            .unwrap()
            .iter()
            .all(|(_, _, stdin)| !stdin.contains("prevResult"))
    );
    assert_eq!(world.calls(), ["DEL c", "DEL b", "DEL a"]);
}

#[test]
fn del_stops_at_the_first_error_and_remembers() {
    let world = World::new();
    let chain = world.chain(LIST, fail_on("b", "DEL"));
    chain.add(&world.conf).unwrap();
    world.calls();
    let error = chain.del(&world.conf).unwrap_err();
    assert_eq!(
        full_text(&error),
        r#"plugin type="b" failed (delete): b is busy; d"#
    );
    assert_eq!(world.calls(), ["DEL c", "DEL b"]);
    assert_eq!(world.cached(), ["net-ctr1-eth0"]);
}

#[test]
fn del_does_without_a_damaged_cache_and_old_versions_get_no_result() {
    let world = World::new();
    let chain = world.chain(LIST, add_interface);
    chain.add(&world.conf).unwrap();
    fs::write(world.cache_file(), "{").unwrap();
    assert!(matches!(
        chain.check(&world.conf),
        Err(Error::Damaged { .. })
    ));
    chain.del(&world.conf).unwrap();
    assert_eq!(world.cached(), Vec::<String>::new());

    let old = world.chain(&LIST.replace("1.1.0", "0.3.1"), add_interface);
    old.add(&world.conf).unwrap();
    world.calls();
    old.del(&world.conf).unwrap();
    assert!(
        world
            .seen
            .lock()
            .unwrap()
            .iter()
            .all(|(_, _, stdin)| !stdin.contains("prevResult"))
    );
    assert_eq!(world.cached(), Vec::<String>::new());
}

#[test]
fn bare_results_of_old_runtimes_are_read_and_converted() {
    let world = World::new();
    let chain = world.chain(LIST, add_interface);
    fs::create_dir_all(world.cache_file().parent().unwrap()).unwrap();
    let bare = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/8"}}"#;
    fs::write(world.cache_file(), bare).unwrap();
    chain.check(&world.conf).unwrap();
    let prev = r#""prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/8"}]}"#;
    assert!(world.seen.lock().unwrap()[0].2.contains(prev));
    assert_eq!(world.calls(), ["CHECK a", "CHECK b", "CHECK c"]);
    assert_eq!(cached_attachments(&world.conf.cache_dir).unwrap(), []);
}

#[test]
fn check_is_gated_disabled_and_stops_at_the_first_error() {
    let world = World::new();
    let old = world.chain(&LIST.replace("1.1.0", "0.3.1"), add_interface);
    let error = old.check(&world.conf).unwrap_err();
    let text = r#"configuration version "0.3.1" does not support the CHECK command"#;
    assert_eq!(full_text(&error), text);
    let disabled = LIST.replace("{\"cni", "{\"disableCheck\":true,\"cni");
    world
        .chain(&disabled, fail_on("a", "CHECK"))
        .check(&world.conf)
        .unwrap();
    assert_eq!(world.calls(), Vec::<String>::new());
    let error = world
        .chain(LIST, fail_on("b", "CHECK"))
        .check(&world.conf)
        .unwrap_err();
    assert_eq!(
        full_text(&error),
        r#"plugin type="b" failed (check): b is busy; d"#
    );
    assert_eq!(world.calls(), ["CHECK a", "CHECK b"]);
}

fn add_containers(world: &mut World, ids: &[&str]) -> Chain {
    let chain = world.chain(LIST, add_interface);
    for id in ids {
        world.conf.container_id = (*id).to_owned();
        world.conf.netns = format!("/run/netns/{id}");
        world.conf.args = vec![("ID".into(), (*id).into())];
        chain.add(&world.conf).unwrap();
    }
    let other = world.chain(&LIST.replace("net", "other"), add_interface);
    other.add(&world.conf).unwrap();
    world.calls();
    world.conf.args.clear();
    chain
}

#[test]
fn gc_deletes_what_is_not_valid_then_tells_the_plugins() {
    let mut world = World::new();
    let chain = add_containers(&mut world, &["one", "two"]);
    let valid = [ValidAttachment {
        container_id: "one".into(),
        ifname: "eth0".into(),
    }];
    chain.gc(&world.conf, Some(&valid)).unwrap();
    let seen = world.seen.lock().unwrap().clone();
    assert_eq!(seen[0].1["CNI_NETNS"], "/run/netns/two");
    assert_eq!(seen[0].1["CNI_ARGS"], "ID=two");
    let (_, env, stdin) = &seen[3];
    assert_eq!(
        stdin,
        r#"{"cni.dev/attachments":[{"containerID":"one","ifname":"eth0"}],"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}],"cniVersion":"1.1.0","name":"net","type":"a"}"#
    );
    assert_eq!(
        (env["CNI_CONTAINERID"].as_str(), env["CNI_NETNS"].as_str()),
        ("", "")
    );
    assert_eq!(
        world.calls(),
        ["DEL c", "DEL b", "DEL a", "GC a", "GC b", "GC c"]
    );
    assert_eq!(world.cached(), ["net-one-eth0", "other-two-eth0"]);
}

#[test]
fn gc_without_a_list_deletes_all_and_tells_no_list() {
    let mut world = World::new();
    let chain = add_containers(&mut world, &["one", "two"]);
    chain.gc(&world.conf, None).unwrap();
    assert!(!world.seen.lock().unwrap()[6].2.contains("attachments"));
    assert_eq!(world.calls().len(), 9);
    assert_eq!(world.cached(), ["other-two-eth0"]);
}

#[test]
fn gc_collects_errors_is_gated_and_can_be_disabled() {
    let world = World::new();
    let failing = world.chain(LIST, |name, command| {
        if command == "ADD" {
            add_interface(name, command)
        } else {
            Err(crate::Error::msg("no"))
        }
    });
    failing.add(&world.conf).unwrap();
    world.calls();
    let error = failing.gc(&world.conf, Some(&[])).unwrap_err();
    assert!(
        matches!(&error, Error::Several(errors) if errors.len() == 4),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with(r#"plugin type="c" failed (delete): no; plugin type="a" failed (gc): no"#)
    );
    assert_eq!(world.calls(), ["DEL c", "GC a", "GC b", "GC c"]);

    let disabled = LIST.replace("{\"cni", "{\"disableGC\":true,\"cni");
    world
        .chain(&disabled, add_interface)
        .gc(&world.conf, Some(&[]))
        .unwrap();
    assert_eq!(world.calls(), Vec::<String>::new());
    world
        .chain(&LIST.replace("1.1.0", "1.0.0"), add_interface)
        .gc(&world.conf, None)
        .unwrap();
    assert_eq!(world.calls(), ["DEL c", "DEL b", "DEL a"]);
}

#[test]
fn status_returns_the_plugin_s_own_error() {
    let world = World::new();
    let chain = world.chain(LIST, |name, command| match name {
        "b" => Err(crate::Error::new(50, "not ready")),
        _ => add_interface(name, command),
    });
    let error = chain.status(&world.conf).unwrap_err();
    assert!(
        matches!(&error, Error::Protocol(e) if e.code == 50),
        "{error:?}"
    );
    assert_eq!(full_text(&error), "not ready");
    let stdin = &world.seen.lock().unwrap()[0].2.clone();
    assert_eq!(stdin, r#"{"cniVersion":"1.1.0","name":"net","type":"a"}"#);
    assert_eq!(world.calls(), ["STATUS a", "STATUS b"]);
    world
        .chain(&LIST.replace("1.1.0", "1.0.0"), fail_on("a", "STATUS"))
        .status(&world.conf)
        .unwrap();
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[test]
fn validate_asks_every_plugin_and_gathers_capabilities() {
    let world = World::new();
    let list = r#"{"cniVersion":"1.0.0","name":"net","plugins":[
        {"type":"a","capabilities":{"mac":true,"ips":false}},{"type":"b","capabilities":{"dns":true}}]}"#;
    let supports = |versions: &'static str| {
        move |name: &str, _: &str| {
            let versions = if name == "a" {
                r#"["1.0.0"]"#
            } else {
                versions
            };
            Ok(format!(
                r#"{{"cniVersion":"1.1.0","supportedVersions":{versions}}}"#
            ))
        }
    };
    let capabilities = world
        .chain(list, supports(r#"["0.4.0","1.0.0"]"#))
        .validate(&world.conf)
        .unwrap();
    assert_eq!(capabilities.into_iter().collect::<Vec<_>>(), ["dns", "mac"]);
    let (_, env, stdin) = world.seen.lock().unwrap()[0].clone();
    assert_eq!(stdin, r#"{"cniVersion":"1.1.0"}"#);
    assert_eq!(
        (env["CNI_COMMAND"].as_str(), env["CNI_NETNS"].as_str()),
        ("VERSION", "dummy")
    );

    let error = world
        .chain(list, supports(r#"["0.4.0"]"#))
        .validate(&world.conf)
        .unwrap_err();
    assert_eq!(
        full_text(&error),
        r#"plugin b does not support config version "1.0.0""#
    );
    let old = list.replace("\"cniVersion\":\"1.0.0\",", "");
    let ancient = |_: &str, _: &str| Err(crate::Error::new(4, "unknown CNI_COMMAND: VERSION"));
    world.chain(&old, ancient).validate(&world.conf).unwrap();
}

#[test]
fn plugins_are_executed_with_the_process_s_environment() {
    let world = World::new();
    let script = "#!/bin/sh\n[ \"$EXTRA $CNI_COMMAND\" = \"x ADD\" ] || exit 3\ncat >&2\necho '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.2/8\"}]}'\n";
    for name in ["a", "b", "c"] {
        let path = world.dir.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut exec = Exec::default();
    exec.env.insert("EXTRA".into(), "x".into());
    let network = NetworkConfig::parse(LIST.as_bytes()).unwrap();
    let chain = Chain::with_runner(network, Box::new(exec));
    let result: AddResult = chain.add(&world.conf).unwrap();
    assert_eq!(result.ips[0].address.to_string(), "10.0.0.2/8");
    let error = chain.del(&world.conf).unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "netplugin failed with no error message: exit status 3"
    );
}

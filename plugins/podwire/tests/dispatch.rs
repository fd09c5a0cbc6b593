//! Which plugin a name selects, and the command line.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::Stdio,
};

use kernel::Netlink;
use support::{Answer, Call, Node, answer, call, command, podwire};

const CONFIG: &str = r#"{"cniVersion": "1.0.0", "name": "net", "type": "host-local",
    "ipam": {"type": "host-local", "subnet": "10.22.0.0/24"}}"#;

#[test]
fn the_name_selects_the_plugin() {
    let Some(node) = Node::new() else { return };
    let linked = node.world.dir().join("elsewhere");
    fs::create_dir(&linked).unwrap();
    symlink(node.plugin("loopback"), linked.join("loopback")).unwrap();
    for executable in [
        node.plugin("host-local"),
        node.plugin("loopback"),
        linked.join("loopback"),
    ] {
        let answer = call(&executable, "VERSION", "", "").success();
        assert_eq!(answer.json()["cniVersion"], "1.1.0");
        let about = answer_without_command(&executable).success();
        let name = executable.file_name().unwrap().to_str().unwrap();
        assert!(
            about.stderr.starts_with(&format!("CNI {name} plugin")),
            "{about:?}"
        );
    }
}

fn answer_without_command(executable: &Path) -> Answer {
    answer(command(executable).spawn().unwrap())
}

#[test]
fn an_unknown_name_lists_the_names() {
    let Some(node) = Node::new() else { return };
    let unknown = node.plugin("some-other");
    fs::hard_link(node.plugin("podwire"), &unknown).unwrap();
    let person = answer_without_command(&unknown);
    assert_eq!((person.exit, person.stdout.as_str()), (Some(1), ""));
    let text = "\"some-other\" is no plugin of podwire; it can be called as ";
    assert!(
        person.stderr.contains(text) && person.stderr.contains("host-local"),
        "{person:?}"
    );
    for executable in [unknown, node.plugin("podwire")] {
        let (code, msg) = call(&executable, "ADD", "ctr1", CONFIG).error();
        assert_eq!(code, 999);
        assert!(msg.contains("is no plugin of podwire"), "{msg}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("host-local");
    let bytes = OsStr::from_bytes(b"IP=\xff");
    let add = |name| {
        let env = [(name, bytes)];
        let (executable, command, container) = (executable.as_path(), "ADD", "ctr1");
        Call {
            executable,
            command,
            container,
            config: CONFIG,
            env: &env,
        }
        .run()
    };
    let (code, msg) = add("CNI_ARGS").error();
    assert_eq!(
        (code, msg.as_str()),
        (4, "environment variable CNI_ARGS is not valid UTF-8")
    );
    add("LC_NAME").success();
}

#[test]
fn a_result_that_nobody_reads_is_a_failure() {
    let Some(node) = Node::new() else { return };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(&node.plugin("host-local"));
    command
        .env("CNI_COMMAND", "VERSION")
        .stdout(writer)
        .stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(
        stderr.contains("cannot write to standard output"),
        "{stderr}"
    );
}

#[test]
fn what_podwire_says_of_itself() {
    for asked in ["version", "--version", "-V"] {
        let version = podwire(&[asked]).success().stdout;
        assert_eq!(version, format!("podwire {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert!(
        podwire(&["--help"])
            .success()
            .stdout
            .contains("Usage: podwire <COMMAND>")
    );
    let list = podwire(&["list"]).success().stdout;
    let plugins = podwire(&["list", "--output", "json"]).success().json();
    let plugins = plugins.as_array().unwrap();
    assert_eq!(list.lines().count(), plugins.len());
    for (line, plugin) in list.lines().zip(plugins) {
        let versions = plugin["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap());
        let words: Vec<&str> = [plugin["name"].as_str().unwrap()]
            .into_iter()
            .chain(versions)
            .collect();
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), words);
    }
    for command in ["install", "list", "version", "help"] {
        let help = podwire(&[command, "--help"]).success().stdout;
        assert!(
            help.contains(&format!("Usage: podwire {command}")),
            "{help}"
        );
    }
    for wrong in [&["instal"][..], &[], &["install"], &["list", "--color"]] {
        let refused = podwire(wrong);
        assert_eq!(
            (refused.exit, refused.stdout.as_str()),
            (Some(2), ""),
            "{refused:?}"
        );
        assert!(refused.stderr.contains("see `podwire help`"), "{refused:?}");
    }
}

/// What the plugin tap starts where the device needs a SELinux context.
#[test]
fn a_tap_is_made_for_another_process() {
    use std::os::unix::process::CommandExt;
    let Some(node) = Node::new() else { return };
    let helper = |arguments: &[&str]| {
        let mut helper = command(Path::new(env!("CARGO_BIN_EXE_podwire")));
        helper.arg0(kernel::link::tap::HELPER).args(arguments);
        helper.env_clear().output().unwrap()
    };
    let made = helper(&["t0", "100", "7", "-"]);
    assert!(made.status.success(), "{made:?}");
    let link = Netlink::open()
        .unwrap()
        .link(&"t0".parse().unwrap())
        .unwrap();
    let kernel::LinkKind::Tap(tap) = link.unwrap().kind else {
        panic!("not a tap")
    };
    assert_eq!(
        (tap.multi_queue, tap.owner, tap.group),
        (true, Some(7), None)
    );
    for (arguments, words) in [
        (&["t0", "100", "7", "-"][..], "File exists"),
        (&["t0"], "understand"),
    ] {
        let refused = helper(arguments);
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(
            refused.status.code() == Some(1) && stderr.contains(words),
            "{stderr}"
        );
    }
    drop(node);
}

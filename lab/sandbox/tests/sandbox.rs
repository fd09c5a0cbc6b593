//! Sandboxes: processes and namespaces, each in a world of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use kernel::testing::World;
use sandbox::{Namespace, Namespaces, Process, Signal, run_in_new, set_hostname, unshare};

#[allow(clippy::disallowed_methods, reason = "processes to look at")]
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    command
}

#[test]
fn a_process_is_not_mistaken_for_another_with_its_number() {
    let mut child = command("sleep").arg("1000").spawn().unwrap();
    let process = Process::of(child.id()).unwrap();
    assert!(process.is_alive());
    let earlier = Process {
        start_time: process.start_time - 1,
        ..process
    };
    assert!(!earlier.is_alive());
    earlier.signal(Signal::Kill).unwrap();
    assert!(process.is_alive(), "the signal was meant for another");

    process.signal(Signal::Kill).unwrap();
    // A zombie has ended.
    assert!(process.wait_gone(Duration::from_secs(60)));
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    process.signal(Signal::Terminate).unwrap();
    assert!(Process::of(process.pid).is_err());
}

#[test]
fn the_current_process_is_alive() {
    let current = Process::current().unwrap();
    assert_eq!(current.pid, std::process::id());
    assert!(current.is_alive());
    assert!(!current.wait_gone(Duration::from_millis(2)));
}

fn namespace(kind: Namespace) -> String {
    let link = fs::read_link(format!("/proc/thread-self/ns/{}", kind.as_str())).unwrap();
    link.to_string_lossy().into_owned()
}

#[test]
fn work_runs_in_the_namespaces_of_a_process_and_the_caller_stays() {
    let Some(_world) = World::new() else { return };
    let kinds = [Namespace::Network, Namespace::Uts, Namespace::Mount];
    let before = kinds.map(namespace);
    let (mut child, made) = run_in_new(&kinds, || {
        set_hostname("inside").unwrap();
        (
            command("sleep").arg("1000").spawn().unwrap(),
            kinds.map(namespace),
        )
    })
    .unwrap();
    assert_eq!(kinds.map(namespace), before);
    for (old, new) in before.iter().zip(&made) {
        assert_ne!(old, new);
    }

    let process = Process::of(child.id()).unwrap();
    let namespaces = Namespaces::of(&process, &kinds).unwrap();
    let (seen, name) = namespaces
        .run(|| {
            (
                kinds.map(namespace),
                fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
            )
        })
        .unwrap();
    assert_eq!(seen, made);
    assert_eq!(name, "inside\n");

    // They outlive the process, but cannot be had any more afterwards.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(namespaces.run(|| kinds.map(namespace)).unwrap(), made);
    let error = Namespaces::of(&process, &kinds).unwrap_err();
    assert!(error.is_gone(), "{error}: {}", error.source);
}

#[test]
fn a_pid_namespace_ends_with_its_first_process() {
    let Some(_world) = World::new() else { return };
    let spawn = |command: &mut Command| command.spawn().unwrap();
    let mut first = run_in_new(&[Namespace::Pid], || spawn(command("sleep").arg("1000"))).unwrap();
    let path = format!("/proc/{}/ns/pid", first.id());
    let init = Process::of(first.id()).unwrap();
    let inside = Namespaces::of(&init, &[])
        .unwrap()
        .with(Namespace::Pid, path)
        .unwrap();
    let mut second = inside.run(|| spawn(command("sleep").arg("1000"))).unwrap();
    let second_process = Process::of(second.id()).unwrap();

    init.signal(Signal::Kill).unwrap();
    assert!(second_process.wait_gone(Duration::from_secs(60)));
    assert_eq!(second.wait().unwrap().signal(), Some(9));
    first.wait().unwrap();
}

#[test]
fn unshare_refuses_what_the_kernel_refuses() {
    let Some(_world) = World::new() else { return };
    unshare(&[Namespace::Uts]).unwrap();
    let error = set_hostname(&"a".repeat(65)).unwrap_err();
    assert!(error.to_string().starts_with("set host name a"), "{error}");
}

//! Sandboxes: processes, namespaces, and roots, each in a world of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kernel::testing::World;
use sandbox::{
    Confinement, Namespace, Namespaces, PodRoot, Process, Signal, replace_file, run_in_new,
    set_hostname, unshare,
};

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
    assert!(process.wait_gone(Duration::from_secs(5)));
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
    assert!(second_process.wait_gone(Duration::from_secs(5)));
    assert_eq!(second.wait().unwrap().signal(), Some(9));
    first.wait().unwrap();
}

#[test]
fn a_pod_root_is_copy_on_write_with_devices_and_nothing_of_the_old_root() {
    let Some(world) = World::new() else { return };
    let (lower, scratch) = (world.dir().join("image"), world.dir().join("scratch"));
    fs::create_dir_all(lower.join("etc")).unwrap();
    fs::create_dir(&scratch).unwrap();
    fs::write(lower.join("etc/motd"), "image").unwrap();
    std::os::unix::fs::symlink("/run/elsewhere", lower.join("etc/resolv.conf")).unwrap();
    let root = PodRoot {
        lower: lower.clone(),
        scratch: scratch.clone(),
        own_runtime_directories: false,
        privileged: false,
    };

    run_in_new(&[Namespace::Mount, Namespace::Network], || {
        // The thread's root is the thread's own after this; pivot_root moves no other.
        root.enter().unwrap();
        assert_eq!(fs::read_to_string("/etc/motd").unwrap(), "image");
        assert!(!Path::new("/usr").exists(), "the old root is out of reach");
        fs::write("/etc/motd", "pod").unwrap();
        replace_file(Path::new("/etc/resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
        assert!(fs::symlink_metadata("/etc/resolv.conf").unwrap().is_file());
        fs::write("/dev/null", "gone").unwrap();
        assert_eq!(fs::read("/dev/null").unwrap(), b"");
        assert!(
            fs::write("/sys/kernel/profiling", "1").is_err(),
            "/sys is read-only"
        );
        assert!(Path::new("/dev/pts/ptmx").exists() && Path::new("/dev/shm").is_dir());
        // In a network namespace of its own there is one link.
        let links = fs::read_dir("/sys/class/net").unwrap().flatten();
        assert!(links.map(|link| link.file_name()).all(|name| name == "lo"));
    })
    .unwrap();
    assert_eq!(fs::read_to_string(lower.join("etc/motd")).unwrap(), "image");
    assert_eq!(
        fs::read_dir(&scratch).unwrap().count(),
        0,
        "the changes went with the namespace"
    );
}

#[test]
fn unshare_refuses_what_the_kernel_refuses() {
    let Some(_world) = World::new() else { return };
    unshare(&[Namespace::Uts]).unwrap();
    let error = set_hostname(&"a".repeat(65)).unwrap_err();
    assert!(error.to_string().starts_with("set host name a"), "{error}");
}

#[test]
fn a_root_whose_proc_leads_elsewhere_is_refused() {
    let Some(world) = World::new() else { return };
    for (number, name) in ["proc", "sys", "dev"].into_iter().enumerate() {
        let (lower, scratch) = (
            world.dir().join(format!("image{number}")),
            world.dir().join(format!("scratch{number}")),
        );
        for directory in [&lower, &lower.join("etc"), &scratch] {
            fs::create_dir(directory).unwrap();
        }
        // What is masked in /proc would be masked in /etc, and /proc stay open.
        std::os::unix::fs::symlink("/etc", lower.join(name)).unwrap();
        let root = PodRoot {
            lower,
            scratch,
            own_runtime_directories: false,
            privileged: false,
        };
        let refused = run_in_new(&[Namespace::Mount], || root.enter()).unwrap();
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("mount on /{name}")
        );
    }
}

#[test]
fn confinement_is_of_the_thread_that_applies_it_and_of_what_it_starts() {
    let Some(_world) = World::new() else { return };
    let confined = std::thread::spawn(|| {
        Confinement::new().unwrap().apply().unwrap();
        let refused = unshare(&[Namespace::Uts]).unwrap_err();
        let mut child = command("unshare");
        child.args(["--uts", "true"]).stderr(Stdio::null());
        (refused.errno(), child.status().unwrap().success())
    });
    assert_eq!(confined.join().unwrap(), (Some(1), false));
    unshare(&[Namespace::Uts]).unwrap();
    let mut child = command("unshare");
    assert!(child.args(["--uts", "true"]).status().unwrap().success());
}

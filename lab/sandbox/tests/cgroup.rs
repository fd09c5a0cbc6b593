//! Control groups against temporary directories, which show every byte that is written, and against
//! the machine's own hierarchies, which show that the kernel takes it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox::cgroup::{Hierarchies, Limits};
use sandbox::mount::parse_mountinfo;
use sandbox::{Process, Signal, join_at_start};

const LIMITS: Limits = Limits {
    memory: Some(64 << 20),
    cpu: Some(500),
    pids: Some(100),
};
const VERSION_1: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:31 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:11 - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:12 - cgroup cgroup rw,name=systemd
";
const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
const VERSION_2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

fn roots(mountinfo: &str) -> Vec<String> {
    let found = Hierarchies::among(&parse_mountinfo(mountinfo));
    found
        .roots()
        .iter()
        .map(|root| root.display().to_string())
        .collect()
}

#[test]
fn hierarchies_are_found_in_the_mount_table() {
    let version_1 = [
        "/sys/fs/cgroup/cpu,cpuacct",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/pids",
    ];
    assert_eq!(roots(VERSION_1), version_1);
    let hybrid = [&version_1[..], &["/sys/fs/cgroup/unified"]].concat();
    assert_eq!(roots(&(VERSION_1.to_owned() + UNIFIED)), hybrid);
    assert_eq!(roots(VERSION_2), ["/sys/fs/cgroup"]);
    assert!(roots("22 27 0:21 / /proc rw,relatime - proc proc rw\n").is_empty());
}

/// The files that the kernel would make with the directory.
fn with_files(directory: &Path, files: &[&str]) {
    fs::create_dir_all(directory).unwrap();
    for file in files {
        fs::write(directory.join(file), "").unwrap();
    }
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn version_1_limits() {
    let root = tempfile::tempdir().unwrap();
    let group = root.path().join("memory/lab/web");
    with_files(
        &group,
        &[
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "cgroup.procs",
        ],
    );
    let cpu = root.path().join("cpu/lab/web");
    with_files(
        &cpu,
        &["cpu.cfs_period_us", "cpu.cfs_quota_us", "cgroup.procs"],
    );
    let pids = root.path().join("pids/lab/web");
    with_files(&pids, &["pids.max", "cgroup.procs"]);

    let hierarchies = Hierarchies::version_1(root.path());
    hierarchies.group("lab/web").create(&LIMITS).unwrap();
    hierarchies.group("lab/web").add(4711).unwrap();
    assert_eq!(content(&group.join("memory.limit_in_bytes")), "67108864");
    assert_eq!(
        content(&group.join("memory.memsw.limit_in_bytes")),
        "67108864"
    );
    assert_eq!(content(&cpu.join("cpu.cfs_period_us")), "100000");
    assert_eq!(content(&cpu.join("cpu.cfs_quota_us")), "50000");
    assert_eq!(content(&pids.join("pids.max")), "100");
    for directory in [group, cpu, pids] {
        assert_eq!(content(&directory.join("cgroup.procs")), "4711");
    }
}

#[test]
fn version_1_without_swap_accounting() {
    let root = tempfile::tempdir().unwrap();
    let memory = root.path().join("memory/web");
    with_files(&memory, &["memory.limit_in_bytes"]);
    let limits = Limits {
        memory: Some(1 << 20),
        ..Limits::default()
    };
    Hierarchies::version_1(root.path())
        .group("web")
        .create(&limits)
        .unwrap();
    assert_eq!(content(&memory.join("memory.limit_in_bytes")), "1048576");
    assert!(!memory.join("memory.memsw.limit_in_bytes").exists());
}

#[test]
fn version_2_limits_and_controllers_on_the_way() {
    let root = tempfile::tempdir().unwrap();
    let (top, middle, leaf) = (
        root.path().to_owned(),
        root.path().join("lab"),
        root.path().join("lab/web"),
    );
    for directory in [&top, &middle] {
        with_files(directory, &["cgroup.subtree_control"]);
        fs::write(
            directory.join("cgroup.controllers"),
            "cpuset cpu io memory pids\n",
        )
        .unwrap();
    }
    fs::write(middle.join("cgroup.subtree_control"), "memory\n").unwrap();
    with_files(
        &leaf,
        &["memory.max", "memory.swap.max", "cpu.max", "pids.max"],
    );

    let limits = Limits {
        pids: None,
        ..LIMITS
    };
    Hierarchies::version_2(&top)
        .group("lab/web")
        .create(&limits)
        .unwrap();
    assert_eq!(content(&leaf.join("memory.max")), "67108864");
    assert_eq!(content(&leaf.join("memory.swap.max")), "0");
    assert_eq!(content(&leaf.join("cpu.max")), "50000 100000");
    assert_eq!(
        content(&leaf.join("pids.max")),
        "",
        "no limit was asked for"
    );
    // A file keeps the last word here; the kernel adds it to those it has.
    assert_eq!(content(&top.join("cgroup.subtree_control")), "+cpu");
    assert_eq!(
        content(&middle.join("cgroup.subtree_control")),
        "+cpu",
        "memory was passed down"
    );
}

#[test]
fn version_2_without_the_controller_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    with_files(root.path(), &["cgroup.subtree_control"]);
    fs::write(root.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
    let limits = Limits {
        memory: Some(1 << 20),
        ..Limits::default()
    };
    let error = Hierarchies::version_2(root.path())
        .group("web")
        .create(&limits)
        .unwrap_err();
    assert_eq!(error.to_string(), "use cgroup controller memory");
    assert!(
        error.source.to_string().contains("cgroup.subtree_control"),
        "{}",
        error.source
    );
}

/// A group of the machine's own hierarchies that is removed however the test ends.
struct Removed<'a>(sandbox::cgroup::Group<'a>);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        for process in self.0.processes().unwrap_or_default() {
            let _ = process.signal(Signal::Kill);
        }
        let _ = self.0.remove(Duration::from_secs(5));
    }
}

fn is_root() -> bool {
    let root = sandbox::require_root().is_ok();
    assert!(
        root || std::env::var_os("REQUIRE_NETNS").is_none(),
        "not root"
    );
    if !root {
        eprintln!("skipped: not root");
    }
    root
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a process to limit")]
fn the_kernel_enforces_a_memory_limit_and_empties_the_group() {
    if !is_root() {
        return;
    }
    let hierarchies = Hierarchies::detect().unwrap();
    let name = format!("podwire-test-{}", std::process::id());
    let group = Removed(hierarchies.group(&name));
    group
        .0
        .create(&Limits {
            memory: Some(16 << 20),
            cpu: Some(500),
            pids: Some(20),
        })
        .unwrap();

    let mut sleeper = Command::new("sleep");
    sleeper.arg("1000").stdout(Stdio::null());
    join_at_start(&mut sleeper, &group.0).unwrap();
    let mut sleeper = sleeper.spawn().unwrap();
    assert_eq!(
        group.0.processes().unwrap(),
        [Process::of(sleeper.id()).unwrap()]
    );
    assert!(group.0.memory_used().unwrap() > 0);
    let busy = group.0.remove(Duration::from_millis(20)).unwrap_err();
    assert!(busy.to_string().starts_with("remove cgroup "), "{busy}");

    // tail keeps all of a line that never ends.
    let mut eater = Command::new("sh");
    eater
        .args(["-c", "head -c 100M /dev/zero | tail"])
        .stdout(Stdio::null());
    eater.stderr(Stdio::null());
    join_at_start(&mut eater, &group.0).unwrap();
    assert!(!eater.status().unwrap().success());
    assert!(group.0.out_of_memory_kills().unwrap() > 0);

    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    group.0.remove(Duration::from_secs(5)).unwrap();
    assert!(
        hierarchies
            .roots()
            .iter()
            .all(|root| !root.join(&name).exists())
    );
    group.0.remove(Duration::ZERO).unwrap();
}

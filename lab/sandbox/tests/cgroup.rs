//! Control groups against temporary directories, which show every byte that is written, and against
//! the machine's own hierarchies, which show that the kernel takes it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sandbox::cgroup::{Group, Hierarchies, Limits, Usage};
use sandbox::mount::{mount_points, parse_mountinfo};
use sandbox::{Process, Signal, join_at_start};

const LIMITS: Limits = Limits {
    memory: Some(64 << 20),
    memory_request: Some(32 << 20),
    killed_as_one: true,
    cpu: Some(500),
    cpu_request: Some(250),
    cpuset: None,
    pids: Some(100),
    io_read: None,
    io_write: None,
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
            "memory.soft_limit_in_bytes",
            "cgroup.procs",
        ],
    );
    let cpu = root.path().join("cpu/lab/web");
    with_files(
        &cpu,
        &[
            "cpu.cfs_period_us",
            "cpu.cfs_quota_us",
            "cpu.shares",
            "cgroup.procs",
        ],
    );
    let pids = root.path().join("pids/lab/web");
    with_files(&pids, &["pids.max", "cgroup.procs"]);
    let blkio = root.path().join("blkio/lab/web");
    with_files(&blkio, &["cgroup.procs"]);

    let hierarchies = Hierarchies::version_1(root.path());
    hierarchies.group("lab/web").create(&LIMITS).unwrap();
    hierarchies.group("lab/web").add(4711).unwrap();
    assert_eq!(content(&group.join("memory.limit_in_bytes")), "67108864");
    assert_eq!(
        content(&group.join("memory.memsw.limit_in_bytes")),
        "67108864"
    );
    assert_eq!(
        content(&group.join("memory.soft_limit_in_bytes")),
        "33554432"
    );
    assert_eq!(content(&cpu.join("cpu.shares")), "256");
    assert_eq!(content(&cpu.join("cpu.cfs_period_us")), "100000");
    assert_eq!(content(&cpu.join("cpu.cfs_quota_us")), "50000");
    assert_eq!(content(&pids.join("pids.max")), "100");
    for directory in [group, cpu, pids, blkio] {
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
            "cpuset cpu io memory\n",
        )
        .unwrap();
    }
    fs::write(middle.join("cgroup.subtree_control"), "memory\n").unwrap();
    let files = [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "memory.oom.group",
        "cpu.max",
        "cpu.weight",
        "pids.max",
    ];
    with_files(&leaf, &files);

    let limits = Limits {
        pids: None,
        ..LIMITS
    };
    let hierarchies = Hierarchies::version_2(&top);
    hierarchies
        .group("lab")
        .below("web")
        .create(&limits)
        .unwrap();
    // No limit of processes was asked for.
    let expected = ["67108864", "0", "33554432", "1", "50000 100000", "10", ""];
    assert_eq!(files.map(|file| content(&leaf.join(file))), expected);
    // A file keeps the last word here; the kernel adds it to those it has.
    assert_eq!(content(&top.join("cgroup.subtree_control")), "+io");
    assert_eq!(
        content(&middle.join("cgroup.subtree_control")),
        "+io",
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
        let _ = self.0.remove(Duration::from_secs(60));
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
            ..Limits::default()
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
    group.0.remove(Duration::from_secs(60)).unwrap();
    assert!(
        hierarchies
            .roots()
            .iter()
            .all(|root| !root.join(&name).exists())
    );
    group.0.remove(Duration::ZERO).unwrap();
}

#[allow(clippy::disallowed_methods, reason = "processes to look at")]
fn started(group: &Group<'_>, line: &[&str]) -> Child {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    join_at_start(&mut command, group).unwrap();
    command.spawn().unwrap()
}

fn own_group<'a>(hierarchies: &'a Hierarchies, of: &str) -> Removed<'a> {
    let name = format!("podwire-test-{of}-{}", std::process::id());
    Removed(hierarchies.group(name))
}

/// What the kernel has in a file of a group, in whichever hierarchy it is.
fn setting(hierarchies: &Hierarchies, path: &str, names: [&str; 2]) -> String {
    let roots = hierarchies.roots().into_iter();
    let files = roots.flat_map(|root| names.map(|name| root.join(path).join(name)));
    let mut contents = files.filter_map(|file| fs::read_to_string(file).ok());
    contents.next().unwrap().trim().to_owned()
}

#[test]
fn the_kernel_takes_requests_and_processors_and_counts_what_is_used() {
    if !is_root() {
        return;
    }
    let hierarchies = Hierarchies::detect().unwrap();
    let pod = own_group(&hierarchies, "usage");
    pod.0.create(&Limits::default()).unwrap();
    let container = pod.0.below("web");
    assert_eq!(
        container.usage().unwrap(),
        Usage::default(),
        "there is none"
    );
    let limits = Limits {
        memory: Some(64 << 20),
        memory_request: Some(8 << 20),
        killed_as_one: true,
        cpu: Some(10),
        cpu_request: Some(250),
        cpuset: Some(vec![0]),
        pids: Some(20),
        io_read: None,
        io_write: None,
    };
    container.create(&limits).unwrap();
    let path = format!("podwire-test-usage-{}/web", std::process::id());
    let weight = setting(&hierarchies, &path, ["cpu.shares", "cpu.weight"]);
    assert!(["256", "10"].contains(&weight.as_str()), "{weight}");
    let request = setting(
        &hierarchies,
        &path,
        ["memory.soft_limit_in_bytes", "memory.low"],
    );
    assert_eq!(request, (8 << 20).to_string());

    // It works for longer than the millisecond that it gets of each tenth of a second, also where others work.
    let keeps = "x=$(head -c 3000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 4000 ]; do i=$((i+1)); done
                 echo $(grep Cpus_allowed_list /proc/$$/status); read end";
    let mut child = started(&container, &["sh", "-c", keeps]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.split_whitespace().next_back(), Some("0"));
    let of_container = container.usage().unwrap();
    assert_eq!(of_container.pids, Some(1));
    assert_eq!(of_container.out_of_memory_kills, Some(0));
    let working_set = of_container.memory_working_set_bytes.unwrap();
    assert!(working_set >= 3_000_000, "{of_container:?}");
    assert!(of_container.memory_bytes.unwrap() >= working_set);
    assert!(
        of_container.cpu_nanoseconds.unwrap() > 1_000_000,
        "{of_container:?}"
    );
    assert!(
        of_container.cpu_throttled_nanoseconds.unwrap() > 0,
        "{of_container:?}"
    );
    // The pod's is its containers'.
    let of_pod = pod.0.usage().unwrap();
    assert!(
        of_pod.cpu_nanoseconds >= of_container.cpu_nanoseconds,
        "{of_pod:?}"
    );
    assert_eq!(of_pod.pids, Some(1));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The kernel holds a group to its limit and counts what it reads. What it took is counted too, so that no clock is
/// needed.
#[test]
fn the_kernel_limits_and_counts_what_is_read_from_disks() {
    if !is_root() {
        return;
    }
    let hierarchies = Hierarchies::detect().unwrap();
    let pod = own_group(&hierarchies, "io");
    let limits = Limits {
        io_read: Some(8 << 20),
        io_write: Some(16 << 20),
        ..Limits::default()
    };
    let made = pod.0.create(&limits);
    if made
        .as_ref()
        .is_err_and(|error| error.source.kind() == std::io::ErrorKind::NotFound)
    {
        eprintln!("this kernel has no controller of disks: not tested");
        return;
    }
    made.unwrap();
    let path = format!("podwire-test-io-{}", std::process::id());
    let names = ["blkio.throttle.read_bps_device", "io.max"];
    let limit = setting(&hierarchies, &path, names);
    let disks = ["vda", "sda", "nvme0n1"].map(|disk| Path::new("/dev").join(disk));
    let Some(disk) = disks.iter().find(|disk| disk.exists()) else {
        eprintln!("this machine has no disk: not tested");
        return;
    };
    assert!(limit.contains("8388608"), "{limit}");
    let before = pod.0.usage().unwrap().io.unwrap();
    // A container of the machine's may not open the disk, a virtual machine's files may lie on none.
    let file = std::env::current_exe().unwrap();
    let is_read = |source: &Path| {
        let reads = format!(
            "dd if={} of=/dev/null bs=1M count=1 iflag=direct",
            source.display()
        );
        started(&pod.0, &["sh", "-c", &reads])
            .wait()
            .unwrap()
            .success()
    };
    if !is_read(disk) && !is_read(&file) {
        eprintln!("neither the disk nor this file can be read past the cache: not counted");
        return;
    }
    let io = pod.0.usage().unwrap().io.unwrap();
    assert!(io.read_bytes >= before.read_bytes + (1 << 20), "{io:?}");
    assert!(io.reads > before.reads, "{io:?}");
}

/// The hierarchies of this machine, and, where that is something else, those of version 1 without the one of
/// version 2 that is mounted beside them.
fn variants() -> Vec<Hierarchies> {
    let all = mount_points().unwrap();
    let version_1: Vec<_> = all
        .iter()
        .filter(|each| each.file_system != "cgroup2")
        .cloned()
        .collect();
    let version_1 = Hierarchies::among(&version_1);
    let mut variants = vec![Hierarchies::detect().unwrap(), version_1];
    variants.retain(|each| !each.roots().is_empty());
    variants
}

#[test]
fn a_group_is_frozen_and_killed_with_those_below_it() {
    if !is_root() {
        return;
    }
    for hierarchies in variants() {
        let pod = own_group(&hierarchies, "end");
        let containers = ["a", "b"].map(|name| pod.0.below(name));
        let mut children = containers.each_ref().map(|container| {
            container.create(&Limits::default()).unwrap();
            // The shell waits for a child of its own, in the same group.
            started(container, &["sh", "-c", "cat; exit 3"])
        });
        let echo = |child: &mut Child| {
            child.stdin.as_mut().unwrap().write_all(b"echo\n").unwrap();
            let mut line = [0; 5];
            child
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut line)
                .unwrap();
            assert_eq!(&line, b"echo\n");
        };
        children.iter_mut().for_each(echo);
        let all = pod.0.all_processes().unwrap();
        assert_eq!((all.len(), pod.0.processes().unwrap().len()), (4, 0));

        pod.0.freeze(true).unwrap();
        let stopped = |process: &Process| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
            stat.contains(") T ")
        };
        match hierarchies
            .roots()
            .iter()
            .find(|root| root.join("cgroup.subtree_control").exists())
        {
            Some(root) => {
                let events = root.join(format!(
                    "podwire-test-end-{}/cgroup.events",
                    std::process::id()
                ));
                assert!(content(&events).contains("frozen 1"));
            }
            // A signal arrives when it does.
            None => while !all.iter().all(stopped) {},
        }
        pod.0.freeze(false).unwrap();
        children.iter_mut().for_each(echo);

        pod.0.freeze(true).unwrap();
        pod.0.kill().unwrap();
        for child in &mut children {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        for process in &all {
            assert!(process.wait_gone(Duration::from_secs(60)), "{process:?}");
        }
        pod.0.remove(Duration::from_secs(60)).unwrap();
        pod.0.kill().unwrap();
        assert_eq!(pod.0.all_processes().unwrap(), []);
    }
}

/// The kernel numbers the processes of a group as the reader's PID namespace does, and `/proc` may be another one's.
#[test]
#[allow(clippy::disallowed_methods, reason = "a PID namespace for this test")]
fn the_same_in_a_pid_namespace_with_the_proc_of_another() {
    if !is_root() {
        return;
    }
    let mut nested = Command::new("unshare");
    nested.args(["--pid", "--fork", "--kill-child"]);
    nested.arg(std::env::current_exe().unwrap());
    nested.args([
        "--exact",
        "a_group_is_frozen_and_killed_with_those_below_it",
    ]);
    let output = nested.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(" 1 passed"), "{said}");
}

//! The ways from a pod to the machine, each tried by a pod with the machine's users and by one whose users are nobody
//! there; and that privileged pods have them. What would
//! succeed on a broken tree does no harm: files are opened and not written, calls get arguments
//! that the kernel refuses later.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{TestLab, root_can_be_of_others};
use nix::libc;
use tempfile::TempDir;

/// What no container can do is tried in these pods: one with the machine's users, and one whose users are nobody there,
/// where the machine's root can be such a pod's.
fn confined() -> &'static [&'static str] {
    match root_can_be_of_others() {
        true => &["pod", "nobody"],
        false => &["pod"],
    }
}

/// A lab with the [`confined`] pods, and a pod `root` that is privileged.
fn three_pods() -> Option<TestLab> {
    let lab = TestLab::new()?;
    lab.ok(&["up", "--nodes", "1"]);
    let manifest = |name: &&str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": {
                "hostUsers": *name != "nobody", "shareProcessNamespace": true, "restartPolicy": "Never",
                "volumes": [{ "name": "host", "hostPath": { "path": "/usr/share" } }],
                "containers": [{
                    "name": "main", "command": ["sleep", "1000"], "workingDir": "/working",
                    "resources": { "limits": { "memory": "64M" } },
                    "volumeMounts": [{ "name": "host", "mountPath": "/host", "readOnly": true }],
                }],
            },
        })
    };
    let pods: Vec<_> = confined().iter().map(manifest).collect();
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": pods });
    let file = lab.dir().join("confined.json");
    fs::write(&file, list.to_string()).unwrap();
    lab.ok(&["apply", "-f", file.to_str().unwrap()]);
    let idle = ["--", "sleep", "1000"];
    lab.ok(&[&["run", "root", "--privileged"], &idle[..]].concat());
    Some(lab)
}

fn end(lab: &TestLab) {
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// What a shell in a pod prints; it must succeed.
fn sh(lab: &TestLab, pod: &str, script: &str) -> String {
    lab.ok(&["exec", pod, "--", "sh", "-c", script])
}

/// Opens for writing those of `files` that it can, and says which: nothing is written.
fn writable(lab: &TestLab, pod: &str, files: &str) -> Vec<String> {
    let script = format!(
        "for file in {files}; do test -f $file && (: >>$file) 2>/dev/null && echo $file; done; :"
    );
    let opened = sh(lab, pod, &script);
    opened.lines().map(str::to_owned).collect()
}

/// The lines of `/proc/PID/status` that say what a process may do.
const RIGHTS: &str = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d '\\t'";
/// The fourteen capabilities of container runtimes, as the kernel writes them.
const FOURTEEN: &str = "CapInh:0000000000000000\n\
                        CapPrm:00000000a80425fb\n\
                        CapEff:00000000a80425fb\n\
                        CapBnd:00000000a80425fb\n\
                        CapAmb:0000000000000000\n\
                        NoNewPrivs:1\n\
                        Seccomp:2\n";

#[test]
fn a_pod_has_fourteen_capabilities_and_exec_gives_no_more() {
    let Some(lab) = three_pods() else { return };
    for pod in confined() {
        assert_eq!(sh(&lab, pod, RIGHTS), FOURTEEN, "{pod}");
        let first = RIGHTS.replace("self", "1");
        assert_eq!(sh(&lab, pod, &first), FOURTEEN, "{pod}");
    }
    lab.ok(&["run", "says", "--", "sh", "-c", RIGHTS]);
    lab.wait_for_state("says", "exited (0)");
    assert_eq!(lab.ok(&["logs", "says"]), FOURTEEN);

    let own = fs::read_to_string("/proc/self/status").unwrap();
    let effective = own.lines().find(|line| line.starts_with("CapEff"));
    let privileged = sh(&lab, "root", RIGHTS);
    assert!(privileged.contains(&effective.unwrap().replace('\t', "")));
    assert!(
        privileged.contains("NoNewPrivs:0\nSeccomp:0\n"),
        "{privileged}"
    );
    end(&lab);
}

#[test]
fn no_container_gains_a_capability_that_it_was_not_given() {
    let Some(lab) = three_pods() else { return };
    let script = "cp $(command -v perl) /usr/local/bin/setuid && chmod 4755 /usr/local/bin/setuid && \
                  perl -e '$) = $( = 65534; $> = $< = 65534; \
                           exec \"/usr/local/bin/setuid\", \"-e\", \"print \\$>\"'";
    assert_eq!(sh(&lab, "root", script), "0");
    // Effective and permitted ones of this process: with CAP_SYS_ADMIN, and as they are.
    let set = |capabilities: u64| {
        let script = format!(
            "perl -e '$head = pack(\"L2\", 0x20080522, 0); $data = pack(\"L6\", {0}, {0}, 0, 0, 0, 0); \
                      print(syscall({1}, $head, $data) < 0 ? $! + 0 : 0)'",
            capabilities,
            libc::SYS_capset
        );
        script
    };
    for pod in confined() {
        assert_eq!(sh(&lab, pod, script), "65534", "{pod}: a setuid program");
        let more = set(0xa804_25fb | 1 << 21);
        assert_eq!(
            sh(&lab, pod, &more),
            libc::EPERM.to_string(),
            "{pod}: capset"
        );
        assert_eq!(sh(&lab, pod, &set(0xa804_25fb)), "0", "{pod}: capset");
        // A user namespace of its own would give all of them.
        sh(&lab, pod, "! unshare -U true 2>/dev/null");
    }
    end(&lab);
}

#[test]
fn no_container_writes_host_files_or_sysctls() {
    let Some(lab) = three_pods() else { return };
    let core_pattern = "/proc/sys/kernel/core_pattern";
    assert_eq!(writable(&lab, "root", core_pattern), [core_pattern]);
    let (_directory, kept, taken) = two_files_of_the_machine();
    let change = format!(
        "test ! -e {kept} || {{ echo changed >{kept}; rm {taken}; }}",
        kept = kept.display(),
        taken = taken.display()
    );
    for pod in confined() {
        assert_eq!(writable(&lab, pod, core_pattern), [""; 0], "{pod}");
        // All of them, whatever this kernel has: of processes only their own remain, of the rest the
        // triggers of pressure, which anybody may set, and what /dev/null stands for.
        let all = "$(find /proc -path '/proc/[0-9]*' -prune -o -type f -perm /222 -print 2>/dev/null) \
                   /proc/sysrq-trigger";
        let open = writable(&lab, pod, all);
        let open: Vec<&String> = open
            .iter()
            .filter(|file| !file.starts_with("/proc/pressure/"))
            .collect();
        assert_eq!(open, [""; 0], "{pod}");
        let sysfs = "$(find /sys -type f -perm /222 2>/dev/null | head -n 200)";
        assert_eq!(writable(&lab, pod, sysfs), [""; 0], "{pod}");
        // Its root is a copy, and what it is given to read stays what it is.
        sh(&lab, pod, &change);
        sh(&lab, pod, "test -n \"$(ls /host)\"");
        // Nor can the protection be taken away.
        let changes = [
            "touch /host/new",
            "umount /proc/sys",
            "mount -o remount,bind,rw /proc/sys",
            "mount -t proc proc /mnt",
            "mount -o remount,rw /sys",
            "mount -o remount,bind,rw /host",
            "umount /host",
        ];
        assert_eq!(lab.succeeding(pod, &changes), [""; 0], "{pod}");
    }
    for file in [kept, taken] {
        assert_eq!(fs::read_to_string(file).unwrap(), "machine");
    }
    end(&lab);
}

/// A directory with two files that pods see where it is on the machine's own file system; all may reach them.
fn two_files_of_the_machine() -> (TempDir, PathBuf, PathBuf) {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o755));
    let directory = builder.tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    fs::write(&first, "machine").unwrap();
    fs::write(&second, "machine").unwrap();
    (directory, first, second)
}

#[test]
fn what_tells_of_the_machine_is_hidden() {
    let Some(lab) = three_pods() else { return };
    // A character device: /dev/null covers it.
    let files = [
        "kcore",
        "keys",
        "timer_list",
        "timer_stats",
        "latency_stats",
        "sched_debug",
        "interrupts",
    ]
    .map(|file| format!("test ! -e /proc/{file} || test -c /proc/{file}"));
    for pod in confined() {
        assert_eq!(lab.succeeding(pod, &files), files, "{pod}");
        let directories = "ls -A /proc/acpi /proc/scsi /proc/asound /sys/firmware 2>/dev/null | grep -v '^/\\|^$'; :";
        assert_eq!(sh(&lab, pod, directories), "", "{pod}");
    }
    assert_ne!(
        sh(
            &lab,
            "root",
            "cat /proc/timer_list /proc/keys /proc/interrupts"
        ),
        ""
    );
    end(&lab);
}

#[test]
fn no_container_mounts_anything() {
    let Some(lab) = three_pods() else { return };
    sh(&lab, "root", "mount -t tmpfs tmpfs /mnt");
    let mounts = [
        "-t tmpfs tmpfs",
        "-t cgroup -o memory cgroup",
        "-t cgroup -o rdma cgroup",
        "-t cgroup2 cgroup",
        "-t sysfs sysfs",
        "-t devtmpfs dev",
        "--bind /etc",
    ];
    let ways = ["", "unshare -m ", "unshare -Urm "];
    let all = mounts.map(|mount| ways.map(|way| format!("{way}mount {mount} /mnt")));
    for pod in confined() {
        assert_eq!(lab.succeeding(pod, all.as_flattened()), [""; 0], "{pod}");
    }
    end(&lab);
}

#[test]
fn no_container_lifts_its_own_limits() {
    let Some(lab) = three_pods() else { return };
    for pod in confined() {
        assert_eq!(
            sh(&lab, pod, "grep cgroup /proc/mounts; ls -A /sys/fs/cgroup"),
            "",
            "{pod}"
        );
        // Its own group is the root of what it sees.
        let groups = sh(&lab, pod, "cat /proc/self/cgroup");
        assert!(
            !groups.is_empty() && groups.lines().all(|line| line.ends_with(":/")),
            "{pod}: {groups}"
        );
        let lifts = [
            "ulimit -H -n 100; ulimit -H -n 200",
            "echo -1000 >/proc/self/oom_score_adj",
            "mkdir /sys/fs/cgroup/new",
        ];
        assert_eq!(lab.succeeding(pod, &lifts), [""; 0], "{pod}");
        let fills = ["exec", pod, "--", "perl", "-e", "$_ = 'x' x 200_000_000"];
        lab.fails(137, &fills);
    }
    end(&lab);
}

#[test]
fn no_container_sees_host_processes() {
    let Some(lab) = three_pods() else { return };
    let look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '";
    assert!(
        lab.on_node("n1", &["sh", "-c", look])
            .contains(&format!("keeper {}", lab.name))
    );
    let keeper = fs::read(lab.dir().join("keeper.json")).unwrap();
    let keeper: serde_json::Value = serde_json::from_slice(&keeper).unwrap();
    for pod in confined() {
        let seen = sh(&lab, pod, look);
        assert!(seen.contains("sleep 1000"), "{pod}: {seen}");
        for other in ["keeper", "netd", "supervise", "hold"] {
            assert!(!seen.contains(other), "{pod}: {seen}");
        }
        // Nor those that it does not see.
        sh(
            &lab,
            pod,
            &format!("! kill -0 {} 2>/dev/null", keeper["pid"]),
        );
        let numbers = sh(&lab, pod, "ls -d /proc/[0-9]* | wc -l");
        assert!(
            numbers.trim().parse::<u32>().unwrap() < 8,
            "{pod}: {numbers}"
        );
    }
    end(&lab);
}

#[test]
fn no_container_loads_modules() {
    let Some(lab) = three_pods() else { return };
    let calls = [
        (libc::SYS_init_module, ", 0, 0, 0"),
        (libc::SYS_finit_module, ", -1, 0, 0"),
        (libc::SYS_delete_module, ", 0, 0"),
    ];
    for pod in confined() {
        assert_eq!(errors(&lab, pod, calls), [libc::EPERM; 3], "{pod}");
        let helper = "/proc/sys/kernel/modprobe /proc/sys/kernel/hotplug";
        assert_eq!(writable(&lab, pod, helper), [""; 0], "{pod}");
    }
    // It is the confinement that refuses: the kernel gets to look at the arguments.
    assert!(!errors(&lab, "root", calls).contains(&libc::EPERM));
    end(&lab);
}

const DIRECTORIES: [&str; 9] = [
    "", "/root", "/dev", "/dev/shm", "/run", "/tmp", "/dev/pts", "/sys", "/proc",
];

#[test]
fn no_device_opens_but_the_usual() {
    let Some(lab) = three_pods() else { return };
    for pod in confined() {
        assert_eq!(
            sh(&lab, pod, "ls /dev | tr '\\n' ' '"),
            "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "
        );
        sh(
            &lab,
            pod,
            "head -c 1 /dev/zero /dev/urandom >/dev/null && ! echo x >/dev/full 2>/dev/null",
        );
        sh(&lab, pod, "script -qc true /dev/null >/dev/null");
    }
    // The device is one that is always there and does no harm.
    let device = |directory| format!("mknod {directory}/device c 1 3 && : <{directory}/device");
    sh(&lab, "root", &device(""));
    let devices = DIRECTORIES.map(device);
    for pod in confined() {
        assert_eq!(lab.succeeding(pod, &devices), [""; 0], "{pod}");
    }
    // A disk of the machine's.
    let disks = fs::read_to_string("/proc/partitions").unwrap();
    let numbers = disks.lines().skip(2).map(|line| line.split_whitespace());
    let reads = |(number, mut line): (usize, std::str::SplitWhitespace<'_>)| {
        let (major, minor) = (line.next().unwrap(), line.next().unwrap());
        format!("mknod /disk{number} b {major} {minor} && head -c 1 /disk{number}")
    };
    let reads: Vec<String> = numbers.enumerate().map(reads).collect();
    for pod in confined() {
        assert_eq!(lab.succeeding(pod, &reads), [""; 0], "{pod}");
    }
    end(&lab);
}

/// The error numbers of system calls in a pod, 0 for success; each in a process of its own.
fn errors<const N: usize>(lab: &TestLab, pod: &str, calls: [(libc::c_long, &str); N]) -> [i32; N] {
    let script: String = calls
        .iter()
        .map(|(number, arguments)| {
            format!("perl -e 'print(syscall({number}{arguments}) < 0 ? $! + 0 : 0, \" \")';")
        })
        .collect();
    let output = sh(lab, pod, &script);
    let numbers: Vec<i32> = output
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    numbers.try_into().unwrap()
}

#[test]
fn system_calls_that_no_pod_needs_are_refused() {
    let Some(lab) = three_pods() else { return };
    let refused = [
        (libc::SYS_ptrace, ", 0, 0, 0, 0"),
        (libc::SYS_process_vm_readv, ", 1, 0, 0, 0, 0, 0"),
        (libc::SYS_kexec_load, ", 0, 0, 0, -1"),
        (libc::SYS_init_module, ", 0, 0, 0"),
        (libc::SYS_finit_module, ", -1, 0, 0"),
        (libc::SYS_delete_module, ", 0, 0"),
        (libc::SYS_bpf, ", -1, 0, 0"),
        (libc::SYS_unshare, ", 0x10000000"),
        (libc::SYS_unshare, ", 0"),
        (libc::SYS_clone, ", 0x10000011, 0, 0, 0, 0"),
        (libc::SYS_setns, ", -1, 0"),
        (libc::SYS_keyctl, ", 0, -3, 0, 0, 0"),
        (libc::SYS_add_key, ", 0, 0, 0, 0, 0"),
        (libc::SYS_request_key, ", 0, 0, 0, 0"),
        (libc::SYS_open_by_handle_at, ", -1, 0, 0"),
        (libc::SYS_perf_event_open, ", 0, 0, 0, 0, 0"),
        (libc::SYS_userfaultfd, ", -1"),
        (libc::SYS_io_uring_setup, ", 0, 0"),
        (libc::SYS_mount, ", 0, 0, 0, 0, 0"),
        (libc::SYS_umount2, ", 0, -1"),
        (libc::SYS_pivot_root, ", 0, 0"),
        (libc::SYS_fsopen, ", 0, -1"),
        (libc::SYS_open_tree, ", -1, 0, -1"),
        (libc::SYS_reboot, ", 0, 0, 0, 0"),
        (libc::SYS_swapon, ", 0, -1"),
        (libc::SYS_settimeofday, ", 0, 0"),
        (libc::SYS_syslog, ", 10, 0, 0"),
        (libc::SYS_personality, ", 0x40000"),
        // AF_VSOCK and AF_ALG.
        (libc::SYS_socket, ", 40, 1, 0"),
        (libc::SYS_socket, ", 38, 5, 0"),
        // TIOCSTI: typing on the terminal of who calls `lab exec`.
        (libc::SYS_ioctl, ", 0, 0x5412, 0"),
    ];
    for pod in confined() {
        assert_eq!(errors(&lab, pod, refused), [libc::EPERM; 31], "{pod}");
    }
    // clone3, and a call that the list is too old to know: libc does without.
    let missing = [
        (libc::SYS_clone3, ", 0, 0"),
        (463, ", 0, 0, 0, 0, 0, 0"),
        (500, ""),
    ];
    assert_eq!(errors(&lab, "pod", missing), [libc::ENOSYS; 3]);
    let allowed = [
        (libc::SYS_personality, ", -1"),
        (libc::SYS_socket, ", 17, 3, 0"),
    ];
    assert_eq!(errors(&lab, "pod", allowed), [0; 2]);

    // It is the filter that refuses, not the kernel for another reason.
    let told_apart = [
        (libc::SYS_ptrace, ", 0, 0, 0, 0"),
        (libc::SYS_unshare, ", 0"),
        (libc::SYS_personality, ", 0x40000"),
        (libc::SYS_ioctl, ", 0, 0x5412, 0"),
        (libc::SYS_clone3, ", 0, 0"),
    ];
    let numbers = errors(&lab, "root", told_apart);
    assert_eq!(numbers, [0, 0, 0, libc::ENOTTY, libc::EINVAL]);
    end(&lab);
}

#[test]
fn no_container_reaches_the_hosts_namespaces_through_proc() {
    let Some(lab) = three_pods() else { return };
    // They would lead to the machine's files: the executable of the lab, the pod's log.
    let links = [
        "exe", "root", "cwd", "fd/0", "fd/1", "fd/2", "fd/3", "ns/net", "ns/mnt",
    ];
    let links = links.map(|link| format!("readlink /proc/1/{link}"));
    for pod in confined() {
        assert_eq!(lab.succeeding(pod, &links), [""; 0], "{pod}");
    }
    sh(
        &lab,
        "root",
        "readlink /proc/1/root /proc/1/ns/net >/dev/null",
    );
    // There are no programs there, which is no protection.
    let entries = [
        "nsenter -t 1 -n true",
        "nsenter -t 1 -p true",
        "perl -e 'chroot(\"/proc/1/root\") || die'",
    ];
    assert_eq!(lab.succeeding("root", &entries), entries);
    // Those of its own processes it may know, and cannot enter either.
    let own = "perl -e 'open(N, \"</proc/self/ns/net\") || die; print(syscall(308, fileno(N), 0) < 0 ? $! + 0 : 0)'";
    for pod in confined() {
        assert_eq!(
            sh(&lab, pod, &own.replace("308", &libc::SYS_setns.to_string())),
            libc::EPERM.to_string()
        );
        assert_eq!(lab.succeeding(pod, &entries), [""; 0], "{pod}");
    }

    let with_a_root = |arguments: &[&str]| {
        let output = lab.command_with_a_root(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = "ls -l /proc/self/fd";
    for pod in confined() {
        let open = with_a_root(&["exec", pod, "--", "sh", "-c", list]);
        assert!(open.contains("-> ") && !open.contains("-> /\n"), "{open}");
    }
    for pod in confined() {
        what_the_caller_has_is_not_the_containers(&lab, pod);
    }
    with_a_root(&["run", "lists", "--", "sh", "-c", list]);
    lab.wait_for_state("lists", "exited (0)");
    let open = lab.ok(&["logs", "lists"]);
    assert!(open.contains("-> ") && !open.contains("-> /\n"), "{open}");
    end(&lab);
}

/// Of files that `lab exec` has as its standard streams a container gets bytes, and of others not even that, whatever it makes
/// of its working directory.
fn what_the_caller_has_is_not_the_containers(lab: &TestLab, pod: &str) {
    let (_directory, input, output) = two_files_of_the_machine();
    let script = "cat; for each in 0 1 2; do readlink /proc/self/fd/$each; done; echo told >&2";
    let mut exec = lab.command(&["exec", "-i", pod, "--", "sh", "-c", script]);
    let to = fs::File::create(&output).unwrap();
    exec.stdin(fs::File::open(&input).unwrap());
    exec.stderr(to.try_clone().unwrap()).stdout(to);
    assert!(exec.status().unwrap().success());
    let said = fs::read_to_string(&output).unwrap();
    let (streams, told) = said
        .strip_prefix("machine")
        .unwrap()
        .split_at(said.len() - 12);
    assert_eq!(told, "told\n", "{said}");
    assert!(streams.lines().count() == 3, "{said}");
    assert!(
        streams.lines().all(|line| line.starts_with("pipe:")),
        "{said}"
    );
    // Nor its session, by which /dev/tty is somebody's terminal: a stage leads that where there is one.
    let leads =
        "perl -e 'print getpgrp == $$ ? \"leads\" : getpgrp == 0 ? \"of a stage\" : \"follows\"'";
    let expected = match pod {
        "pod" => "leads",
        _ => "of a stage",
    };
    let exec = ["exec", pod, "--", "sh", "-c", &format!("exec {leads}")];
    assert_eq!(lab.ok(&exec), expected);

    sh(lab, pod, "rmdir /working && ln -s /proc/self/fd/9 /working");
    // Where the program is on a mount that cannot be written, it does not execute itself anew.
    let on_read_only = "lab=$0; mount --bind \"$lab\" \"$lab\" && mount -o remount,ro,bind \"$lab\" && rm -rf /run/mount && exec 9</ && exec \"$lab\" \"$@\"";
    let exec = lab.command(&["exec", pod, "--", "pwd"]);
    let mut caller = unshared(&["sh", "-c", on_read_only]);
    let output = caller
        .arg(exec.get_program())
        .args(exec.get_args())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("working directory") && said.contains("/working"),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(126), "{output:?}");
}

/// A program in a mount namespace of its own.
#[allow(
    clippy::disallowed_methods,
    reason = "a caller of the program under test"
)]
fn unshared(line: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("unshare");
    command.arg("-m").args(line);
    command
}

/// What a container starts in place of a program is then this one, opened by its own descriptors.
#[test]
fn the_labs_executable_cannot_be_written_by_what_it_starts() {
    let Some(lab) = three_pods() else { return };
    // As an interpreter or a link would lead there.
    let own = ["/proc/self/exe", "hold", "lab", "n1"];
    let started = ["run", "own", "--"];
    lab.ok(&[&started[..], &own].concat());
    refuses_to_be_written(&lab, "own");

    // The same beside a container's own program.
    let mut child = lab
        .command(&[&["exec", "pod", "--"], &own[..]].concat())
        .spawn()
        .unwrap();
    refuses_to_be_written(&lab, "pod");
    child.kill().unwrap();
    child.wait().unwrap();
    end(&lab);
}

/// Opens what the pod's process `hold lab n1` executes as for writing; without protection the kernel refuses, too,
/// since the file is being executed, but for that reason.
fn refuses_to_be_written(lab: &TestLab, pod: &str) {
    let script = "for each in /proc/[0-9]*; do \
                  tr '\\0' ' ' <$each/cmdline | grep -qx '/proc/self/exe hold lab n1 ' && (: >$each/exe); \
                  done 2>&1; :";
    let deadline = Instant::now() + Duration::from_secs(60);
    let said = loop {
        let said = sh(lab, pod, script);
        if !said.is_empty() {
            break said;
        }
        assert!(Instant::now() < deadline, "{pod}: it does not run");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(said.contains("Read-only file system"), "{pod}: {said}");
}

#[test]
fn a_pod_is_root_over_what_is_its_own() {
    let Some(lab) = three_pods() else { return };
    let works = [
        "ping -c 1 127.0.0.1 >/dev/null",
        "touch /root/file && chown 65534:65534 /root/file && chmod 4755 /root/file",
        "perl -e '$) = $( = 65534; $> = $< = 65534; $> == 65534 || die'",
        "chroot / true",
        "mkfifo /root/fifo",
        "sleep 100 & kill $! && ! wait $!",
        "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, pack_sockaddr_in(80, INADDR_ANY)) || die'",
        // Resolves in a thread of its own.
        "curl -sS http://localhost:1/ 2>&1 | grep -q 'Connection refused\\|connect to server'",
    ];
    for pod in confined() {
        assert_eq!(lab.succeeding(pod, &works), works, "{pod}");
    }
    end(&lab);
}

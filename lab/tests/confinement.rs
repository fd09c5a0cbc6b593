//! The ways from a pod to the machine, each tried; and that privileged pods have them. What would
//! succeed on a broken tree does no harm: files are opened and not written, calls get arguments
//! that the kernel refuses later.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::TestLab;
use nix::libc;

/// A lab with a pod `pod` that is confined, and a pod `root` that is privileged.
fn two_pods() -> Option<TestLab> {
    let lab = TestLab::new()?;
    lab.ok(&["up", "--nodes", "1"]);
    let idle = ["--", "sleep", "1000"];
    lab.ok(&[&["run", "pod", "--memory", "64M"], &idle[..]].concat());
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
const CONFINED: &str = "CapInh:0000000000000000\n\
                        CapPrm:00000000a80425fb\n\
                        CapEff:00000000a80425fb\n\
                        CapBnd:00000000a80425fb\n\
                        CapAmb:0000000000000000\n\
                        NoNewPrivs:1\n\
                        Seccomp:2\n";

#[test]
fn a_pod_has_fourteen_capabilities_and_exec_gives_no_more() {
    let Some(lab) = two_pods() else { return };
    assert_eq!(sh(&lab, "pod", RIGHTS), CONFINED);
    let first = RIGHTS.replace("self", "1");
    assert_eq!(sh(&lab, "pod", &first), CONFINED);
    lab.ok(&["run", "says", "--", "sh", "-c", RIGHTS]);
    lab.wait_for_state("says", "exited (0)");
    assert_eq!(lab.ok(&["logs", "says"]), CONFINED);

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
fn a_setuid_program_gives_nothing() {
    let Some(lab) = two_pods() else { return };
    let script = "cp $(command -v perl) /usr/local/bin/setuid && chmod 4755 /usr/local/bin/setuid && \
                  perl -e '$) = $( = 65534; $> = $< = 65534; \
                           exec \"/usr/local/bin/setuid\", \"-e\", \"print \\$>\"'";
    assert_eq!(sh(&lab, "pod", script), "65534");
    assert_eq!(sh(&lab, "root", script), "0");
    end(&lab);
}

#[test]
fn the_machines_settings_cannot_be_written() {
    let Some(lab) = two_pods() else { return };
    let core_pattern = "/proc/sys/kernel/core_pattern";
    assert_eq!(writable(&lab, "root", core_pattern), [core_pattern]);
    assert_eq!(writable(&lab, "pod", core_pattern), [""; 0]);
    // All of them, whatever this kernel has: of processes only their own remain, of the rest the
    // triggers of pressure, which anybody may set, and what /dev/null stands for.
    let all = "$(find /proc -path '/proc/[0-9]*' -prune -o -type f -perm /222 -print 2>/dev/null) \
               /proc/sysrq-trigger";
    let open = writable(&lab, "pod", all);
    let open: Vec<&String> = open
        .iter()
        .filter(|file| !file.starts_with("/proc/pressure/"))
        .collect();
    assert_eq!(open, [""; 0]);
    let sysfs = "$(find /sys -type f -perm /222 2>/dev/null | head -n 200)";
    assert_eq!(writable(&lab, "pod", sysfs), [""; 0]);
    // Nor can the protection be taken away.
    for change in [
        "umount /proc/sys",
        "mount -o remount,bind,rw /proc/sys",
        "mount -t proc proc /mnt",
        "mount -o remount,rw /sys",
    ] {
        sh(&lab, "pod", &format!("! {change} 2>/dev/null"));
    }
    end(&lab);
}

#[test]
fn what_tells_of_the_machine_is_hidden() {
    let Some(lab) = two_pods() else { return };
    for file in [
        "kcore",
        "keys",
        "timer_list",
        "timer_stats",
        "latency_stats",
        "sched_debug",
        "interrupts",
    ] {
        // A character device: /dev/null covers it.
        let script = format!("test ! -e /proc/{file} || test -c /proc/{file}");
        sh(&lab, "pod", &script);
    }
    for directory in ["/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware"] {
        assert_eq!(
            sh(&lab, "pod", &format!("ls -A {directory} 2>/dev/null; :")),
            ""
        );
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
fn nothing_can_be_mounted_and_the_memory_limit_stays() {
    let Some(lab) = two_pods() else { return };
    sh(&lab, "root", "mount -t tmpfs tmpfs /mnt");
    for mount in [
        "-t tmpfs tmpfs",
        "-t cgroup -o memory cgroup",
        "-t cgroup -o rdma cgroup",
        "-t cgroup2 cgroup",
        "-t sysfs sysfs",
        "-t devtmpfs dev",
        "--bind /etc",
    ] {
        sh(&lab, "pod", &format!("! mount {mount} /mnt 2>/dev/null"));
        let inside = format!("! unshare -m mount {mount} /mnt 2>/dev/null");
        sh(&lab, "pod", &inside);
        let inside = format!("! unshare -Urm mount {mount} /mnt 2>/dev/null");
        sh(&lab, "pod", &inside);
    }
    assert_eq!(
        sh(
            &lab,
            "pod",
            "grep cgroup /proc/mounts; ls -A /sys/fs/cgroup"
        ),
        ""
    );
    // Its own group is the root of what it sees.
    let groups = sh(&lab, "pod", "cat /proc/self/cgroup");
    assert!(
        !groups.is_empty() && groups.lines().all(|line| line.ends_with(":/")),
        "{groups}"
    );
    lab.fails(
        137,
        &["exec", "pod", "--", "perl", "-e", "$_ = 'x' x 200_000_000"],
    );
    end(&lab);
}

#[test]
fn no_device_opens_but_the_usual() {
    let Some(lab) = two_pods() else { return };
    assert_eq!(
        sh(&lab, "pod", "ls /dev | tr '\\n' ' '"),
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "
    );
    sh(
        &lab,
        "pod",
        "head -c 1 /dev/zero /dev/urandom >/dev/null && ! echo x >/dev/full 2>/dev/null",
    );
    sh(&lab, "pod", "script -qc true /dev/null >/dev/null");
    // The device is one that is always there and does no harm.
    let opens = |pod: &str, directory: &str| {
        let file = format!("{directory}/device");
        let script = format!("mknod {file} c 1 3 && : <{file}");
        lab.run(&["exec", pod, "--", "sh", "-c", &script])
    };
    assert!(opens("root", "/").status.success());
    for directory in [
        "", "/root", "/dev", "/dev/shm", "/run", "/tmp", "/dev/pts", "/sys", "/proc",
    ] {
        assert!(
            !opens("pod", directory).status.success(),
            "{directory}/device opens"
        );
    }
    // A disk of the machine's.
    let disks = fs::read_to_string("/proc/partitions").unwrap();
    let numbers = disks.lines().skip(2).map(|line| line.split_whitespace());
    for (number, mut line) in numbers.enumerate() {
        let (major, minor) = (line.next().unwrap(), line.next().unwrap());
        let script =
            format!("mknod /disk{number} b {major} {minor}; ! head -c 1 /disk{number} 2>/dev/null");
        sh(&lab, "pod", &script);
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
    let Some(lab) = two_pods() else { return };
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
    assert_eq!(errors(&lab, "pod", refused), [libc::EPERM; 31]);
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
fn the_pods_first_process_and_the_callers_files_are_no_way_out() {
    let Some(lab) = two_pods() else { return };
    // They would lead to the machine's files: the executable of the lab, the pod's log.
    for link in ["exe", "root", "cwd", "fd/0", "fd/1", "fd/2", "fd/3"] {
        sh(&lab, "pod", &format!("! readlink /proc/1/{link}"));
    }
    sh(&lab, "root", "readlink /proc/1/root >/dev/null");

    let with_a_root = |arguments: &[&str]| {
        let command = lab.command(arguments);
        #[allow(
            clippy::disallowed_methods,
            reason = "a caller that leaves a directory open"
        )]
        let mut caller = std::process::Command::new("sh");
        caller.args(["-c", "exec 9</; exec \"$0\" \"$@\""]);
        caller.arg(command.get_program()).args(command.get_args());
        let output = caller.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = "ls -l /proc/self/fd";
    let open = with_a_root(&["exec", "pod", "--", "sh", "-c", list]);
    assert!(!open.contains("-> /\n"), "{open}");
    with_a_root(&["run", "lists", "--", "sh", "-c", list]);
    lab.wait_for_state("lists", "exited (0)");
    let open = lab.ok(&["logs", "lists"]);
    assert!(open.contains("-> ") && !open.contains("-> /\n"), "{open}");
    end(&lab);
}

/// What a container starts in place of a program is then this one, opened by its own descriptors.
#[test]
fn the_labs_executable_cannot_be_written_by_what_it_starts() {
    let Some(lab) = two_pods() else { return };
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
    let deadline = Instant::now() + Duration::from_secs(20);
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
    let Some(lab) = two_pods() else { return };
    for works in [
        "ping -c 1 127.0.0.1 >/dev/null",
        "touch /root/file && chown 65534:65534 /root/file && chmod 4755 /root/file",
        "perl -e '$) = $( = 65534; $> = $< = 65534; $> == 65534 || die'",
        "chroot / true",
        "mkfifo /root/fifo && mknod /root/node c 1 3",
        "sleep 100 & kill $! && ! wait $!",
        "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, pack_sockaddr_in(80, INADDR_ANY)) || die'",
        // Resolves in a thread of its own.
        "curl -sS http://localhost:1/ 2>&1 | grep -q 'Connection refused\\|connect to server'",
    ] {
        sh(&lab, "pod", works);
    }
    end(&lab);
}

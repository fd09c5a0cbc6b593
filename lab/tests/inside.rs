//! In containers: programs at a terminal, and files on their way in and out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{TestLab, at_a_terminal, root_can_be_of_others, signal_pid};
use kernel::testing::skipped;
use serde_json::{Value, json};

/// A user at a terminal of 33 lines, until the file `wider` is there; script(1) is the terminal.
struct User {
    script: Child,
    directory: tempfile::TempDir,
}

impl User {
    fn executes(lab: &TestLab, words: &str) -> Self {
        Self::types_into(lab, &format!("exec -it web -- {words}"))
    }

    /// A command of the lab.
    fn types_into(lab: &TestLab, words: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let commands = format!(
            "stty rows 33 cols 99; stty -g >{before}; terminal=$(tty)
             (until test -e {wider}; do sleep 0.02; done; stty rows 44 cols 55 <$terminal) &
             sh -c 'echo $$ >{pid}; exec {lab} --lab {name} {words}'
             echo $? >{status}; stty -g >{after}",
            before = at("before"),
            wider = at("wider"),
            pid = at("pid"),
            status = at("status"),
            after = at("after"),
            lab = env!("CARGO_BIN_EXE_lab"),
            name = lab.name,
        );
        let script = at_a_terminal(&commands, &at("typescript")).spawn().unwrap();
        Self { script, directory }
    }

    fn file(&self, name: &str) -> String {
        let content = fs::read(self.directory.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    }

    fn types(&mut self, keys: &str) {
        let keyboard = self.script.stdin.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        self.waits_until(text, || self.file("typescript").contains(text));
    }

    #[track_caller]
    fn waits_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            let shown = self.file("typescript");
            assert!(Instant::now() < deadline, "{what}: {shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// With this exit status; the terminal is as it was.
    #[track_caller]
    fn is_back(&self, status: &str) {
        self.waits_until("it does not end", || !self.file("after").is_empty());
        assert_eq!(self.file("before"), self.file("after"), "the terminal");
        assert_eq!(
            self.file("status").trim(),
            status,
            "{}",
            self.file("typescript")
        );
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn a_shell_has_a_terminal_of_its_own(lab: &TestLab) {
    let mut user = User::executes(lab, "sh");
    user.sees("# ");
    user.types("tty; stty size\n");
    user.sees("/dev/pts/0\r\n33 99\r\n");
    fs::write(user.directory.path().join("wider"), "").unwrap();
    user.types("until stty size | grep -x \"44 55\"; do sleep 0.05; done\n");
    user.sees("\n44 55\r\n");
    // Ctrl-C reaches the program alone, which says itself that it is in the foreground.
    user.types("sh -c 'echo beg\"\"ins; exec sleep 1000'\n");
    user.sees("begins\r\n");
    user.types("\u{3}");
    user.types("echo st\"\"atus $?\n");
    user.sees("status 130\r\n");
    user.types("sleep 500 &\n");
    user.types("jobs; kill %1; exit 7\n");
    user.is_back("7");
    let shown = user.file("typescript");
    assert!(shown.contains("Running"), "{shown}");
    for complaint in ["job control turned off", "access tty"] {
        assert!(!shown.contains(complaint), "{shown}");
    }
}

fn a_signal_ends_the_session_and_leaves_the_terminal(lab: &TestLab) {
    let user = User::executes(lab, "sh -c \"echo ready; exec sleep 900\"");
    user.sees("\nready\r\n");
    signal_pid(user.file("pid").trim().parse().unwrap(), "TERM");
    user.is_back("143");
    let left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 900'";
    user.waits_until("it is left", || {
        lab.run(&["exec", "web", "--", "sh", "-c", left]).stdout == b"0\n"
    });
}

/// The pod's own program, whose pod is gone afterwards.
fn a_pod_is_run_at_a_terminal(lab: &TestLab) {
    let mut user = User::types_into(lab, "run shell -it --rm -- sh");
    user.sees("# ");
    user.types("tty; stty size\n");
    user.sees("/dev/pts/0\r\n33 99\r\n");
    assert!(
        lab.ok(&["logs", "shell"])
            .contains("/dev/pts/0\r\n33 99\r\n")
    );
    user.types("sh -c 'echo beg\"\"ins; exec sleep 1000'\n");
    user.sees("begins\r\n");
    user.types("\u{3}");
    user.types("echo st\"\"atus $?\n");
    user.sees("status 130\r\n");
    user.types("echo l\"\"ast; exit 7\n");
    user.is_back("7");
    let shown = user.file("typescript");
    assert!(shown.contains("last\r\n"), "{shown}");
    assert_eq!(lab.pods(), ["web"]);
    // A signal ends the looking, and with --rm the pod.
    for (flags, left) in [("-it --rm", vec!["web"]), ("-it", vec!["signalled", "web"])] {
        let words = format!("run signalled {flags} -- sh -c \"echo ready; exec sleep 900\"");
        let user = User::types_into(lab, &words);
        user.sees("\nready\r\n");
        signal_pid(user.file("pid").trim().parse().unwrap(), "TERM");
        user.is_back("143");
        assert_eq!(lab.pods(), left);
    }
    lab.ok(&["delete", "pod", "signalled", "--now"]);
}

/// As in a script, with pipes.
fn a_pod_is_run_with_what_is_piped_into_it(lab: &TestLab) {
    let script = "tr a-z A-Z; echo end >&2; exit 3";
    let mut run = lab.command(&["run", "pipe", "-i", "--rm", "--", "sh", "-c", script]);
    let mut run = run
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe or a socket holds.
    let much = "many words\n".repeat(100_000);
    let mut input = run.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            input.write_all(much.as_bytes()).unwrap();
            drop(input);
        });
        run.wait_with_output().unwrap()
    });
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said == much.to_uppercase(), "{}", said.len());
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(complained.lines().any(|line| line == "end"), "{complained}");
    let words = [
        "run",
        "kept",
        "--attach",
        "--",
        "sh",
        "-c",
        "cat; echo said",
    ];
    assert_eq!(lab.ok(&words), "said\n");
    assert_eq!(lab.ok(&["logs", "kept"]), "said\n");
    lab.ok(&["delete", "pod", "kept"]);
    who_takes_it_slowly_loses_nothing(lab);
    who_reads_no_longer_ends_the_looking(lab);
    let error = lab.fails(1, &["run", "none", "-i", "--rm", "--", "no-such-program"]);
    assert!(error.contains("no-such-program"), "{error}");
    lab.fails(2, &["run", "none", "--rm", "--", "true"]);
    lab.fails(
        2,
        &[
            "run",
            "none",
            "--attach",
            "--restart",
            "Always",
            "--",
            "true",
        ],
    );
    assert_eq!(lab.pods(), ["web"]);
}

/// More than pipes and sockets hold, and one byte of it is taken before the container's end is known.
fn who_takes_it_slowly_loses_nothing(lab: &TestLab) {
    let much = "slow --attach -- head -c 800000 /dev/zero".split(' ');
    let words: Vec<&str> = ["run"].into_iter().chain(much).collect();
    let mut run = lab.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = run.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    lab.wait_for_state("slow", "exited (0)");
    let mut said = vec![0];
    output.read_to_end(&mut said).unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(said.len(), 800_000);
    assert_eq!(lab.ok(&["logs", "slow"]).len(), 800_000);
    lab.ok(&["delete", "pod", "slow"]);
}

fn who_reads_no_longer_ends_the_looking(lab: &TestLab) {
    let yes = ["run", "yes", "--attach", "--rm", "--", "yes"];
    let mut run = lab.command(&yes).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    drop(said);
    assert_eq!(run.wait().unwrap().code(), Some(141));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let run = lab
        .command(&yes)
        .stdout(full)
        .stderr(Stdio::piped())
        .output();
    let run = run.unwrap();
    let complaint = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("No space left"), "{complaint}");
}

#[test]
fn a_program_has_a_terminal_of_its_own() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    lab.ok(&["run", "web", "--", "sleep", "1000"]);
    a_shell_has_a_terminal_of_its_own(&lab);
    a_signal_ends_the_session_and_leaves_the_terminal(&lab);
    a_pod_is_run_at_a_terminal(&lab);
    a_pod_is_run_with_what_is_piped_into_it(&lab);
    // Without one there is none, and that is said.
    let error = lab.fails(1, &["exec", "-it", "web", "--", "tty"]);
    assert!(error.contains("Unable to use a TTY"), "{error}");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// A directory with what there can be in it.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let top = place.path().join("top");
    fs::create_dir_all(top.join("closed")).unwrap();
    fs::write(top.join("closed/file"), "inside").unwrap();
    fs::write(top.join("page"), "x".repeat(300_000)).unwrap();
    fs::write(top.join("run"), "#!/bin/sh\necho runs\n").unwrap();
    symlink("/etc/hostname", top.join("link")).unwrap();
    for (name, mode) in [("closed", 0o555), ("page", 0o640), ("run", 0o755)] {
        fs::set_permissions(top.join(name), Permissions::from_mode(mode)).unwrap();
    }
    (place, top)
}

/// Modes, kinds, sizes and links, in order.
const LISTING: &str =
    "cd \"$0\" && find . -printf '%P %m %y %l\\n' | sort && cat page | sha256sum && ./run";

#[allow(clippy::disallowed_methods, reason = "a look from outside")]
fn listing(directory: &Path) -> String {
    let list = Command::new("sh")
        .args(["-c", LISTING])
        .arg(directory)
        .output()
        .unwrap();
    assert!(list.status.success(), "{list:?}");
    String::from_utf8(list.stdout).unwrap()
}

fn there_and_back(lab: &TestLab) {
    let (place, top) = tree();
    let here = |name: &str| place.path().join(name).display().to_string();
    lab.ok(&["cp", &top.display().to_string(), "web:/tmp/new"]);
    let inside = |path: &str| lab.ok(&["exec", "web", "--", "sh", "-c", LISTING, path]);
    assert_eq!(inside("/tmp/new"), listing(&top));
    // Into a directory that is there, and relative to the working directory.
    lab.ok(&["cp", &top.display().to_string(), "web:tmp"]);
    assert_eq!(inside("/tmp/top"), listing(&top));
    lab.ok(&["cp", "pod/web:/tmp/new", &here("back")]);
    assert_eq!(listing(Path::new(&here("back"))), listing(&top));
    lab.ok(&["cp", "web:/tmp/new/page", &here("back/run")]);
    let replaced = fs::metadata(here("back/run")).unwrap();
    assert_eq!(
        (replaced.len(), replaced.permissions().mode() & 0o777),
        (300_000, 0o640)
    );
    let owners = ["exec", "web", "--", "stat", "-c", "%u:%g", "/tmp/new/page"];
    assert_eq!(lab.ok(&owners), "0:0\n");
}

/// What a command says that fails since the directory is a file system of one MiB; nothing but an empty directory is left.
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn with_little_room(directory: &str, command: Command) -> String {
    let script = r#"
        busybox mount -t tmpfs -o size=1M tmpfs "$0"
        "$@" && exit 1
        test "$(find "$0" -type f | wc -l)" = 0
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, directory])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn what_cannot_be_copied_is_said(lab: &TestLab) {
    let place = tempfile::tempdir().unwrap();
    let here = |name: &str| place.path().join(name).display().to_string();
    let says = |code: i32, words: &[&str], why: &str| {
        let error = lab.fails(code, words);
        assert!(error.contains(why), "{words:?}: {error}");
    };
    says(
        1,
        &["cp", "web:/none", &here("none")],
        "read /none: No such file",
    );
    says(1, &["cp", &here("none"), "web:/tmp"], "No such file");
    says(1, &["cp", "web:/dev/zero", &here("zero")], "it is a device");
    says(1, &["cp", "/etc/hosts", "web:/none/hosts"], "No such file");
    says(
        1,
        &["cp", "web:/etc/hosts", &here("none/hosts")],
        "No such file",
    );
    says(
        2,
        &["cp", "/etc/hosts", "/tmp/hosts"],
        "the other one POD:PATH",
    );
    says(
        1,
        &["cp", "/etc/hosts", "web:/proc/sys/kernel/hostname2"],
        "write /proc/sys",
    );
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    // What is written there is the container's memory.
    lab.ok(&["run", "small", "--memory", "16M", "--", "sleep", "1000"]);
    fs::write(here("big"), vec![0; 64 << 20]).unwrap();
    says(
        1,
        &["cp", &here("big"), "small:/tmp"],
        "count to its memory, which is limited to 16.0 MiB",
    );
    let left = lab.ok(&["exec", "small", "--", "ls", "-A", "/tmp"]);
    assert!(!left.contains(".lab-cp."), "{left}");
    // A container does not fill the caller's disk.
    lab.ok(&[
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "mkdir /tmp/much; head -c 4000000 /dev/zero >/tmp/much/file",
    ]);
    fs::create_dir(here("little")).unwrap();
    let copy = lab.command(&["cp", "web:/tmp/much", &here("little")]);
    let error = with_little_room(&here("little"), copy);
    assert!(
        error.contains("little/much/file: ") && error.contains("would fill"),
        "{error}"
    );
    // The rest of a directory comes.
    let make = "mkdir /tmp/odd; cd /tmp/odd; mkfifo fifo; mknod zero c 1 5; echo yes >file; cp /bin/true suid; chmod 4755 suid";
    lab.ok(&["exec", "web", "--", "sh", "-c", make]);
    says(
        1,
        &["cp", "web:/tmp/odd", &here("odd")],
        "/tmp/odd/fifo: it is a FIFO\n/tmp/odd/zero: it is a device",
    );
    let mut names: Vec<_> = fs::read_dir(here("odd"))
        .unwrap()
        .map(|each| each.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["file", "suid"]);
    // No stranger's program gets the rights of who takes it.
    let mode = fs::metadata(here("odd/suid")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

fn links_of_a_container_lead_nowhere_else(lab: &TestLab) {
    let place = tempfile::tempdir().unwrap();
    let here = |name: &str| place.path().join(name).display().to_string();
    let in_pod = |script: &str| lab.ok(&["exec", "web", "--", "sh", "-c", script]);
    // Those on the way are the container's.
    in_pod("ln -s / /tmp/root; ln -s /proc/1/root /tmp/magic");
    lab.ok(&["cp", "web:/tmp/root/etc/hostname", &here("hostname")]);
    assert_eq!(fs::read_to_string(here("hostname")).unwrap(), "web\n");
    lab.fails(1, &["cp", "web:/tmp/magic/etc/hostname", &here("magic")]);
    assert!(!fs::exists(here("magic")).unwrap());
    // Out of it: first a link that leads out, then a directory in its place.
    fs::create_dir(here("outside")).unwrap();
    in_pod(&format!(
        "mkdir /tmp/trap; ln -s {} /tmp/trap/way",
        here("outside")
    ));
    lab.ok(&["cp", "web:/tmp/trap", &here("taken")]);
    in_pod("rm /tmp/trap/way; mkdir /tmp/trap/way; echo bad >/tmp/trap/way/file");
    let error = lab.fails(1, &["cp", "web:/tmp/trap/way", &here("taken")]);
    assert!(
        error.contains("a file or a link is: remove it first"),
        "{error}"
    );
    // Into it: a link in the place of the file, and one in the place of a directory.
    fs::create_dir(here("way")).unwrap();
    fs::write(here("way/file"), "good").unwrap();
    in_pod(&format!(
        "rm -r /tmp/trap/way; ln -s {} /tmp/trap/file; ln -s /tmp /tmp/trap/way",
        here("outside/file")
    ));
    lab.ok(&["cp", &here("way/file"), "web:/tmp/trap/file"]);
    assert_eq!(
        in_pod("cat /tmp/trap/file; test ! -L /tmp/trap/file"),
        "good"
    );
    let error = lab.fails(1, &["cp", &here("way"), "web:/tmp/trap"]);
    assert!(
        error.contains("a file or a link is: remove it first"),
        "{error}"
    );
    assert_eq!(fs::read_dir(here("outside")).unwrap().count(), 0);
}

/// How many control groups of containers a pod has.
fn groups(lab: &TestLab, pod: &str) -> usize {
    let hierarchies = sandbox::cgroup::Hierarchies::detect().unwrap();
    let of_pod = |root: &&Path| root.join("podwire-lab").join(&lab.name).join(pod);
    let found = hierarchies
        .roots()
        .iter()
        .map(of_pod)
        .find(|path| path.is_dir());
    let entries = fs::read_dir(found.unwrap()).unwrap().flatten();
    let names = entries.map(|each| each.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("c-")).count()
}

/// What is one container's own, and what is its pod's.
fn a_container_beside_a_pods_looks_at_it(lab: &TestLab) {
    for name in ["solo", "own"] {
        let manifest = lab.dir().join("debugged.json");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": {
                "hostUsers": name != "own", "terminationGracePeriodSeconds": 0, "containers": [{
                    "name": "main", "command": ["sh", "-c", "touch /mine; exec sleep 1000"],
                    "securityContext": { "capabilities": { "drop": ["ALL"] } },
                }],
            },
        });
        fs::write(&manifest, pod.to_string()).unwrap();
        if name == "own" && !root_can_be_of_others() {
            skipped("the machine's root cannot be others'");
            continue;
        }
        lab.ok(&["apply", "-f", &manifest.display().to_string()]);
        let looks = |flags: &[&str], script: &str| {
            let words = [&["debug", name][..], flags, &["--", "sh", "-c", script]].concat();
            lab.ok(&words)
        };
        let about = "hostname; ip -o addr show eth0; test ! -e /mine && touch /mine; cat /proc/1/comm; readlink /proc/self/ns/net";
        let seen = looks(&[], about);
        assert!(seen.starts_with(&format!("{name}\n")), "{seen}");
        assert!(seen.contains(&lab.address(name)), "{seen}");
        let network = lab.ok(&["exec", name, "--", "readlink", "/proc/self/ns/net"]);
        assert!(seen.ends_with(&network), "{seen}");
        // Its own processes alone, unless it is told whose.
        let others = "cat /proc/[0-9]*/comm | grep -c sleep; ls /proc/1/root/mine";
        assert_eq!(
            looks(&["--target", "main"], others),
            "1\n/proc/1/root/mine\n",
            "{name}"
        );
        lab.fails(
            1,
            &["debug", name, "--", "grep", "-q", "sleep", "/proc/1/comm"],
        );
        // With no more rights than any container.
        lab.fails(
            32,
            &[
                "debug", name, "--target", "main", "--", "mount", "-t", "tmpfs", "tmpfs", "/mnt",
            ],
        );
        lab.ok(&["debug", name, "--image", "/", "--", "true"]);
        let at_once =
            [(); 4].map(|()| lab.command(&["debug", name, "--", "true"]).spawn().unwrap());
        for mut debug in at_once {
            assert!(debug.wait().unwrap().success(), "{name}: several at once");
        }
        lab.fails(7, &["debug", name, "--", "sh", "-c", "exit 7"]);
        lab.fails(127, &["debug", name, "--", "no-such-program"]);
        assert_eq!(groups(lab, name), 1, "{name}");
        they_are_in_the_pods_status(lab, name);
    }
    assert!(
        lab.ok(&[
            "debug",
            "pod/web",
            "--",
            "sh",
            "-c",
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
        ])
        .contains("sleep 1000")
    );
}

fn object(lab: &TestLab, pod: &str) -> Value {
    serde_json::from_str(&lab.ok(&["get", "pod", pod, "-o", "json"])).unwrap()
}

/// The last ones, how they ended, and what they were.
fn they_are_in_the_pods_status(lab: &TestLab, pod: &str) {
    let object = object(lab, pod);
    let statuses = object["status"]["ephemeralContainerStatuses"]
        .as_array()
        .unwrap();
    let ends = statuses.iter().map(|each| &each["state"]["terminated"]);
    let codes: Vec<_> = ends.map(|end| end["exitCode"].as_i64().unwrap()).collect();
    assert_eq!(codes, [0, 0, 1, 32, 0, 0, 0, 0, 0, 7, 127]);
    let specs = object["spec"]["ephemeralContainers"].as_array().unwrap();
    assert_eq!(specs.len(), codes.len());
    assert_eq!(specs[1]["targetContainerName"], "main");
    assert_eq!(specs[10]["command"], json!(["no-such-program"]));
    let name = specs[10]["name"].as_str().unwrap();
    assert_eq!(statuses[10]["name"], name);
    let told = lab.ok(&["describe", "pod", pod]);
    let (_, told) = told.split_once("\nEphemeral Containers:\n").unwrap();
    assert!(told.contains(&format!("  {name}:\n")), "{told}");
    assert!(
        told.contains(&format!("Started container {name}\n")),
        "{told}"
    );
}

/// Whatever ends it.
fn nothing_is_left_of_a_container_beside_a_pods(lab: &TestLab) {
    let script = "sleep 777 & echo ready; sleep 778";
    let session = |pod: &str| {
        let mut session =
            lab.command(&["debug", pod, "--target", "main", "--", "sh", "-c", script]);
        let mut session = session.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        session
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        assert_eq!(groups(lab, pod), 2);
        let object = object(lab, pod);
        let statuses = object["status"]["ephemeralContainerStatuses"].as_array();
        let state = &statuses.unwrap().last().unwrap()["state"];
        assert!(state["running"]["startedAt"].is_string(), "{state}");
        session
    };
    let left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 77'";
    let is_gone = || {
        groups(lab, "solo") == 1
            && lab.run(&["exec", "solo", "--", "sh", "-c", left]).stdout == b"0\n"
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let gone = || {
        while !is_gone() {
            assert!(Instant::now() < deadline, "it is left");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for signal in ["KILL", "TERM"] {
        let mut killed = session("solo");
        signal_pid(killed.id(), signal);
        killed.wait().unwrap();
        gone();
    }
    let mut alone = session("solo");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", alone.id())).unwrap();
    signal_pid(children.trim().parse().unwrap(), "KILL");
    assert_eq!(alone.wait().unwrap().code(), Some(137));
    gone();
    let mut ended = session("solo");
    lab.ok(&["delete", "pod", "solo"]);
    assert_eq!(ended.wait().unwrap().code(), Some(137));
    lab.fails(1, &["debug", "solo", "--", "true"]);
}

/// Attaches to the next processes of its PID namespace as soon as it can, says what they may do and whether they have
/// descriptor 9, and kills them.
const DEBUGGER: &str = r#"
    use POSIX (); $| = 1;
    my $next = fork() || POSIX::_exit(0); waitpid($next, 0);
    print "ready\n";
    for (1..ROUNDS) {
        $next++;
        1 until syscall(PTRACE, 16, $next, 0, 0) == 0;
        waitpid($next, 0x40000000);
        open(my $status, "<", "/proc/$next/status") || die;
        print grep { s/^CapEff:\s*// } <$status>;
        print "its caller's root\n" if -l "/proc/$next/fd/9";
        kill(9, $next); waitpid($next, 0x40000000);
    }
"#;

/// Its stage, which makes its root, has all rights.
fn a_debugger_in_the_target_sees_no_more_than_a_container(lab: &TestLab) {
    const ROUNDS: usize = 6;
    let manifest = lab.dir().join("debugging.json");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "debugging" },
        "spec": { "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "main", "command": ["sleep", "1000"],
            "securityContext": { "capabilities": { "add": ["SYS_PTRACE"] } },
        }] },
    });
    fs::write(&manifest, pod.to_string()).unwrap();
    lab.ok(&["apply", "-f", &manifest.display().to_string()]);
    let rights = "sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status";
    let rights = lab.ok(&["debug", "debugging", "--", "sh", "-c", rights]);
    let script = DEBUGGER
        .replace("ROUNDS", &ROUNDS.to_string())
        .replace("PTRACE", &nix::libc::SYS_ptrace.to_string());
    let mut debugger = lab.command(&["exec", "debugging", "--", "perl", "-e", &script]);
    let mut debugger = debugger.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(debugger.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let debug = [
        "debug",
        "debugging",
        "--target",
        "main",
        "--",
        "sleep",
        "20",
    ];
    for _ in 0..ROUNDS {
        let status = lab.command_with_a_root(&debug).status().unwrap();
        assert_eq!(status.code(), Some(137));
    }
    let attached: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(attached, vec![rights.trim(); ROUNDS]);
    assert!(debugger.wait().unwrap().success());
}

#[test]
fn pods_are_looked_at_from_containers_beside_theirs() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    lab.ok(&["run", "web", "--", "sleep", "1000"]);
    a_container_beside_a_pods_looks_at_it(&lab);
    nothing_is_left_of_a_container_beside_a_pods(&lab);
    a_debugger_in_the_target_sees_no_more_than_a_container(&lab);
    let mut user = User::types_into(&lab, "debug -it web -- sh");
    user.sees("# ");
    user.types("tty; hostname; exit 3\n");
    user.sees("/dev/pts/0\r\nweb\r\n");
    user.is_back("3");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn files_go_into_containers_and_out_of_them() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    lab.ok(&["run", "web", "--", "sleep", "1000"]);
    there_and_back(&lab);
    what_cannot_be_copied_is_said(&lab);
    links_of_a_container_lead_nowhere_else(&lab);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

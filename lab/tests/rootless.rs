//! Labs of a user who is not root, and of one who is root of a user namespace alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{TestLab, at_a_terminal, signal, wait_until};
use kernel::testing::is_installed;

/// Nobody's on the machine: no file of it and no process is the user's.
const USER: u32 = 54_321;
/// Another one.
const STRANGER: u32 = 54_322;

/// Where the programs under test are. Not below `/run`, of which every node has its own.
const BUILT: &str = "/media";
const LAB: &str = "/media/lab";

/// Two pods without an image. SECONDS is what a container leaves behind.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {lab.podwire/boottime-offset: "1000000"}}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  containers:
  - name: server
    command: [sh, -c, "mkdir -p /srv/www && echo hello >/srv/www/index.html && exec busybox httpd -f -p 80 -h /srv/www"]
    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
    volumeMounts: [{name: log, mountPath: /var/log/web}]
  volumes: [{name: log, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeName: n2
  shareProcessNamespace: true
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: leaver, command: [sh, -c, "sleep SECONDS & :"]}
  - {name: stayer, command: [sleep, "1000"]}
"#;

/// A lab, and a user with a home, whose programs and directories are in the world of the test.
struct User {
    lab: TestLab,
}

impl User {
    fn new() -> Option<Self> {
        let lab = TestLab::new()?;
        // The way to the build may be root's alone.
        let built = Path::new(env!("CARGO_BIN_EXE_lab")).parent().unwrap();
        sandbox::mount::bind(built, Path::new(BUILT)).unwrap();
        for user in [USER, STRANGER] {
            for directory in [home(user), runtime(user)] {
                fs::DirBuilder::new()
                    .mode(0o700)
                    .create(&directory)
                    .unwrap();
                chown(&directory, Some(user), Some(user)).unwrap();
            }
        }
        Some(Self { lab })
    }

    /// A program as a user, with nothing of the caller's rights.
    #[allow(clippy::disallowed_methods, reason = "the program under test")]
    fn command(&self, user: u32, program: &str) -> Command {
        let mut command = Command::new(program);
        run_by(&mut command, user).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(USER, LAB);
        let lab = ["--lab", &self.lab.name];
        command.args(lab).args(arguments).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let [said, told] = texts(&output);
        assert!(
            output.status.success(),
            "{arguments:?}: {said}{told}{:?}",
            texts(&self.run(&["describe", "pods"]))
        );
        (said, told)
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let [said, told] = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}{told}");
        told
    }

    /// A file of the user's.
    fn write(&self, name: &str, text: &str) -> String {
        let path = home(USER).join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// What `lab get` says of a pod, in its columns.
    fn pod(&self, name: &str) -> Vec<String> {
        let (said, _) = self.ok(&["get", "pods", name, "-o", "wide"]);
        let row = said.lines().nth(1).unwrap();
        row.split_whitespace().map(str::to_owned).collect()
    }

    fn address(&self, name: &str) -> String {
        self.pod(name)[5].clone()
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(runtime(USER)).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        // What is the test's own.
        sandbox::mount::unmount_lazily(Path::new(BUILT)).unwrap();
        for user in [USER, STRANGER] {
            fs::remove_dir_all(home(user)).unwrap();
            fs::remove_dir_all(runtime(user)).unwrap();
        }
        self.lab.assert_nothing_left();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if runtime(USER).join("podwire-lab").exists() {
            let [_, told] = texts(&self.run(&["down"]));
            eprintln!("taken down by the test's end: {told}");
        }
    }
}

fn run_by(command: &mut Command, user: u32) -> &mut Command {
    command
        .uid(user)
        .gid(user)
        .env("HOME", home(user))
        .env("XDG_RUNTIME_DIR", runtime(user))
        .env_remove("XDG_DATA_HOME")
        .current_dir("/")
}

fn home(user: u32) -> PathBuf {
    format!("/run/home-{user}").into()
}

fn runtime(user: u32) -> PathBuf {
    format!("/run/runtime-{user}").into()
}

fn texts(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn sleeping(seconds: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|each| fs::read(each.path().join("cmdline")).ok());
    lines.any(|line| line == format!("sleep\0{seconds}\0").as_bytes())
}

#[test]
fn a_user_has_a_lab_without_root_and_nobody_else_has() {
    let Some(user) = User::new() else { return };
    let (_, told) = user.ok(&["up", "--nodes", "2"]);
    assert!(
        told.contains("without root, root is the only user"),
        "{told}"
    );
    let mode = fs::metadata(runtime(USER).join("podwire-lab"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);

    user.ok(&[
        "apply",
        "-f",
        &user.write("pods.yaml", &PODS.replace("SECONDS", "4321")),
    ]);
    user.ok(&["wait", "pod/web", "--for=condition=Ready"]);
    let address = user.address("web");
    user.ok(&[
        "exec", "client", "-c", "stayer", "--", "ping", "-c", "1", "-W", "5", &address,
    ]);
    let url = format!("http://{address}/");
    let fetch = [
        "exec", "client", "-c", "stayer", "--", "busybox", "wget", "-q", "-O", "-", &url,
    ];
    assert_eq!(user.ok(&fetch).0, "hello\n");
    // What a container left in a PID namespace that it shares.
    wait_until("the end of what a container left", || !sleeping("4321"));
    commands_that_start_something_in_a_pod(&user);
    networks_and_pages(&user);
    // Root there is the user here.
    let inside = [
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "id -u; cat /etc/shadow; echo x >/run/runtime-54322/x",
    ];
    let output = user.run(&inside);
    let [said, told] = texts(&output);
    assert_eq!(said, "0\n");
    assert!(told.contains("/etc/shadow: Permission denied"), "{told}");
    assert!(!runtime(STRANGER).join("x").exists());

    for (spec, expected) in [
        (
            "containers: [{name: c, command: [sleep, '1'], resources: {limits: {memory: 64Mi}}}]",
            "container c has a limit or request of memory, and a lab without root has no control groups",
        ),
        (
            "securityContext: {runAsUser: 1000}\n  containers: [{name: c, command: [sleep, '1']}]",
            "runAsUser is 1000, and this lab without root has none of that number",
        ),
        (
            "securityContext: {fsGroup: 5}\n  containers: [{name: c, command: [sleep, '1']}]",
            "supplementalGroups or fsGroup has 5",
        ),
    ] {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  {spec}\n");
        let told = user.fails(&["apply", "-f", &user.write("refused.yaml", &text)]);
        assert!(told.contains(expected), "{told}");
    }
    let told = user.fails(&["run", "p", "--cpuset", "0", "--", "true"]);
    assert!(
        told.contains("the annotation lab.podwire/cpuset is a limit"),
        "{told}"
    );

    // Of a stranger's labs there are none, and at this one nobody else gets.
    let ask = |directory: PathBuf| {
        let mut command = user.command(STRANGER, LAB);
        let asked = command.args(["--lab", &user.lab.name, "get", "pods"]);
        asked.env("XDG_RUNTIME_DIR", directory).output().unwrap()
    };
    let [_, told] = texts(&ask(runtime(STRANGER)));
    assert!(told.contains("(there are: none)"), "{told}");
    let output = ask(runtime(USER));
    assert!(!output.status.success(), "{output:?}");

    user.ok(&["delete", "pods", "--all"]);
    user.ok(&["down"]);
    user.assert_nothing_left();
}

/// A pod with clocks of its own, a terminal, a container beside the pod's, and files.
fn commands_that_start_something_in_a_pod(user: &User) {
    let (uptime, _) = user.ok(&["exec", "web", "--", "cat", "/proc/uptime"]);
    let (seconds, _) = uptime.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().unwrap() >= 1_000_000, "{uptime}");
    let typescript = user.write("typescript", "");
    chown(&typescript, Some(USER), Some(USER)).unwrap();
    let commands = format!(
        "{LAB} --lab {0} exec -it web -- sh -c 'tty; test -t 0 && exit 7'; echo status $?
         stty cols 80 rows 24; TERM=xterm {LAB} --lab {0} top; echo status $?",
        user.lab.name
    );
    let mut script = at_a_terminal(&commands, &typescript);
    let mut script = run_by(&mut script, USER).spawn().unwrap();
    let shown = || String::from_utf8_lossy(&fs::read(&typescript).unwrap()).into_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !shown().contains("client") {
        assert!(Instant::now() < deadline, "{}", shown());
        std::thread::sleep(Duration::from_millis(20));
    }
    script.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    assert!(script.wait().unwrap().success());
    let shown = shown();
    assert!(shown.contains("/dev/pts/0\r\nstatus 7\r\n"), "{shown}");
    assert!(shown.contains("status 0\r\n"), "{shown}");
    let looks = [
        "debug",
        "web",
        "--",
        "sh",
        "-c",
        "ls /proc/self/exe && id -u",
    ];
    assert_eq!(user.ok(&looks).0, "/proc/self/exe\n0\n");
    let file = user.write("page", "a page\n");
    user.ok(&["cp", &file, "web:/srv/www/page"]);
    let back = home(USER).join("back");
    user.ok(&["cp", "web:/srv/www/page", back.to_str().unwrap()]);
    assert_eq!(fs::read(back).unwrap(), b"a page\n");
}

fn networks_and_pages(user: &User) {
    user.ok(&["network", "create", "second", "--subnet", "10.9.0.0/24"]);
    let run = ["run", "other", "--node", "n1", "--network", "second"];
    user.ok(&[&run[..], &["--", "sleep", "1000"]].concat());
    assert_eq!(user.address("other"), "10.9.0.2");
    let mut ui = user.command(USER, LAB);
    let flags = ["ui", "--lab", &user.lab.name, "--listen", "127.0.0.1:0"];
    let mut ui = ui.args(flags).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(ui.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    let address = said.split('/').nth(2).unwrap();
    let mut page = TcpStream::connect(address).unwrap();
    write!(
        page,
        "GET /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"other\""), "{answer}");
    signal(&ui, "INT");
    assert_eq!(ui.wait().unwrap().code(), Some(0));
}

/// Makes an image `/run/oci` whose files belong to several users, with a device, an attribute of root's, a
/// whiteout and a directory that hides the one below.
#[allow(clippy::disallowed_methods, reason = "a program that makes images")]
fn make_image() {
    let script = "mkdir -p /run/one/bin /run/one/own /run/one/hidden /run/two/hidden; cd /run
         cp \"$(command -v busybox)\" one/bin/busybox; ln -s busybox one/bin/sh; touch one/gone one/hidden/below
         chown 33:33 one/own; mknod one/device c 1 3; setfattr -n trusted.of-root -v y one/own
         touch two/.wh.gone two/hidden/.wh..wh..opq two/hidden/above
         umoci init --layout oci; umoci new --image oci:1
         for layer in one two; do
             tar -C $layer --xattrs --xattrs-include='*' -cf layer.tar .; umoci raw add-layer --image oci:1 layer.tar
         done
         chmod -R a+rX oci; rm -r one two layer.tar";
    let made = Command::new("sh").args(["-euc", script]).status().unwrap();
    assert!(made.success());
}

const OF_IMAGE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: 'oci:1', command: [busybox, sleep, '1000']}
";

fn has_makers_of_images() -> bool {
    is_installed("umoci", "umoci")
        && is_installed("setfattr", "attr")
        && is_installed("busybox", "busybox-static")
}

#[test]
fn an_image_is_had_as_far_as_one_user_goes() {
    let Some(user) = User::new() else { return };
    if !has_makers_of_images() {
        return;
    }
    make_image();
    let (_, told) = user.ok(&["image", "load", "/run/oci"]);
    let expected = "without root, of this image 1 files are root's instead of their owners', 1 devices are not there, \
                    1 extended attributes are not there";
    assert!(told.contains(expected), "{told}");
    user.ok(&["up", "--nodes", "1"]);
    user.ok(&["apply", "-f", &user.write("image.yaml", OF_IMAGE)]);
    let list = [
        "exec",
        "p",
        "--",
        "sh",
        "-c",
        "cd /; busybox stat -c '%u %n' own; echo gone device hidden/*",
    ];
    assert_eq!(user.ok(&list).0, "0 own\ngone device hidden/above\n");
    let gone = ["exec", "p", "--", "busybox", "ls", "/gone"];
    assert_eq!(user.run(&gone).status.code(), Some(1));
    user.ok(&["down"]);
    user.ok(&["image", "rm", "oci:1"]);
    let layers = home(USER).join(".local/share/podwire-lab/images/layers/sha256");
    assert_eq!(fs::read_dir(layers).unwrap().count(), 0);
    fs::remove_dir_all("/run/oci").unwrap();
    user.assert_nothing_left();
}

/// Has the machine, as the test sees it, know the user and give it further ones.
fn give_users() {
    for (file, line) in [
        ("passwd", format!("tester:x:{USER}:{USER}::/:/bin/sh\n")),
        ("group", format!("tester:x:{USER}:\n")),
        ("subuid", "tester:1000000:65536\n".to_owned()),
        ("subgid", "tester:1000000:65536\n".to_owned()),
    ] {
        let place = Path::new("/etc").join(file);
        let own = Path::new("/run/etc").join(file);
        fs::create_dir_all("/run/etc").unwrap();
        let text = fs::read_to_string(&place).unwrap_or_default() + &line;
        fs::write(&own, text).unwrap();
        assert!(
            place.exists(),
            "{} comes with the package passwd",
            place.display()
        );
        sandbox::mount::bind(&own, &place).unwrap();
    }
}

#[test]
fn with_newuidmap_there_are_other_users() {
    let Some(user) = User::new() else { return };
    if !has_makers_of_images() || !is_installed("newuidmap", "uidmap") {
        return;
    }
    give_users();
    make_image();
    let (_, told) = user.ok(&["image", "load", "/run/oci"]);
    assert!(
        told.contains("1 devices") && !told.contains("owners"),
        "{told}"
    );
    let (_, told) = user.ok(&["up", "--nodes", "1"]);
    // Whoever waits for long is told for what.
    let mut complaints = told
        .lines()
        .filter(|line| !line.starts_with("building lab "));
    assert_eq!(complaints.next(), None);
    let text = OF_IMAGE.replace(
        "containers:",
        "securityContext: {runAsUser: 1000, fsGroup: 7}\n  containers:",
    );
    user.ok(&["apply", "-f", &user.write("image.yaml", &text)]);
    let list = [
        "exec",
        "p",
        "--",
        "sh",
        "-c",
        "cd /; busybox stat -c '%u %n' own; busybox id -u; busybox id -G",
    ];
    assert_eq!(user.ok(&list).0, "33 own\n1000\n0 7\n");
    user.ok(&["down"]);
    user.ok(&["image", "rm", "oci:1"]);
    for file in ["passwd", "group", "subuid", "subgid"] {
        sandbox::mount::unmount_lazily(&Path::new("/etc").join(file)).unwrap();
    }
    fs::remove_dir_all("/run/etc").unwrap();
    fs::remove_dir_all("/run/oci").unwrap();
    user.assert_nothing_left();
}

/// Lets the user have the machine's device for tunnels, as most distributions do; not where the machine has none.
#[allow(
    clippy::disallowed_methods,
    reason = "a device for the program under test"
)]
fn give_tunnels() -> &'static str {
    let tunnels = Path::new("/dev/net/tun");
    if !tunnels.exists() {
        return "vxlan";
    }
    let made = Command::new("mknod")
        .args(["-m", "666", "/run/tun", "c", "10", "200"])
        .status();
    assert!(made.unwrap().success());
    sandbox::mount::bind(Path::new("/run/tun"), tunnels).unwrap();
    "udp"
}

fn take_tunnels_back() {
    if Path::new("/run/tun").exists() {
        sandbox::mount::unmount_lazily(Path::new("/dev/net/tun")).unwrap();
        fs::remove_file("/run/tun").unwrap();
    }
}

/// Its PID namespace, too, whose first process adopts what loses its parent, and waits for none of them at the end.
#[test]
fn root_of_a_user_namespace_has_a_lab_there() {
    let Some(user) = User::new() else { return };
    let pods = user.write("pods.yaml", &PODS.replace("SECONDS", "1"));
    let backend = give_tunnels();
    let script = format!(
        "lab() {{ {LAB} --lab {} \"$@\"; }}
         lab up --nodes 2 --backend {backend}; lab apply -f {pods}; lab wait pod/web --for=condition=Ready
         address=$(lab get pod web -o jsonpath={{.status.podIP}})
         lab exec client -c stayer -- ping -c 1 -W 5 $address
         lab exec web -- echo inside; exec {LAB} --lab {} down",
        user.lab.name, user.lab.name
    );
    let mut command = user.command(USER, "unshare");
    let output = command
        .args(["-Urnmpf", "--mount-proc", "sh", "-euc", &script])
        .output()
        .unwrap();
    let [said, told] = texts(&output);
    assert!(output.status.success(), "{said}{told}");
    assert!(said.contains("\ninside\n"), "{said}");
    take_tunnels_back();
    user.assert_nothing_left();
}

/// In a user namespace which allows none below it, that is what a user is told.
#[test]
fn what_forbids_user_namespaces_is_told() {
    let Some(user) = User::new() else { return };
    let mut command = user.command(0, "unshare");
    let mut holder = command.args(["-U", "sleep", "1000"]).spawn().unwrap();
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).unwrap();
    let process = holder.id().to_string();
    while namespace(&process) == namespace("self") {
        std::thread::sleep(Duration::from_millis(1));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{process}/{map}"), "0 0 65536").unwrap();
    }
    let script = format!(
        "echo 0 >/proc/sys/user/max_user_namespaces
         exec setpriv --reuid {USER} --regid {USER} --clear-groups --inh-caps=-all sh -c \
             '{LAB} names -- --lab \"\"; exec {LAB} up'"
    );
    let mut command = user.command(0, "nsenter");
    command.args(["-t", &process, "-U", "sh", "-euc", &script]);
    let output = command.output().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    let [said, told] = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    // A shell that completes a word asked for none.
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(said, "");
    let expected = "without root a lab needs a user namespace, and the kernel refuses it: user.max_user_namespaces is 0: \
                    `sysctl -w user.max_user_namespaces=10000`";
    assert!(told.contains(expected), "{told}");
    user.assert_nothing_left();
}

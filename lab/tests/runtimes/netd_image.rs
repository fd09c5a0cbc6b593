//! The container image that `tools/make-image` makes of the executables built with this test: containerd
//! imports it, podwire installs itself from it, and netd joins the node from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::testing::World;

use crate::command::{ok, program};
use crate::daemon::Containerd;

/// Runs a shell's command.
fn run(script: &str) -> String {
    let output = program("sh").args(["-ec", script]).output();
    ok(&output.unwrap(), script)
}

/// Makes the image in `out`; the archive and the image's name.
fn make(out: &Path) -> (PathBuf, String) {
    let target = Path::new(env!("CARGO_BIN_EXE_lab")).parent().unwrap();
    let built = out.with_file_name("built");
    // What debuggers need is most of the executables, and takes most of the time.
    run(&format!(
        "mkdir -p {0} && for name in podwire netd; do strip -o {0}/$name {1}/$name; done",
        built.display(),
        target.display()
    ));
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/make-image");
    let mut make = program(&tool);
    make.arg(built).arg(out);
    make.env("SOURCE_DATE_EPOCH", "1800000000")
        .env("CARGO_NET_OFFLINE", "true");
    let said = ok(&make.output().unwrap(), "make-image");
    let (archive, name) = said.trim().split_once(' ').unwrap();
    (archive.into(), name.to_owned())
}

#[test]
fn netd_and_podwire_run_from_their_image() {
    let Some(world) = World::new() else { return };
    let dir = world.dir();
    let (archive, image) = make(&dir.join("image"));
    let (again, _) = make(&dir.join("again"));
    let [first, second] =
        [&archive, &again].map(|path| run(&format!("sha256sum <{}", path.display())));
    assert_eq!(first, second, "the same files make the same image");
    let layer = dir.join("image/podwire-rootfs.tar.gz");
    let files = run(&format!("tar -tf {}", layer.display()));
    assert!(
        !files
            .lines()
            .any(|file| file.ends_with("/sh") || file.ends_with("/busybox")),
        "{files}"
    );
    let mut containerd = Containerd::start(&world);
    containerd.run(&["image", "import", archive.to_str().unwrap()]);

    installing(&containerd, &image, dir);
    joining(&mut containerd, &image, dir);
}

/// What the init container of deploy/kubernetes does.
fn installing(containerd: &Containerd, image: &str, dir: &Path) {
    fs::create_dir_all(dir.join("bin")).unwrap();
    fs::create_dir_all(dir.join("net.d")).unwrap();
    let conflist = dir.join("cni-conf.json");
    fs::write(&conflist, "{}\n").unwrap();
    let places = [
        ("bin", "/opt/cni/bin"),
        ("net.d", "/etc/cni/net.d"),
        ("cni-conf.json", "/conf"),
    ];
    let mounts = mounts(&places, dir);
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let said = containerd.run(
        &[
            &["run", "--rm"][..],
            &mounts,
            &[
                image,
                "install",
                "/usr/local/bin/podwire",
                "install",
                "--bin-dir",
                "/opt/cni/bin",
            ],
            &[
                "--config",
                "/conf",
                "--config-to",
                "/etc/cni/net.d/10-flannel.conflist",
            ],
        ]
        .concat(),
    );
    assert!(
        said.contains("/etc/cni/net.d/10-flannel.conflist: configuration copied"),
        "{said}"
    );
    assert_eq!(
        fs::read(dir.join("net.d/10-flannel.conflist")).unwrap(),
        b"{}\n"
    );
    run(&format!(
        "{0}/bin/podwire install --bin-dir {0}/bin --verify",
        dir.display()
    ));
}

/// What its container does, with a directory as the store.
fn joining(containerd: &mut Containerd, image: &str, dir: &Path) {
    run("ip link add eth0 type veth peer name uplink && ip link set eth0 up && ip link set uplink up
        ip address add 192.0.2.10/24 dev eth0");
    for name in ["store", "flannel", "podwire"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    let config = r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}"#;
    fs::write(dir.join("store/config"), config).unwrap();
    let places = [
        ("store", "/var/lib/podwire/store"),
        ("flannel", "/run/flannel"),
        ("podwire", "/run/podwire"),
    ];
    let mounts = mounts(&places, dir);
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let netd = containerd.spawn(
        &[
            &["run", "--rm", "--net-host", "--cap-add", "CAP_NET_ADMIN"][..],
            &mounts,
            &[
                image,
                "netd",
                "/usr/local/sbin/netd",
                "-store",
                "dir",
                "-iface",
                "eth0",
                "-ip-masq",
            ],
        ]
        .concat(),
    );
    // From now on containerd's end waits for it.
    containerd.serving.push(netd);
    let deadline = Instant::now() + Duration::from_secs(60);
    let subnet_env = dir.join("flannel/subnet.env");
    while !subnet_env.exists() {
        assert!(
            containerd.serving[0].try_wait().unwrap().is_none() && Instant::now() < deadline,
            "netd does not join"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = containerd.spawn(&[
        "task",
        "exec",
        "--exec-id",
        "status",
        "netd",
        "/usr/local/sbin/netd",
        "status",
    ]);
    let status = ok(&status.wait_with_output().unwrap(), "netd status");
    assert!(
        status.lines().next().unwrap().contains(" ready"),
        "{status}"
    );
    assert!(run("ip -d link show flannel.1").contains("vxlan id 1"));
    let rules = run("iptables -t nat -S && iptables -S");
    assert!(
        rules.contains("-N FLANNEL-POSTRTG") && rules.contains("-N FLANNEL-FWD"),
        "{rules}"
    );
    containerd.run(&["task", "kill", "--signal", "SIGTERM", "netd"]);
    let ended = containerd.serving.remove(0).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// `ctr`'s arguments for what of `dir` stands where in a container.
fn mounts(places: &[(&str, &str)], dir: &Path) -> Vec<String> {
    let mount = |(from, to): &(&str, &str)| {
        let from = dir.join(from);
        [
            "--mount".to_owned(),
            format!("type=bind,src={},dst={to},options=rbind:rw", from.display()),
        ]
    };
    places.iter().flat_map(mount).collect()
}

//! `podwire install`: what stands in the directory afterwards, and `--verify`, which looks at it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
};

use support::{Answer, Node, call, podwire};

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// Every name that podwire installs, its own first.
fn names() -> Vec<String> {
    let list = podwire(&["list"]).success().stdout;
    let plugins = list.lines().map(|line| line.split(' ').next().unwrap());
    ["podwire"]
        .into_iter()
        .chain(plugins)
        .map(str::to_owned)
        .collect()
}

fn install(bin_dir: &Path, more: &[&str]) -> Answer {
    let arguments = [&["install", "--bin-dir", bin_dir.to_str().unwrap()], more];
    podwire(&arguments.concat())
}

#[test]
fn installing_links_every_name_and_replaces_what_is_there() {
    let place = tempfile::tempdir().unwrap();
    let bin_dir = place.path().join("opt/cni/bin");
    fs::create_dir_all(&bin_dir).unwrap();
    fs::write(bin_dir.join("host-local"), "another program").unwrap();
    fs::write(bin_dir.join("calico"), "not ours").unwrap();
    let install = || podwire(&["install", "--bin-dir", bin_dir.to_str().unwrap()]);
    let first = install().success().stdout;
    assert!(first.contains("bin/podwire: copied\n"), "{first}");
    assert!(
        first.contains("bin/host-local: hard link, replaced\n"),
        "{first}"
    );
    assert!(first.contains("bin/loopback: hard link\n"), "{first}");
    let flannel = "bin/flannel: a file that executes podwire, because others overwrite it\n";
    assert!(first.contains(flannel), "{first}");
    let inode = |name: &str| inode(&bin_dir.join(name));
    let own = inode("podwire");
    assert_eq!((inode("host-local"), inode("loopback")), (own, own));
    assert_ne!(inode("flannel"), own);
    assert_eq!(
        fs::metadata(bin_dir.join("podwire")).unwrap().mode() & 0o777,
        0o755
    );
    assert_eq!(
        fs::read_to_string(bin_dir.join("calico")).unwrap(),
        "not ours"
    );
    let second = install().success().stdout;
    assert!(
        second.contains("bin/podwire: copied, replaced\n"),
        "{second}"
    );
    let names = fs::read_dir(&bin_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.as_bytes().starts_with(b"."))
    );
    assert_ne!(inode("podwire"), own);
    assert_eq!(inode("host-local"), inode("podwire"));
}

#[test]
fn an_installation_that_cannot_be_finished_is_not_begun() {
    let place = tempfile::tempdir().unwrap();
    let blocked = place.path().join("host-local");
    fs::create_dir(&blocked).unwrap();
    let refused = podwire(&["install", "--bin-dir", place.path().to_str().unwrap()]);
    assert_eq!(refused.exit, Some(1));
    assert!(
        refused
            .stderr
            .contains(&format!("replace {}", blocked.display())),
        "{refused:?}"
    );
    let mut names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["host-local"]);
}

#[test]
fn writing_over_flannel_in_place_writes_over_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    install(place.path(), &[]).success();
    // As `cp -f` does: it opens the file that is there and writes into it.
    fs::write(place.path().join("flannel"), "flannel's own plugin").unwrap();
    let verify = install(place.path(), &["--verify"]);
    assert_eq!(verify.exit, Some(1), "{verify:?}");
    let strangers: Vec<&str> = (verify.stdout.lines())
        .filter(|line| !line.ends_with(": this build"))
        .collect();
    let flannel = format!(
        "{}: another program",
        place.path().join("flannel").display()
    );
    assert_eq!(strangers, [flannel]);
}

#[test]
fn flannel_is_a_small_file_that_needs_podwire_beside_it() {
    let place = tempfile::tempdir().unwrap();
    install(place.path(), &[]).success();
    let flannel = place.path().join("flannel");
    let version = call(&flannel, "VERSION", "none", "").success().stdout;
    assert!(version.contains("supportedVersions"), "{version}");
    let add = call(&flannel, "ADD", "none", "{}");
    assert_eq!(add.exit, Some(1), "{add:?}");

    if cfg!(target_arch = "x86_64") {
        let size = fs::metadata(&flannel).unwrap().len();
        assert!(size < 8192, "{size} bytes");
        fs::remove_file(place.path().join("podwire")).unwrap();
        let alone = call(&flannel, "VERSION", "none", "");
        assert_eq!(alone.exit, Some(1), "{alone:?}");
        let error: serde_json::Value = serde_json::from_str(&alone.stdout).unwrap();
        assert_eq!(error["code"], 999);
        let said = error["msg"].as_str().unwrap();
        assert!(said.contains("same directory"), "{said}");
    }
}

#[test]
fn a_configuration_comes_after_the_plugins_and_is_written_when_it_changes() {
    let place = tempfile::tempdir().unwrap();
    let bin_dir = place.path().join("bin");
    let to = place.path().join("net.d/10-flannel.conflist");
    // A ConfigMap's file is a link to a link.
    let from = place.path().join("cni-conf.json");
    let data = place.path().join("data");
    fs::write(&data, "{}").unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("data", &from).unwrap();
    let config = [
        "--config",
        from.to_str().unwrap(),
        "--config-to",
        to.to_str().unwrap(),
    ];
    let install = || install(&bin_dir, &config);
    let last = |answer: Answer| answer.success().stdout.lines().last().unwrap().to_owned();
    assert_eq!(
        last(install()),
        format!("{}: configuration copied", to.display())
    );
    assert_eq!(fs::read(&to).unwrap(), b"{}");
    assert_eq!(
        fs::metadata(&to).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let first = inode(&to);
    assert_eq!(
        last(install()),
        format!("{}: this configuration, kept", to.display())
    );
    assert_eq!(inode(&to), first, "runtimes are not made to load it again");
    fs::write(&data, "{\n}").unwrap();
    assert_eq!(
        last(install()),
        format!("{}: configuration copied, replaced", to.display())
    );
    assert_eq!(fs::read(&to).unwrap(), b"{\n}");
    assert_eq!(fs::read_dir(place.path().join("net.d")).unwrap().count(), 1);

    fs::remove_file(&from).unwrap();
    let refused = install();
    let said = refused.stderr;
    assert_eq!(refused.exit, Some(1), "{said}");
    assert!(
        said.contains("install: read") && said.contains("cni-conf.json"),
        "{said}"
    );
}

#[test]
fn copies_are_files_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let report = install(place.path(), &["--copies"]).success().stdout;
    assert!(!report.contains("hard link"), "{report}");
    let names = names();
    let inodes: BTreeSet<u64> = (names.iter())
        .map(|name| inode(&place.path().join(name)))
        .collect();
    assert_eq!(inodes.len(), names.len());
    assert_eq!(report.lines().count(), names.len());
    install(place.path(), &["--verify"]).success();
}

/// The delegate's file cannot be executed, so it worked in-process or not at all.
#[test]
fn a_copy_delegates_to_another_copy_in_process() {
    let Some(node) = Node::new() else { return };
    let bin_dir = node.world.dir().join("copies");
    install(&bin_dir, &["--copies"]).success();
    let delegate = bin_dir.join("host-local");
    fs::set_permissions(&delegate, fs::Permissions::from_mode(0o644)).unwrap();
    node.world.pod("pod");
    let config = r#"{"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0",
        "ipam": {"type": "host-local", "subnet": "10.22.0.0/24"}}"#;
    let add = || call(&bin_dir.join("bridge"), "ADD", "ctr1", config);
    let result = add().success().json();
    assert_eq!(result["ips"][0]["address"], "10.22.0.2/24");
    call(&bin_dir.join("bridge"), "DEL", "ctr1", config).success();
    // Another file of that name is executed, which fails here.
    fs::write(&delegate, "another program").unwrap();
    let (_, msg) = add().error();
    assert!(msg.contains("host-local"), "{msg}");
}

#[test]
fn verify_tells_whose_each_name_is() {
    let place = tempfile::tempdir().unwrap();
    let bin_dir = place.path();
    install(bin_dir, &[]).success();
    let all = install(bin_dir, &["--verify"]).success();
    assert_eq!(all.stdout.lines().count(), names().len());
    assert!(
        all.stdout
            .lines()
            .all(|line| line.ends_with(": this build")),
        "{all:?}"
    );
    // What is not opened by another name of the same file first must be replaced, not written.
    for name in ["bridge", "host-gw", "loopback", "vxlan"] {
        fs::remove_file(bin_dir.join(name)).unwrap();
    }
    fs::copy("/bin/true", bin_dir.join("bridge")).unwrap();
    fs::create_dir(bin_dir.join("host-gw")).unwrap();
    fs::copy(bin_dir.join("podwire"), bin_dir.join("vxlan")).unwrap();
    // The same program with one byte more: no build of ours that the linker named.
    let mut vxlan = fs::OpenOptions::new()
        .append(true)
        .open(bin_dir.join("vxlan"))
        .unwrap();
    vxlan.write_all(b"x").unwrap();
    let found = install(bin_dir, &["--verify"]);
    assert_eq!(found.exit, Some(1));
    let version = env!("CARGO_PKG_VERSION");
    for (name, whose) in [
        ("podwire", "this build".to_owned()),
        ("flannel", "this build".to_owned()),
        ("bridge", "another program".to_owned()),
        ("host-gw", "not a regular file".to_owned()),
        ("loopback", "missing".to_owned()),
        (
            "vxlan",
            format!("another build of podwire, version {version}"),
        ),
    ] {
        let line = format!("{}: {whose}\n", bin_dir.join(name).display());
        assert!(found.stdout.contains(&line), "{line}{found:?}");
    }
    let count = format!("4 of {} names are not this build", names().len());
    assert!(found.stderr.contains(&count), "{found:?}");
    // It changed nothing.
    assert!(!bin_dir.join("loopback").exists());
}

//! `lab image`: images in the store that all labs share, here one of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{TestLab, signal};
use kernel::testing::is_installed;
use serde_json::{Value, json};

/// A lab, and an OCI image layout `/run/oci` with one layer of so many bytes.
#[allow(clippy::disallowed_methods, reason = "a program that makes images")]
fn lab_with_layout(bytes: &str) -> Option<TestLab> {
    let lab = TestLab::new()?;
    if !is_installed("umoci", "umoci") {
        return None;
    }
    let script = format!(
        "mkdir /run/files; cd /run; truncate -s {bytes} files/file; tar -C files -cf layer.tar .
         umoci init --layout oci; umoci new --image oci:1; umoci raw add-layer --image oci:1 layer.tar
         tar -C oci -cf app.tar ."
    );
    let made = Command::new("sh").args(["-euc", &script]).status().unwrap();
    assert!(made.success());
    Some(lab)
}

#[test]
fn an_image_is_loaded_listed_and_removed() {
    let Some(lab) = lab_with_layout("1M") else {
        return;
    };
    assert_eq!(lab.ok(&["image", "ls"]), "NAME  DIGEST  LAYERS  SIZE\n");
    what_comes_by_standard_input_is_loaded(&lab);
    let said = lab.ok(&["image", "load", "/run/oci", "--name", "example.org/app"]);
    assert_eq!(said, "loaded example.org/app:latest: 1 layer, 1.0 MiB\n");
    lab.ok(&["image", "load", "/run/oci"]);

    let listed = lab.json(&["image", "ls"]);
    let names: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|image| &image["name"])
        .collect();
    assert_eq!(names, [&json!("example.org/app:latest"), &json!("oci:1")]);
    assert_eq!(listed[0]["size_bytes"], 1 << 20);
    let layer = listed[0]["layers"][0].as_str().unwrap();
    assert!(Path::new(layer).join("file").is_file());
    let table = lab.ok(&["image", "ls"]);
    let digest = &listed[0]["digest"].as_str().unwrap()["sha256:".len()..][..12];
    let row = format!("example.org/app:latest  {digest}  1       1.0 MiB");
    assert!(table.contains(&row), "{table}");
    assert_eq!(lab.ok(&["image", "ls", "-o", "table"]), table);

    let refused = lab.fails(1, &["image", "rm", "oci:1", "nothing"]);
    let expected =
        "lab: there is no image nothing:latest: there are example.org/app:latest, oci:1\n";
    assert_eq!(refused, expected);
    lab.ok(&[
        "image",
        "rm",
        "oci:1",
        "docker.io/library/oci:1",
        "example.org/app",
    ]);
    assert!(!Path::new(layer).exists());
    assert_eq!(lab.json(&["image", "ls"]), json!([]));
}

/// It is read as it is: nobody can open a socket anew. There is no name of a file in it.
fn what_comes_by_standard_input_is_loaded(lab: &TestLab) {
    let (mut own, other) = UnixStream::pair().unwrap();
    let mut load = lab.command(&["image", "load", "-", "--name", "piped:1"]);
    let mut load = load.stdin(OwnedFd::from(other)).spawn().unwrap();
    own.write_all(&fs::read("/run/app.tar").unwrap()).unwrap();
    drop(own);
    assert!(load.wait().unwrap().success());
    assert_eq!(lab.ok(&["image", "rm", "piped:1"]), "removed piped:1\n");
    for file in ["-", "/dev/stdin"] {
        let mut load = lab.command(&["image", "load", file]);
        let archive = File::open("/run/app.tar").unwrap();
        let refused = load.stdin(archive).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            said.contains("standard input does not say what its image is called"),
            "{file}: {said}"
        );
    }
}

#[test]
fn what_cannot_be_loaded_says_why() {
    let Some(lab) = lab_with_layout("4M") else {
        return;
    };
    fs::write("/run/text", "a text, and no archive\n").unwrap();
    for (arguments, expected) in [
        (
            &["/run/nothing"][..],
            "lab: read /run/nothing: No such file or directory",
        ),
        (&["/run/text"], "lab: /run/text is no image: "),
        (
            &["/run/files"],
            "neither oci-layout nor manifest.json is in it: give an OCI image layout",
        ),
        (
            &["/run/oci", "--name", "App"],
            "is no name of an image: give one like busybox:1.36",
        ),
        (
            &["/run/oci", "--max-size", "2M"],
            "larger than 2097152 bytes",
        ),
    ] {
        let said = lab.fails(1, &[&["image", "load"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let said = lab.fails(2, &["image", "load", "/run/oci", "--max-size", "much"]);
    assert!(said.contains("give 67108864, 512K, 64M or 2G"), "{said}");
    assert_eq!(lab.json(&["image", "ls"]), json!([]));
}

#[test]
fn a_load_that_is_interrupted_or_killed_leaves_nothing() {
    let Some(lab) = lab_with_layout("64M") else {
        return;
    };
    let new = Path::new(image::ROOT).join("new");
    let unpacking = || fs::read_dir(&new).is_ok_and(|entries| entries.count() > 0);
    for (name, code, killed_by) in [("INT", Some(130), None), ("KILL", None, Some(9))] {
        let mut load = lab.start(&["image", "load", "/run/oci"]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !unpacking() {
            assert!(load.try_wait().unwrap().is_none() && Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&load, name);
        let status = load.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (code, killed_by));
        assert_eq!(unpacking(), name == "KILL");
        assert_eq!(lab.json(&["image", "ls"]), json!([]));
    }
    lab.fails(1, &["image", "load", "/run/oci", "--max-size", "1M"]);
    assert!(!unpacking());
}

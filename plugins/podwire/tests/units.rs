//! What `deploy/` gives systemd: systemd understands it, and the documents name what is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use kernel::testing::is_installed;

mod support;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Where the units expect the plugins, and netd.
const BIN_DIRS: [&str; 2] = ["/opt/cni/bin", "/usr/local/sbin"];

/// A command of a shell in the repository; its output, both kinds, and whether it succeeded.
fn shell(line: &str) -> (String, bool) {
    let mut shell = support::command(Path::new("/bin/sh"));
    shell
        .current_dir(ROOT)
        .args(["-c", &format!("{line} 2>&1")]);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.success())
}

/// Unknown settings, values that are none, programs and units that are not there.
#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    if !is_installed("systemd-analyze", "systemd") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // No more is asked of a program than that it is there.
    for name in ["podwire", "dhcp", "netd"] {
        let program = place.path().join(name);
        fs::hard_link(env!("CARGO_BIN_EXE_podwire"), &program)
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_podwire"), &program).map(drop))
            .unwrap();
    }
    let mut units = Vec::new();
    for entry in fs::read_dir(format!("{ROOT}/deploy")).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if !kind.is_some_and(|kind| ["service", "socket", "timer"].contains(&kind)) {
            continue;
        }
        let mut text = fs::read_to_string(&path).unwrap();
        for directory in BIN_DIRS {
            text = text.replace(directory, place.path().to_str().unwrap());
        }
        let unit = place.path().join(path.file_name().unwrap());
        fs::write(&unit, text).unwrap();
        units.push(unit.display().to_string());
    }
    assert!(units.len() >= 6, "{units:?}");
    // What firewalld's unit is bound to may not be installed: systemd says so and no more.
    let (said, _) = shell(&format!(
        "systemd-analyze verify --man=no {}",
        units.join(" ")
    ));
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.ends_with("Unit firewalld.service not found."))
        .collect();
    assert_eq!(said, [] as [&str; 0]);
}

#[test]
fn the_documents_install_units_that_are_there() {
    let mut count = 0;
    for page in ["dhcp", "netd", "operating"] {
        let text = fs::read_to_string(format!("{ROOT}/docs/{page}.md")).unwrap();
        let lines = text.lines().filter(|line| line.contains("install -m"));
        for words in lines.map(str::split_whitespace) {
            for word in words.filter(|word| word.starts_with("deploy/")) {
                let (said, is_there) = shell(&format!("ls {word}"));
                assert!(is_there, "docs/{page}.md: {said}");
                count += 1;
            }
        }
    }
    assert!(count >= 2, "{count}");
}

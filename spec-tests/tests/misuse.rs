//! Errors of use say what is wrong and what to do, and exit with status 2.
//!
//! Needs root and Debian's containernetworking-plugins.

#![allow(clippy::disallowed_methods, reason = "the test runs the suite")]
#![allow(clippy::unwrap_used, reason = "what is missing fails the test")]

mod start;

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use start::{DEVIATIONS, REFERENCE, SUITE, suite};

fn complains(output: &Output, text: &str, about: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{about:?}: {said}");
    assert!(said.contains(text), "{about:?}: {text:?} is not in: {said}");
    assert!(output.stdout.is_empty(), "{about:?}: {output:?}");
}

/// `run --plugin-dir /usr/lib/cni` with these arguments ends with this text.
fn refuses(args: &[&str], text: &str) {
    let output = suite(&[&["run", "--plugin-dir", REFERENCE], args].concat());
    complains(&output, text, args);
}

#[test]
fn directories() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().to_str().unwrap();
    let plain = tempfile::tempdir().unwrap();
    std::fs::write(plain.path().join("bridge"), "").unwrap();
    let plain = plain.path().to_str().unwrap();
    for (dir, text) in [
        ("/nonexistent", "no such directory; give the one"),
        (
            empty,
            "holds none of the plugins that the suite knows: bridge",
        ),
        (plain, "bridge is not executable: chmod 755"),
        ("/run", "copy the plugins elsewhere"),
    ] {
        for command in ["run", "prove"] {
            let output = suite(&[command, "--plugin-dir", dir]);
            complains(&output, &format!("--plugin-dir {dir}"), &[command, dir]);
            complains(&output, text, &[command, dir]);
        }
        refuses(&["--takeover", dir], &format!("--takeover {dir}"));
        let args = ["show", "bridge/mtu/01", "--plugin-dir", dir];
        complains(&suite(&args), text, &args);
    }
}

#[test]
fn choices() {
    let usual = "bridge/mtu/01";
    refuses(&["--case", "no/such"], "'spec-tests list'");
    refuses(
        &["--plugin", "brigde"],
        "--plugin brigde: the suite knows bridge",
    );
    refuses(&["--version", "7"], "known are 0.1.0");
    refuses(
        &["--version", "0.1.0", "--case", usual],
        "'spec-tests show CASE'",
    );
    refuses(
        &["--plugin", "ptp", "--case", usual],
        "'spec-tests show CASE'",
    );
    refuses(&["--case", "runtime/*"], "--runtime-cases");
    refuses(&["--case", "takeover/*"], "--takeover OTHER_DIR");
    refuses(
        &["--takeover", REFERENCE, "--case", usual],
        "without --takeover",
    );
    refuses(&["--jobs", "0"], "--jobs");
    refuses(&["--time-limit", "0"], "--time-limit");
    refuses(&["--output", "x"], "text, json, junit, tap");
    for args in [["show", "no/such"], ["list", "--case=no/such"]] {
        complains(&suite(&args), "'spec-tests list'", &args);
    }
    let args = ["compare", "/nonexistent", DEVIATIONS];
    complains(&suite(&args), "/nonexistent", &args);
    let args = ["compare", DEVIATIONS, DEVIATIONS];
    complains(&suite(&args), "run --output json", &args);
}

#[test]
fn a_plugin_that_the_directory_lacks() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/usr/lib/cni/bridge", dir.path().join("bridge")).unwrap();
    let dir = dir.path().to_str().unwrap();
    let args = ["run", "--plugin-dir", dir, "--plugin", "ptp"];
    complains(&suite(&args), "--plugin ptp", &args);
    let takes_over = ["--takeover", dir, "--plugin", "ptp"];
    refuses(&takes_over, &format!("--plugin ptp: {dir} has none"));
}

#[test]
fn lists_of_deviations() {
    let dir = tempfile::tempdir().unwrap();
    let misspelt = dir.path().join("misspelt.toml");
    std::fs::write(
        &misspelt,
        "[[deviation]]\ncase = \"bridge/mut/01\"\nwhy = \"x\"\n",
    )
    .unwrap();
    let misspelt = misspelt.to_str().unwrap();
    for (file, text) in [
        ("/nonexistent", "No such file"),
        ("/bin/true", "--deviations /bin/true"),
        (misspelt, "\"bridge/mut/01\" matches no case"),
    ] {
        refuses(&["--deviations", file], text);
        let args = ["prove", "--plugin-dir", REFERENCE, "--deviations", file];
        complains(&suite(&args), text, &args);
    }
    refuses(
        &["--deviations", DEVIATIONS, "--release", "7"],
        "\"1.1.1\", \"1.9.1\"",
    );
    refuses(&["--release", "1.9.1"], "--deviations");
}

#[test]
fn privileges() {
    for capability in ["sys_admin", "net_admin"] {
        let mut without = Command::new("setpriv");
        without.arg(format!("--bounding-set=-{capability}"));
        without.arg(format!("--inh-caps=-{capability}"));
        without.arg(SUITE);
        let output = without.args(["run", "--plugin-dir", REFERENCE]).output();
        complains(&output.unwrap(), "run as root", &[capability]);
    }
}

/// The suite in a mount namespace that these shell words prepared.
fn behind(words: &str, args: &[&str]) -> Output {
    let line = format!("{words}; exec \"$@\"");
    let mut world = Command::new("unshare");
    world.args(["--mount", "sh", "-c", &line, "sh"]);
    world.arg(SUITE).args(args);
    world.output().unwrap()
}

/// The suite where a program is covered by an empty file.
fn without(program: &str, args: &[&str]) -> Output {
    let words = format!(
        "for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do \
         [ ! -e $dir/{program} ] || mount --bind /dev/null $dir/{program} || exit 9; done"
    );
    behind(&words, args)
}

#[test]
fn devices() {
    let covered = "[ ! -e /dev/net ] || mount -t tmpfs tmpfs /dev/net || exit 9";
    let run = ["run", "--plugin-dir", REFERENCE, "--version", "1.0.0"];
    for case in ["bridge/check/15", "macvlan/check/02"] {
        let output = behind(covered, &[&run[..], &["--case", case]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("and /dev/net/tun"), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}

#[test]
fn programs() {
    let run = ["run", "--plugin-dir", REFERENCE];
    let output = without("ip", &run);
    complains(&output, "install the packages iproute2", &["ip"]);
    // What only some cases look through has these skipped, with the reason.
    let nft = ["--case", "bridge/macspoofchk/01", "--version", "1.0.0"];
    let output = without("nft", &[&run[..], &nft[..]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("needs nft (package nftables)"), "{said}");
    // All of them were skipped: that is no verdict on the plugins.
    assert!(said.contains("nothing was judged"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(Path::new("/usr/sbin/nft").metadata().unwrap().is_file());
}

//! What `make dist` makes, from the executables that were built with the test: the Debian packages take the
//! reference plugins' place, bring what they promise and go again; the tarball and its list of contents.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "readme/machine.rs"]
#[allow(dead_code, reason = "README's tests use the rest")]
mod machine;

use std::fs;
use std::path::{Path, PathBuf};

use machine::Machine;
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// When the sources were changed, for all that is made here: some moment.
const EPOCH: &str = "SOURCE_DATE_EPOCH=1800000000 CARGO_NET_OFFLINE=true";

/// A machine that has a directory with what `make build` leaves, and where dpkg may do what it likes.
fn machine() -> Option<(Machine, PathBuf)> {
    let machine = Machine::new()?;
    let built = machine.dir().join("built");
    fs::create_dir(&built).unwrap();
    for name in ["podwire", "netd", "lab", "spec-tests"] {
        std::os::unix::fs::symlink(machine.built(name), built.join(name)).unwrap();
    }
    machine.ok(&format!(
        "{} --podwire built/podwire --netd built/netd --out built/podwire-pages",
        machine.built("pages").display()
    ));
    let upper = machine.dir().join("overlay");
    for place in ["/usr", "/etc", "/var"] {
        let [up, work] = ["upper", "work"].map(|kind| format!("{}/{kind}{place}", upper.display()));
        machine.ok(&format!(
            "mkdir -p {up} {work}
             mount -t overlay -o lowerdir={place},upperdir={up},workdir={work} none {place}"
        ));
    }
    Some((machine, built))
}

#[test]
fn packages_take_the_reference_plugins_place_and_go_again() {
    let Some((machine, built)) = machine() else {
        return;
    };
    let built = built.display();
    let made = machine.ok(&format!(
        "{EPOCH} {ROOT}/tools/make-packages -Z none {built} packages"
    ));
    assert_eq!(made.lines().count(), 3, "{made}");
    machine.ok("dpkg --install packages/*.deb");
    let installed = machine.ok(
        "dpkg-query --show --showformat='${Package} ${db:Status-Status}\\n' | grep ' installed$'",
    );
    let installed = |name: &str| installed.contains(&format!("{name} installed\n"));
    for name in ["podwire-cni-plugins", "podwire-netd", "podwire-lab"] {
        assert!(installed(name), "{name}");
        machine.ok(&format!("dpkg --verify {name}"));
    }
    assert!(!installed("containernetworking-plugins"));

    // Every plugin under its name, at Debian's place and where other runtimes look.
    machine.ok("podwire install --bin-dir /usr/lib/cni --verify");
    let answer =
        machine.ok("echo '{\"cniVersion\":\"1.0.0\"}' | CNI_COMMAND=VERSION /opt/cni/bin/bridge");
    assert!(answer.contains("1.1.0"), "{answer}");
    machine.ok(
        "netd --version && podwire-lab --version && man -w podwire podwire-bridge netd netd-doctor podwire-lab podwire-lab-image-load",
    );
    let units = machine.ok("grep -h ^ExecStart= /lib/systemd/system/cni-dhcp.service \
        /lib/systemd/system/podwire-repair.service /lib/systemd/system/netd.service");
    assert_eq!(
        units,
        "ExecStart=/usr/lib/cni/dhcp daemon\nExecStart=/usr/lib/cni/podwire repair\nExecStart=/usr/sbin/netd\n"
    );

    // What an operator wrote outlives an upgrade, and what is not podwire's in /opt stays.
    machine.ok("echo FLANNELD_V=2 >>/etc/podwire/netd.env
         rm /opt/cni/bin/ptp && install /bin/true /opt/cni/bin/ptp
         dpkg --force-confold --install packages/*.deb
         grep FLANNELD_V=2 /etc/podwire/netd.env && cmp /bin/true /opt/cni/bin/ptp");
    machine.ok(
        "dpkg --force-depends --remove podwire-lab podwire-netd podwire-cni-plugins
         [ \"$(ls /opt/cni/bin)\" = ptp ] && rm /opt/cni/bin/ptp
         [ ! -e /usr/lib/cni/podwire ] && [ ! -e /usr/sbin/netd ]
         grep FLANNELD_V=2 /etc/podwire/netd.env
         dpkg --purge podwire-netd && [ ! -e /etc/podwire ]",
    );
}

/// What cannot be run here is packed, and what is run for the manuals is not.
#[test]
fn executables_of_another_architecture_are_packed_by_their_names() {
    let Some((machine, built)) = machine() else {
        return;
    };
    let foreign = machine.dir().join("foreign");
    fs::create_dir(&foreign).unwrap();
    for name in ["podwire", "netd", "lab", "spec-tests"] {
        fs::write(foreign.join(name), format!("foreign {name}")).unwrap();
    }
    let (built, foreign) = (built.display(), foreign.display());
    machine.ok(&format!(
        "{EPOCH} {ROOT}/tools/make-packages -Z none {built} packages arm64 {foreign}
         {EPOCH} {ROOT}/tools/make-tarball {built} packages aarch64 {foreign}
         mkdir unpacked; for package in packages/*_arm64.deb; do
             [ \"$(dpkg-deb --field $package Architecture)\" = arm64 ]
             dpkg-deb --extract $package unpacked
         done
         tar -C unpacked --strip-components 1 -xf packages/*-linux-aarch64.tar.gz"
    ));
    for (file, program) in [
        ("usr/lib/cni/podwire", "podwire"),
        ("usr/lib/cni/bridge", "podwire"),
        ("usr/lib/cni/flannel", "podwire"),
        ("usr/sbin/netd", "netd"),
        ("usr/lib/podwire/lab", "lab"),
        ("spec-tests", "spec-tests"),
        ("podwire", "podwire"),
    ] {
        let found = machine.ok(&format!("cat unpacked/{file}"));
        assert_eq!(found, format!("foreign {program}"), "{file}");
    }
    machine.ok("test -s unpacked/usr/share/man/man8/netd.8.gz && test -s unpacked/man/man8/netd.8");
}

#[test]
fn a_tarball_is_the_same_each_time_and_says_what_is_in_it() {
    let Some((machine, built)) = machine() else {
        return;
    };
    // The executables do not matter here, and those of a debug build are large.
    for name in ["podwire", "netd", "lab", "spec-tests"] {
        fs::remove_file(built.join(name)).unwrap();
        fs::write(built.join(name), name).unwrap();
    }
    let built = built.display();
    for out in ["first", "second"] {
        machine.ok(&format!(
            "{EPOCH} {ROOT}/tools/make-tarball {built} {out} x86_64
             cd {out} && sha256sum --check --strict SHA256SUMS"
        ));
    }
    machine.ok("cmp first/SHA256SUMS second/SHA256SUMS");
    let listed = machine.ok("tar -tf first/podwire-*-linux-x86_64.tar.gz");
    for file in [
        "podwire",
        "netd",
        "lab",
        "spec-tests",
        "LICENSE",
        "deploy/netd.service",
        "man/man7/podwire-bridge.7",
        "man/man8/netd-status.8",
        "completion/bash/netd",
        "completion/bash/podwire-lab",
    ] {
        let file = format!("-linux-x86_64/{file}\n");
        assert!(listed.contains(&file), "{file}: {listed}");
    }
    let sbom = machine.ok("cat first/*.cdx.json");
    check_sbom(&serde_json::from_str(&sbom).unwrap());
}

/// Every crate with its licence, and each of others with the checksum that Cargo.lock has.
fn check_sbom(sbom: &Value) {
    assert_eq!(
        (&sbom["bomFormat"], &sbom["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let components = sbom["components"].as_array().unwrap();
    let named = |name: &str| components.iter().any(|found| found["name"] == name);
    for name in [
        "podwire",
        "netd",
        "lab",
        "spec-tests",
        "bridge",
        "etcd-client",
        "nix",
    ] {
        assert!(named(name), "{name}");
    }
    for name in ["proptest", "clap_mangen", "serde_derive"] {
        assert!(!named(name), "{name} is in no executable");
    }
    for component in components {
        assert!(
            component["licenses"][0]["expression"].is_string(),
            "{component}"
        );
        let name = component["name"].as_str().unwrap();
        let Some(hash) = component["hashes"][0]["content"].as_str() else {
            let theirs = format!(
                "name = \"{name}\"\nversion = {}\nsource",
                component["version"]
            );
            assert!(!lock.contains(&theirs), "{name} has no checksum");
            continue;
        };
        assert!(lock.contains(hash), "{component}");
    }
    let references: Vec<&str> = components
        .iter()
        .map(|found| found["bom-ref"].as_str().unwrap())
        .collect();
    for dependency in sbom["dependencies"].as_array().unwrap() {
        for on in dependency["dependsOn"].as_array().unwrap() {
            assert!(references.contains(&on.as_str().unwrap()), "{on}");
        }
    }
}

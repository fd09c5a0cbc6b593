//! Confinement and identities, as the kernel tells them of a process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::world_of_root;
use sandbox::cgroup::{Hierarchies, Limits};
use sandbox::{
    Capabilities, Confinement, Identity, Namespace, Rights, SystemCalls, join_at_start, unshare,
};

#[allow(clippy::disallowed_methods, reason = "processes to look at")]
fn command(line: &[&str]) -> Command {
    let mut command = Command::new(line[0]);
    command
        .args(&line[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What a program prints that has these rights; nothing where it fails.
fn run(rights: &Rights, identity: &Identity, line: &[&str]) -> Option<String> {
    std::thread::scope(|scope| {
        let start = || {
            Confinement::new(rights.clone())
                .unwrap()
                .apply(identity)
                .unwrap();
            command(line).output().unwrap()
        };
        let output = scope.spawn(start).join().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    })
}

fn adjusted(add: &[&str], drop: &[&str]) -> Rights {
    Rights {
        capabilities: Capabilities::adjusted(add, drop).unwrap(),
        ..Rights::default()
    }
}

/// The fourteen, as `/proc/PID/status` writes them.
const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";
/// With CAP_NET_ADMIN.
const WITH_NET_ADMIN: &str = "00000000a80435fb";

#[test]
fn confinement_is_of_the_thread_that_applies_it_and_of_what_it_starts() {
    let Some(_world) = world_of_root() else {
        return;
    };
    let confined = std::thread::spawn(|| {
        let confinement = Confinement::new(Rights::default()).unwrap();
        confinement.apply(&Identity::default()).unwrap();
        let refused = unshare(&[Namespace::Uts]).unwrap_err();
        let mut child = command(&["unshare", "--uts", "true"]);
        (refused.errno(), child.status().unwrap().success())
    });
    assert_eq!(confined.join().unwrap(), (Some(1), false));
    unshare(&[Namespace::Uts]).unwrap();
    let mut child = command(&["unshare", "--uts", "true"]);
    assert!(child.status().unwrap().success());
}

#[test]
fn a_process_has_the_users_and_capabilities_that_it_was_given() {
    let Some(_world) = world_of_root() else {
        return;
    };
    let root = Identity::default();
    let user = Identity {
        user: 1000,
        group: 1001,
        groups: vec![4, 1001],
    };
    let unconfined = Rights {
        system_calls: SystemCalls::All,
        new_privileges: true,
        ..Rights::default()
    };
    let no_typing = Rights {
        system_calls: SystemCalls::AllButTyping,
        ..unconfined.clone()
    };
    let setuid = Rights {
        new_privileges: true,
        ..Rights::default()
    };
    // Rights, identity, effective capabilities, bounding ones, no-new-privileges, system call filter.
    for (rights, identity, effective, bounding, bound, filter) in [
        (Rights::default(), &root, DEFAULT, DEFAULT, "1", "2"),
        (Rights::default(), &user, NONE, DEFAULT, "1", "2"),
        (adjusted(&[], &["ALL"]), &root, NONE, NONE, "1", "2"),
        (
            adjusted(&["NET_ADMIN"], &[]),
            &root,
            WITH_NET_ADMIN,
            WITH_NET_ADMIN,
            "1",
            "2",
        ),
        (
            adjusted(&["NET_ADMIN"], &[]),
            &user,
            NONE,
            WITH_NET_ADMIN,
            "1",
            "2",
        ),
        (unconfined, &root, DEFAULT, DEFAULT, "0", "0"),
        (no_typing, &root, DEFAULT, DEFAULT, "0", "2"),
        (setuid, &user, NONE, DEFAULT, "0", "2"),
    ] {
        let status = run(&rights, identity, &["cat", "/proc/self/status"]).unwrap();
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let found = ["CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"].map(field);
        assert_eq!(
            found,
            [effective, effective, bounding, bound, filter],
            "{rights:?}, {identity:?}"
        );
        assert_eq!(["CapInh", "CapAmb"].map(field), [NONE; 2]);
        let Identity {
            user,
            group,
            groups,
        } = identity;
        assert_eq!(field("Uid"), vec![user.to_string(); 4].join(" "));
        assert_eq!(field("Gid"), vec![group.to_string(); 4].join(" "));
        let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
        assert_eq!(field("Groups"), groups.join(" "));
    }
}

#[test]
fn a_privileged_process_keeps_what_its_maker_has() {
    let Some(_world) = world_of_root() else {
        return;
    };
    let status = |rights: &Rights| {
        run(
            rights,
            &Identity::default(),
            &["grep", "Cap", "/proc/self/status"],
        )
    };
    let own = command(&["grep", "Cap", "/proc/self/status"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(
        status(&Rights::privileged()),
        Some(String::from_utf8(own).unwrap())
    );
    assert_ne!(status(&Rights::default()), status(&Rights::privileged()));
}

#[test]
fn a_capability_gives_what_it_is_for_and_no_more() {
    let Some(_world) = world_of_root() else {
        return;
    };
    let can = |rights: &Rights, line: &[&str]| run(rights, &Identity::default(), line).is_some();
    let link = ["ip", "link", "set", "lo", "mtu", "1400"];
    let mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    for (rights, link_changes, mounts) in [
        (Rights::default(), false, false),
        (adjusted(&["NET_ADMIN"], &[]), true, false),
        // The capability, and the system calls that it is for.
        (adjusted(&["SYS_ADMIN"], &[]), false, true),
        (adjusted(&["SYS_ADMIN"], &["SYS_ADMIN"]), false, false),
    ] {
        assert_eq!(can(&rights, &link), link_changes, "{rights:?}");
        assert_eq!(can(&rights, &mount), mounts, "{rights:?}");
    }
}

#[test]
fn a_setuid_program_is_root_only_where_new_privileges_are_left() {
    let Some(world) = world_of_root() else { return };
    let program = world.dir().join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(world.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let user = Identity {
        user: 1000,
        group: 1000,
        groups: Vec::new(),
    };
    for (new_privileges, shown) in [(false, "1000\n"), (true, "0\n")] {
        let rights = Rights {
            new_privileges,
            ..Rights::default()
        };
        let printed = run(&rights, &user, &[program.to_str().unwrap(), "-u"]);
        assert_eq!(printed.as_deref(), Some(shown));
    }
}

#[test]
fn nobody_becomes_root_by_the_number_that_means_no_change() {
    let Some(_world) = world_of_root() else {
        return;
    };
    let refused = std::thread::spawn(|| {
        let identity = Identity {
            user: u32::MAX,
            ..Identity::default()
        };
        Confinement::new(Rights::default())
            .unwrap()
            .apply(&identity)
            .unwrap_err()
    });
    let refused = refused.join().unwrap();
    assert_eq!(refused.to_string(), "become user 4294967295 of group 0");
}

#[test]
fn who_is_not_root_starts_in_a_group_that_it_could_not_join() {
    let Some(_world) = world_of_root() else {
        return;
    };
    let hierarchies = Hierarchies::detect().unwrap();
    let name = format!("podwire-test-joined-{}", std::process::id());
    let group = hierarchies.group(&name);
    group.create(&Limits::default()).unwrap();
    let user = Identity {
        user: 1000,
        group: 1000,
        groups: Vec::new(),
    };
    let mut cat = command(&["cat", "/proc/self/cgroup"]);
    join_at_start(&mut cat, &group).unwrap();
    let output = std::thread::scope(|scope| {
        let start = || {
            let confinement = Confinement::new(adjusted(&[], &["ALL"])).unwrap();
            confinement.apply(&user).unwrap();
            cat.output()
        };
        scope.spawn(start).join().unwrap()
    });
    group.remove(Duration::from_secs(60)).unwrap();
    let shown = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(shown.lines().any(|line| line.ends_with(&name)), "{shown}");
}

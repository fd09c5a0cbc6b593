//! Namespaces, sysctls and the world that tests live in.

mod common;

use std::fs;
use std::path::Path;

use common::{Ip, Step, here};
use kernel::testing::{World, is_installed};
use kernel::{
    NetNs, NetNsError, Netlink,
    sysctl::{self, Sysctls},
};

/// `REQUIRE_NETNS=1` in the environment of this test is as in those that need the program.
#[test]
fn a_test_whose_program_is_missing_fails_where_none_may_be_skipped() {
    assert!(is_installed("sh", "dash"));
    assert!(is_installed("/bin/sh", "dash"));
    let is_required = std::env::var_os("REQUIRE_NETNS").is_some_and(|value| value == "1");
    for missing in ["no-such-program", "/bin/no-such-program"] {
        let found = std::panic::catch_unwind(|| is_installed(missing, "no-such-package"));
        assert_eq!(found.ok(), (!is_required).then_some(false), "{missing}");
    }
}

#[test]
fn what_is_no_namespace_is_told_apart() {
    let Some(world) = World::new() else { return };
    let file = world.dir().join("file");
    fs::write(&file, "").step();
    let text = |path: &Path| NetNs::open(path).map(drop).unwrap_err().to_string();
    assert_eq!(
        text(&file),
        format!("unknown FS magic on {file:?}: 1021994")
    );
    assert!(matches!(
        NetNs::open(&file),
        Err(NetNsError::NotANamespace {
            magic: 0x0102_1994,
            ..
        })
    ));
    let missing = Path::new("/run/netns/missing");
    assert_eq!(
        text(missing),
        "failed to Statfs \"/run/netns/missing\": no such file or directory"
    );
    assert_eq!(
        text(Path::new("")),
        "failed to Statfs \"\": no such file or directory"
    );
    for path in [missing, Path::new("")] {
        assert!(matches!(NetNs::open(path), Err(NetNsError::Missing { .. })));
    }
    let below = file.join("x");
    assert!(matches!(
        NetNs::open(&below),
        Err(NetNsError::Statfs { .. })
    ));
}

#[test]
fn namespaces_of_another_kind_are_named() {
    for (file, what) in [
        ("ns/cgroup", "a cgroup namespace"),
        ("ns/ipc", "an ipc namespace"),
        ("ns/mnt", "a mount namespace"),
        ("ns/pid", "a pid namespace"),
        ("ns/pid_for_children", "a pid namespace"),
        ("ns/time", "a time namespace"),
        ("ns/user", "a user namespace"),
        ("ns/uts", "a uts namespace"),
        ("ns", "another entry of procfs"),
        ("status", "another entry of procfs"),
    ] {
        let path = Path::new("/proc/self").join(file);
        let error = NetNs::open(&path).unwrap_err();
        assert!(matches!(error, NetNsError::OtherKind { .. }), "{error:?}");
        let text = format!("{} is {what}, not a network namespace", path.display());
        assert_eq!(error.to_string(), text);
    }
    assert!(NetNs::open("/proc/self/ns/net").is_ok());
}

#[test]
fn namespaces_are_made_and_removed() {
    let Some(_world) = World::new() else { return };
    let path = Path::new("/run/deep/below/ns");
    let ns = NetNs::create(path).step();
    assert_eq!(ns.path(), path);
    assert!(!ns.is_current().step());
    assert!(NetNs::current().step().is_current().step());
    assert_eq!(Ip::inside(&ns).names(), ["lo"]);
    let again = NetNs::create(path).unwrap_err();
    assert!(again.is_exists(), "{again}: {}", again.source);
    assert_eq!(
        again.to_string(),
        "create network namespace /run/deep/below/ns"
    );
    assert!(
        NetNs::open(path).is_ok(),
        "a refused creation removes nothing"
    );
    NetNs::remove(path).step();
    assert!(!path.exists());
    NetNs::remove(path).step();
    // What a lost mount leaves is removed as well; what is kept open lives on.
    fs::write(path, "").step();
    NetNs::remove(path).step();
    assert!(!path.exists());
    assert_eq!(Ip::inside(&ns).names(), ["lo"]);
}

#[test]
fn the_thread_comes_back_and_sockets_stay() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    Ip::inside(&pod).run("ip link add inside type bridge");
    here().run("ip link add outside type bridge");
    let inside = Netlink::open_in(&pod).step();
    let outside = Netlink::open().step();
    assert!(inside.link(&common::name("inside")).step().is_some());
    assert!(inside.link(&common::name("outside")).step().is_none());
    assert!(outside.link(&common::name("outside")).step().is_some());
    assert!(pod.step_in(|| pod.is_current().step()).step());
    assert!(pod.run(|| pod.is_current().step()).step());
    assert!(!pod.is_current().step());
    let panic = std::panic::catch_unwind(|| pod.step_in(|| panic!("on purpose")));
    assert!(panic.is_err());
    assert!(!pod.is_current().step(), "back in spite of the panic");
}

/// Drops the calling thread's capabilities, as a thread alone can.
fn become_nobody() {
    // SAFETY: setresuid(2) takes three numbers; called directly it changes this thread alone.
    let outcome = unsafe { nix::libc::syscall(nix::libc::SYS_setresuid, 65534, 65534, 65534) };
    assert_eq!(outcome, 0);
}

#[test]
fn a_thread_that_may_not_enter_or_not_return_is_told_so() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    let on_thread = |f: &(dyn Fn() + Sync)| std::thread::scope(|s| s.spawn(f).join().unwrap());
    on_thread(&|| {
        become_nobody();
        let refused = pod.step_in(|| ()).unwrap_err();
        let path = pod.path().display();
        assert_eq!(
            refused.to_string(),
            format!("enter network namespace {path}")
        );
        Netlink::open().step();
    });
    on_thread(&|| {
        let lost = "return to network namespace of the host";
        assert_eq!(pod.step_in(become_nobody).unwrap_err().to_string(), lost);
        assert_eq!(Netlink::open().map(drop).unwrap_err().to_string(), lost);
        assert_eq!(pod.step_in(|| ()).unwrap_err().to_string(), lost);
    });
}

#[test]
fn sysctls_are_written_only_on_difference_and_name_their_file() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    here().run("ip link add a.b type bridge");
    let key = "net/ipv4/conf/a.b/arp_notify";
    assert_eq!(sysctl::get(key).step(), "0");
    assert!(sysctl::set(key, "1").step());
    assert!(!sysctl::set(key, "1").step());
    assert_eq!(sysctl::get(key).step(), "1");
    let inside = pod.step_in(|| sysctl::get(key)).step().unwrap_err();
    assert!(inside.is_gone());
    assert_eq!(inside.to_string(), format!("read /proc/sys/{key}"));
    let refused = sysctl::set(key, "many").unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("write \"many\" to /proc/sys/{key}")
    );
    assert!(
        pod.step_in(|| sysctl::set("net/ipv4/ip_forward", "1"))
            .step()
            .step()
    );
    assert_eq!(
        pod.step_in(|| sysctl::get("net/ipv4/ip_forward"))
            .step()
            .step(),
        "1"
    );
}

#[test]
fn sysctls_are_of_any_length() {
    let Some(_world) = World::new() else { return };
    let key = "net/ipv4/ip_local_reserved_ports";
    let lists = [20, 200].map(|count| {
        let ports: Vec<String> = (0..count).map(|n| (10_000 + 2 * n).to_string()).collect();
        ports.join(",")
    });
    for value in [&lists[0], &lists[1], ""] {
        assert!(sysctl::set(key, value).step(), "{value}");
        assert_eq!(sysctl::get(key).step(), value);
    }
}

/// Each key is the one of where the thread is; of sysctls that are kept open, of where it was.
#[test]
fn sysctls_are_those_of_the_namespace_that_the_thread_is_in() {
    let Some(world) = World::new() else { return };
    let keys = ["net/ipv4/ip_forward", "net/ipv6/conf/all/hop_limit"];
    let read = || keys.map(|key| sysctl::get(key).step());
    let host = read();
    for round in 0..8 {
        let pods = [0, 1].map(|n| (n, world.pod(&format!("pod{round}-{n}"))));
        for (n, pod) in &pods {
            let values = [n.to_string(), (round + n + 1).to_string()];
            let set = || {
                for (key, value) in keys.into_iter().zip(&values) {
                    sysctl::set(key, value).step();
                }
            };
            pod.step_in(set).step();
        }
        for (n, pod) in &pods {
            let values = [n.to_string(), (round + n + 1).to_string()];
            assert_eq!(pod.step_in(read).step(), values);
            let kept = pod.step_in(Sysctls::open).step();
            assert_eq!(keys.map(|key| kept.get(key).step()), values);
            kept.write(keys[0], "1").step();
            assert_eq!(pod.step_in(|| sysctl::get(keys[0])).step().step(), "1");
        }
        assert_eq!(read(), host);
        for (n, pod) in pods {
            drop(pod);
            NetNs::remove(format!("/run/netns/pod{round}-{n}")).step();
        }
    }
}

#[test]
fn a_world_is_private_and_complete() {
    let missing = |path: &str| !Path::new(path).exists();
    let absent = (missing("/var/lib/cni"), missing("/etc/cni"));
    std::thread::spawn(|| {
        let Some(world) = World::new() else { return };
        for path in [
            "/run/x",
            "/var/lib/cni/x",
            "/etc/cni/x",
            "/sys/class/net/lo",
        ] {
            let path = Path::new(path);
            if !path.starts_with("/sys") {
                fs::write(path, "").step();
            }
            assert!(path.exists(), "{path:?}");
        }
        fs::write(world.dir().join("x"), "").step();
        let links: Vec<_> = fs::read_dir("/sys/class/net").step().collect();
        assert_eq!(links.len(), 1);
        assert_eq!(here().names(), ["lo"]);
        let pod = world.pod("web");
        assert_eq!(pod.path(), Path::new("/run/netns/web"));
        let shown = here().run("ip netns");
        assert!(shown.starts_with("web"), "{shown}");
        drop(world);
        assert!(!Path::new("/run/netns/web").exists());
    })
    .join()
    .unwrap();
    assert!(missing("/run/x") && missing("/run/world") && missing("/var/lib/cni/x"));
    assert_eq!((missing("/var/lib/cni"), missing("/etc/cni")), absent);
}

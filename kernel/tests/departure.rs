//! Deleting a link at the kernel's announcement, and closing sockets that wait for the kernel: what holds
//! at once, and what becomes of the child.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Ip, Step, here, name};
use kernel::link::{Place, delete_link};
use kernel::nft::{Existing, Nft, Table, TableFamily, Transaction, leave_closing_to_child};
use kernel::testing::World;
use kernel::{LinkIndex, NetNs, Netlink};
use nix::errno::Errno;
use nix::libc::pid_t;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A pair between the port `veth0` of `cni0` and `eth0` in the pod, both with addresses.
struct Pair {
    pod: NetNs,
    host: LinkIndex,
    peer: LinkIndex,
}

impl Pair {
    fn make(pod: NetNs) -> Self {
        for line in [
            "ip link add veth0 type veth peer name eth0 netns pod",
            "ip link set veth0 master cni0 up",
        ] {
            here().run(line);
        }
        for line in [
            "ip address add 10.9.0.2/24 dev eth0",
            "ip address add fd09::2/64 dev eth0 nodad",
            "ip link set eth0 up",
        ] {
            Ip::inside(&pod).run(line);
        }
        let host = Netlink::open().step().link(&name("veth0")).step().unwrap();
        let peer = host.peer.unwrap();
        let host = host.index;
        Self { pod, host, peer }
    }

    fn host(&self) -> Place<'static> {
        Place {
            ns: None,
            index: self.host,
        }
    }

    fn peer(&self) -> Place<'_> {
        Place {
            ns: Some(&self.pod),
            index: self.peer,
        }
    }
}

fn bridge() {
    here().run("ip link add cni0 type bridge");
    here().run("ip address add 10.9.0.1/24 dev cni0");
    here().run("ip link set cni0 up");
}

#[test]
fn link_peer_addresses_and_port_are_gone_at_once() {
    let Some(world) = World::new() else { return };
    bridge();
    for round in 0..20 {
        let pair = Pair::make(world.pod("pod"));
        // From either end: the plugin deletes the pod's end where it does not know the host's.
        if round % 2 == 0 {
            delete_link(pair.host(), Some(pair.peer())).step();
        } else {
            delete_link(pair.peer(), Some(pair.host())).step();
        }
        assert_eq!(here().names(), ["cni0", "lo"]);
        assert_eq!(here().run("bridge link"), "");
        assert_eq!(Ip::inside(&pair.pod).names(), ["lo"]);
        assert_eq!(Ip::inside(&pair.pod).run("ip -4 route"), "");
        // The names are free, the namespace goes.
        here().run("ip link add veth0 type veth peer name eth0 netns pod");
        here().run("ip link delete veth0");
        NetNs::remove(pair.pod.path()).step();
    }
}

#[test]
fn what_is_no_link_is_gone() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    for ns in [None, Some(&pod)] {
        let index = LinkIndex(4242);
        let error = delete_link(Place { ns, index }, None).unwrap_err();
        assert!(error.is_gone(), "{error}");
    }
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    let Some(_world) = World::new() else { return };
    let lo = Place {
        ns: None,
        index: LinkIndex(1),
    };
    let error = delete_link(lo, None).unwrap_err();
    assert_eq!(error.errno(), Some(95), "{error}");
    assert_eq!(here().names(), ["lo"]);
}

/// The path of the pod may be another pod's by now: nobody announces the peer there.
#[test]
fn a_peer_that_is_elsewhere_is_not_waited_for_for_ever() {
    let Some(world) = World::new() else { return };
    bridge();
    let other = world.pod("other");
    let pair = Pair::make(world.pod("pod"));
    let wrong = Place {
        ns: Some(&other),
        index: pair.peer,
    };
    delete_link(pair.host(), Some(wrong)).step();
    assert_eq!(here().names(), ["cni0", "lo"]);
}

/// What a process of its own deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Link,
    Table,
    Both,
}

impl Work {
    const ALL: [Self; 3] = [Self::Link, Self::Table, Self::Both];

    /// The name that tells the process.
    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Sockets and pipes that its child holds: one for the link with a report, one for the table.
    fn held(self) -> (usize, usize) {
        match self {
            Self::Link => (1, 1),
            Self::Table => (1, 0),
            Self::Both => (2, 1),
        }
    }
}

/// Deletes in a process of its own; run by the tests below.
#[test]
fn deleting_process() {
    let Ok(wanted) = std::env::var("DELETE") else {
        return;
    };
    let work = Work::ALL.into_iter().find(|work| work.name() == wanted);
    let work = work.unwrap();
    if work != Work::Link {
        delete_table();
    }
    if work != Work::Table {
        delete_veth0();
    }
    leave_closing_to_child().unwrap();
    std::process::exit(0);
}

fn delete_veth0() {
    let link = Netlink::open().step().link(&name("veth0")).step().unwrap();
    let ns = NetNs::open("/run/netns/pod").step();
    let peer = Place {
        ns: Some(&ns),
        index: link.peer.unwrap(),
    };
    let host = Place {
        ns: None,
        index: link.index,
    };
    delete_link(host, Some(peer)).step();
}

/// Leaves the kernel something to free.
fn delete_table() {
    let table = Table {
        family: TableFamily::Inet,
        name: "gone",
    };
    let mut nft = Nft::open().step();
    let add = Transaction::new().add_table(table, None, Existing::Refuse);
    nft.commit(add).step();
    nft.commit(Transaction::new().delete_table(table)).step();
}

fn start_deleting(work: Work) -> Child {
    #[allow(clippy::disallowed_methods, reason = "the child outlives its process")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "deleting_process", "--nocapture"]);
    command.env("DELETE", work.name()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Children of `parent` by procfs, zombies too.
fn children_of(parent: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task"));
    let lists = tasks.into_iter().flatten().flatten();
    lists
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
            pids.map(Pid::from_raw).collect::<Vec<_>>()
        })
        .collect()
}

/// In a process of its own, because it becomes a reaper: what its children leave comes to it.
#[test]
fn reaping_process() {
    if std::env::var_os("REAP").is_none() {
        return;
    }
    let Some(world) = World::new() else { return };
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    bridge();
    let mut seen_open = [0; 3];
    for round in 0..30 {
        let pair = Pair::make(world.pod("pod"));
        let kind = round % Work::ALL.len();
        let process = start_deleting(Work::ALL[kind]);
        let pid = Pid::from_raw(process.id() as pid_t);
        // `wait_with_output` returns at the end of the process and of its pipe.
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_ne!(pid, nix::unistd::getpid());
        for orphan in children_of(nix::unistd::getpid()) {
            seen_open[kind] += descriptors_are_its_own(orphan, Work::ALL[kind]);
            let ended = waitpid(orphan, None).unwrap();
            assert_eq!(ended, WaitStatus::Exited(orphan, 0));
        }
        let nobody = waitpid(None, Some(WaitPidFlag::WNOHANG));
        assert_eq!(nobody, Err(Errno::ECHILD));
        if Work::ALL[kind] == Work::Table {
            delete_link(pair.host(), Some(pair.peer())).step();
            waitpid(None, None).unwrap();
        }
        NetNs::remove(pair.pod.path()).step();
    }
    let [link, table, both] = seen_open;
    assert!(
        table > 0 && link + both > 0,
        "no child outlived its process: {seen_open:?}"
    );
    std::process::exit(0);
}

/// What the child holds is for its work, once its session is its own. Ended already: nothing to look at.
fn descriptors_are_its_own(child: Pid, work: Work) -> usize {
    // It closes what is not its own before it leaves the session.
    while nix::unistd::getsid(Some(child)) != Ok(child) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let Ok(open) = fs::read_dir(format!("/proc/{child}/fd")) else {
        return 0;
    };
    let targets: Vec<_> = open
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect();
    let (sockets, pipes) = work.held();
    // One that ends meanwhile shows a part of them.
    if targets.len() < sockets + pipes {
        return 0;
    }
    let count = |kind: &str| {
        let is_kind = |target: &&PathBuf| target.to_string_lossy().starts_with(kind);
        targets.iter().filter(is_kind).count()
    };
    let held = (count("socket:"), count("pipe:"));
    assert_eq!(held, work.held(), "{work:?}: {targets:?}");
    assert_eq!(held.0 + held.1, targets.len(), "{targets:?}");
    1
}

#[test]
fn the_child_holds_nothing_and_leaves_no_zombie() {
    #[allow(clippy::disallowed_methods, reason = "a process of its own")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "reaping_process", "--nocapture"]);
    let output = command.env("REAP", "1").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whichever process dies whenever: the link is gone, or a second deletion removes it.
#[test]
fn a_kill_leaves_nothing_that_a_second_deletion_does_not_clean() {
    let Some(world) = World::new() else { return };
    bridge();
    for round in 0..60u64 {
        let pair = Pair::make(world.pod("pod"));
        let mut process = start_deleting(Work::Link);
        let pid = Pid::from_raw(process.id() as pid_t);
        std::thread::sleep(Duration::from_micros(round * 150));
        let victim = if round % 2 == 0 {
            Some(pid)
        } else {
            children_of(pid).first().copied()
        };
        if let Some(victim) = victim {
            // It may have ended by now.
            let _ = kill(victim, Signal::SIGKILL);
        }
        process.wait().unwrap();
        match delete_link(pair.host(), Some(pair.peer())) {
            Err(error) if !error.is_gone() => panic!("{error}"),
            _ => assert_eq!(here().names(), ["cni0", "lo"]),
        }
        NetNs::remove(pair.pod.path()).step();
    }
}

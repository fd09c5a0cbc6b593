//! What the plugins must keep that make one link in the pod on a link of the host's: macvlan, ipvlan
//! and vlan. The kind of link is the parameter; [`tests_on_master`](crate::tests_on_master) makes the
//! tests of it.

use std::{panic::resume_unwind, thread};

use attach::Identity;
use cni::Plugin;
use kernel::{Netlink, NewKind};
use serde_json::{Value, json};

use crate::{Host, portrait, sh, stepwise, with_prev_result};

/// A change of the configuration.
pub type Change = fn(&mut Value);

/// A kind of link, and what only it does.
pub struct Kind {
    /// Its name, which is the plugin's too.
    pub name: &'static str,
    /// To ask the kernel for it.
    pub new: fn() -> NewKind<'static>,
    /// Adds to the configuration what only this kind has.
    pub configure: Change,
    /// How the reference plugin makes it: what stands behind the name in `ip link add link m0 name
    /// NAME`. On another master too, where it has an MTU of 1400 then.
    pub made: &'static str,
    /// Its MAC address is its master's, so that only IP addresses tell two of them apart.
    pub has_the_masters_mac: bool,
    /// ADDs that must fail: the configuration, a script before, how the message begins.
    pub refused: &'static [(Change, &'static str, &'static str)],
    /// What CHECK must find: a script after ADD, how the message begins.
    pub damages: &'static [(&'static str, &'static str)],
    /// What STATUS answers: the configuration, a script before (they add up), and what the message
    /// of code 50 contains, or that there is none.
    pub statuses: &'static [(Change, &'static str, Option<&'static str>)],
    /// What ADD would refuse and DEL must not mind.
    pub spoil: Change,
}

impl Kind {
    /// A configuration with all that the kinds share: master, MTU, IPAM of both families, routes.
    pub fn full(&self) -> String {
        self.full_but(|_| ())
    }

    /// The same, changed.
    pub fn full_but(&self, change: Change) -> String {
        let mut config = json!({
            "cniVersion": "1.1.0",
            "name": "dbnet",
            "type": self.name,
            "master": "m0",
            "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": "10.22.0.0/24" }], [{ "subnet": "2001:db8:22::/64" }]],
                "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
            },
        });
        (self.configure)(&mut config);
        change(&mut config);
        config.to_string()
    }

    /// A script that makes what the reference plugin leaves: a link without an alias.
    fn by_reference(&self) -> String {
        format!(
            "ip link add link m0 name made0 {}; ip link set made0 netns pod name eth0
            ip -n pod link set eth0 up; ip -n pod addr add 10.22.0.2/24 dev eth0",
            self.made
        )
    }

    fn is_in_the_kernel(&self) -> bool {
        let netlink = Netlink::open().unwrap();
        netlink.has_link_kind(&(self.new)()).unwrap()
    }
}

/// In a thread and world of its own: a host with the links `m0` and `m1`, each the other's peer, and
/// a link of the pod's name.
pub fn in_own_world<P: Plugin + Default + 'static>(
    kind: &Kind,
    test: impl FnOnce(&Host<P>) + Send,
) {
    let run = || {
        let host = Host::new()?;
        if !kind.is_in_the_kernel() {
            eprintln!("skipped: this kernel has no {}", kind.name);
            return None;
        }
        sh(
            "ip link add m0 type veth peer name m1; ip link set m0 up; ip link set m1 up
            # The kernel notices the carrier a while later.
            for end in m0 m1; do
                until ip link show $end | grep -q 'state UP'; do sleep 0.01; done
            done
            ip link add eth0 type veth peer name uplink",
        );
        test(&host);
        Some(())
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            resume_unwind(panic);
        }
    });
}

/// Links, addresses and routes of the pod.
pub fn pod() -> String {
    portrait::network(Some("pod"))
}

/// ADD and STATUS say so, and leave nothing.
pub fn a_kernel_without_the_kind_is_told_of<P: Plugin + Default + 'static>(kind: &Kind) {
    let Some(host) = Host::<P>::new() else { return };
    let name = kind.name;
    if kind.is_in_the_kernel() {
        return eprintln!("skipped: this kernel has {name}");
    }
    sh("ip link add m0 up type veth peer name m1");
    let before = stepwise::state();
    let full = kind.full();
    let (code, message) = host.fail("ADD", &full);
    let expected = format!("failed to create {name}: operation not supported");
    assert!(code == 999 && message.starts_with(&expected), "{message}");
    assert_eq!(stepwise::state(), before);
    let message = format!("failed to create {name}: this kernel has no such kind of link");
    assert_eq!(host.fail("STATUS", &full), (50, message));
    host.succeed("DEL", &full);
}

/// An ADD that fails or panics after any step.
pub fn an_add_that_fails_leaves_everything_as_it_was<P: Plugin + Default + 'static>(kind: &Kind) {
    in_own_world::<P>(kind, |host| {
        stepwise::leaves_everything_as_it_was(host, &kind.full(), 2);
    });
}

/// An ADD that is killed after any step.
pub fn an_add_that_is_killed_leaves_what_del_removes<P: Plugin + Default + 'static>(kind: &Kind) {
    in_own_world::<P>(kind, |host| {
        stepwise::leaves_what_del_removes(host, &kind.full());
    });
}

/// What the reference plugin made, and not what is known to be another's.
pub fn del_removes_the_link_of_this_attachment_and_no_other<P: Plugin + Default + 'static>(
    kind: &Kind,
) {
    let made = kind.by_reference();
    let with_mac = "ip -n pod link set eth0 address c2:11:22:00:00:99";
    let with_address = "ip -n pod addr flush dev eth0; ip -n pod addr add 10.22.0.3/24 dev eth0";
    let others = match kind.has_the_masters_mac {
        true => with_address.to_owned(),
        false => format!("{with_mac}; {with_address}"),
    };
    let alias = "ip -n pod link set eth0 alias podwire:dbnet/ctr9/eth0";
    let other_kind = "ip -n pod link del eth0; ip -n pod link add eth0 type veth peer name eth0p";
    for (what, is_recorded, change, stays) in [
        ("the reference's", true, "true", false),
        ("the same without its result", false, "true", false),
        ("another container's by the reference", true, &*others, true),
        ("another attachment's", true, alias, true),
        ("another attachment's, no result", false, alias, true),
        ("another kind", false, other_kind, true),
    ] {
        in_own_world::<P>(kind, |host| {
            sh(&made);
            let result = reference_result();
            sh(change);
            let config = match is_recorded {
                true => with_prev_result(&kind.full(), &result),
                false => kind.full(),
            };
            host.succeed("DEL", &config);
            assert_eq!(pod().contains("eth0"), stays, "{what}");
        });
    }
}

/// What the reference plugin says of what it made.
fn reference_result() -> Value {
    let mac = sh("ip netns exec pod cat /sys/class/net/eth0/address");
    let interface = json!({ "name": "eth0", "mac": mac.trim(), "sandbox": "/run/netns/pod" });
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [interface],
        "ips": [{ "address": "10.22.0.2/24", "interface": 0 }],
    })
}

/// The container renamed the one; the other is of an ADD that was killed.
pub fn del_finds_the_link_under_another_name_and_one_without_name_and_alias<
    P: Plugin + Default + 'static,
>(
    kind: &Kind,
) {
    in_own_world::<P>(kind, |host| {
        let full = kind.full();
        let added = with_prev_result(&full, &host.add(&full));
        sh("ip -n pod link set eth0 down; ip -n pod link set eth0 name net7");
        host.succeed("DEL", &added);
        assert_eq!(pod(), "");
        let identity = Identity {
            network: "dbnet",
            container_id: "ctr1",
            ifname: "eth0",
        };
        let name = &identity.host_veth_names()[0];
        sh(&format!(
            "ip link add link m0 name {name} {}; ip link set {name} netns pod",
            kind.made
        ));
        assert!(pod().contains(name.as_str()));
        host.succeed("DEL", &full);
        assert_eq!(pod(), "");
    });
}

/// Nothing of what ADD would refuse keeps DEL from releasing, nor that the master is not named.
pub fn del_needs_nothing_of_the_configuration_but_ipam<P: Plugin + Default + 'static>(kind: &Kind) {
    in_own_world::<P>(kind, |host| {
        let full = kind.full();
        let added = with_prev_result(&full, &host.add(&full));
        let mut config: Value = serde_json::from_str(&added).unwrap();
        config["master"] = json!("");
        config["mtu"] = json!(9000);
        (kind.spoil)(&mut config);
        host.succeed("DEL", &config.to_string());
        let left = (pod(), stepwise::reservations());
        assert_eq!(left, (String::new(), String::new()));
    });
}

/// Each with its message; host, pod and reservations are as before.
pub fn a_refused_add_leaves_everything_as_it_was<P: Plugin + Default + 'static>(kind: &Kind) {
    let renames = format!("failed to rename {} to \"eth0\": file exists", kind.name);
    let common: [(Change, &str, &str); 3] = [
        (
            |config| config["master"] = json!("nope0"),
            "true",
            "failed to lookup master \"nope0\": Link not found",
        ),
        (
            |config| {
                let unreachable = json!([{ "dst": "192.168.9.0/24", "gw": "172.31.0.1" }]);
                config["ipam"]["routes"] = unreachable;
            },
            "true",
            "failed to add route",
        ),
        (
            |_| (),
            "ip -n pod link add eth0 type veth peer name eth0p",
            &renames,
        ),
    ];
    for (change, setup, message) in common.iter().chain(kind.refused) {
        in_own_world::<P>(kind, |host| {
            sh(setup);
            let before = stepwise::state();
            let (code, seen) = host.fail("ADD", &kind.full_but(*change));
            assert!(
                code == 999 && seen.starts_with(message),
                "{code} {seen}\nexpected: {message}"
            );
            assert_eq!(stepwise::state(), before, "{message}");
        });
    }
}

/// Each by its name.
pub fn check_finds_what_is_damaged<P: Plugin + Default + 'static>(kind: &Kind) {
    // With the MAC address that the result tells of.
    let moved = format!(
        "mac=$(ip netns exec pod cat /sys/class/net/eth0/address); ip -n pod link del eth0; {}
        ip link add link m1 name other0 address $mac {}; ip link set other0 mtu 1400 netns pod name eth0",
        if kind.has_the_masters_mac { "ip link set m1 address $mac" } else { "true" },
        kind.made,
    );
    let common = [
        ("ip -n pod link set eth0 down", "Interface eth0 is down"),
        (
            "ip -n pod -6 route del default",
            "Expected Route {Dst:{IP::: ",
        ),
        (&*moved, "Interface eth0 is not on master m0"),
        ("ip link del m0", "Interface name eth0 not found"),
    ];
    for (damage, message) in common.iter().chain(kind.damages) {
        in_own_world::<P>(kind, |host| host.notices(&kind.full(), damage, message));
    }
}

/// Of a master of the host's; that of a container is not known to STATUS.
pub fn status_says_what_add_would_run_into<P: Plugin + Default + 'static>(kind: &Kind) {
    let common: [(Change, &str, Option<&str>); 3] = [
        (|_| (), "true", None),
        (
            |config| config["master"] = json!("nope0"),
            "true",
            Some("failed to lookup master \"nope0\": Link not found"),
        ),
        (
            |config| {
                config["linkInContainer"] = json!(true);
                config["master"] = json!("p0");
            },
            "true",
            None,
        ),
    ];
    in_own_world::<P>(kind, |host| {
        for (change, setup, expected) in common.iter().chain(kind.statuses) {
            sh(setup);
            let config = kind.full_but(*change);
            let Some(expected) = expected else {
                host.succeed("STATUS", &config);
                continue;
            };
            let (code, message) = host.fail("STATUS", &config);
            assert!(
                code == 50 && message.contains(expected),
                "{code} {message}\nexpected: {expected}"
            );
        }
    });
}

/// The addresses of pods that nobody has; the links went with their namespaces.
pub fn gc_frees_addresses<P: Plugin + Default + 'static>(kind: &Kind) {
    in_own_world::<P>(kind, |host| {
        host.add(&kind.full());
        host.succeed(
            "GC",
            &kind.full_but(|config| config["cni.dev/valid-attachments"] = json!([])),
        );
        assert_eq!(stepwise::reservations(), "");
    });
}

/// The tests of a plugin, given its type, its static value and the [`Kind`]
/// of link that it makes.
#[macro_export]
macro_rules! tests_on_master {
    ($plugin:ty, $instance:expr, $kind:expr) => {
        /// Not a test: failing after a step counts the steps of a process.
        #[test]
        #[ignore = "started by the other tests"]
        fn add_in_a_process_of_its_own() {
            $crate::steps::child(&$instance);
        }

        $crate::tests_on_master!(
            @each $plugin, $kind;
            a_kernel_without_the_kind_is_told_of,
            an_add_that_fails_leaves_everything_as_it_was,
            an_add_that_is_killed_leaves_what_del_removes,
            del_removes_the_link_of_this_attachment_and_no_other,
            del_finds_the_link_under_another_name_and_one_without_name_and_alias,
            del_needs_nothing_of_the_configuration_but_ipam,
            a_refused_add_leaves_everything_as_it_was,
            check_finds_what_is_damaged,
            status_says_what_add_would_run_into,
            gc_frees_addresses,
        );
    };
    (@each $plugin:ty, $kind:expr; $($name:ident,)*) => {
        $(#[test]
        fn $name() {
            $crate::on_master::$name::<$plugin>(&$kind);
        })*
    };
}

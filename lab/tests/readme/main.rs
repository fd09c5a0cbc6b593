//! README.md's commands do what it says: they are read out of it and run, in a world of the test's
//! own, and where it says that nothing is left, the machine is compared with what it was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;
#[path = "../common/readme.rs"]
mod readme;

use std::fs;
use std::path::Path;

use machine::{Machine, Service};
use readme::{block, blocks};

/// What each block is known by, and what runs it.
const BLOCKS: [(&str, &str, &str); 14] = [
    ("sh", "make demo ", "the demo's own test"),
    ("sh", "make install  ", "installing_and_verifying"),
    ("sh", "./podwire install", "installing_and_verifying"),
    ("sh", "--verify", "installing_and_verifying"),
    (
        "json",
        "\"name\": \"podnet\"",
        "one_node_by_hand, containerd",
    ),
    ("sh", "ip netns add pod1", "one_node_by_hand"),
    ("sh", "call DEL", "one_node_by_hand"),
    ("json", "\"disableGC\"", "a_network_of_two_runtimes"),
    ("sh", "/coreos.com/network/config", "across_nodes_*"),
    ("json", "\"type\": \"vxlan\"", "across_nodes_*"),
    ("sh", "sha512sum", "going_back_*"),
    ("sh", "shows what would go", "one_node_by_hand"),
    ("sh", "--netd --yes", "across_nodes_*"),
    ("sh", "systemctl disable", "installing_and_verifying"),
];

const CONFLIST: &str = "/etc/cni/net.d/10-podwire.conflist";

#[test]
fn every_block_has_a_test() {
    for block in blocks() {
        let known = BLOCKS.iter().filter(|(language, words, _)| {
            *language == block.language && block.text.contains(words)
        });
        assert_eq!(known.count(), 1, "{block:?}");
    }
    for (_, words, _) in BLOCKS {
        block(words);
    }
}

/// The targets of a page's links that are files here.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("spec-tests/README.md")];
    for directory in ["", "docs", "docs/decisions", "deploy"] {
        let entries = fs::read_dir(root.join(directory)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let target = page.with_file_name(&link);
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
}

/// Without the lines that build: the test's executables are built already.
fn without_make(block: &str) -> String {
    let lines = block.lines().filter(|line| !line.starts_with("make "));
    lines.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn installing_and_verifying() {
    let Some(machine) = Machine::new() else {
        return;
    };
    for name in ["podwire", "netd"] {
        fs::copy(machine.built(name), machine.dir().join(name)).unwrap();
    }
    let installing = block("./podwire install") + &without_make(&block("make install  "));
    let said = machine.ok(&installing);
    assert!(
        said.contains("/opt/cni/bin/bridge: hard link\n") && said.contains("\nhost-local "),
        "{said}"
    );
    machine.ok("netd --version");
    let verify = block("--verify");
    machine.ok(&verify);
    machine.ok("cp -f /bin/true /opt/cni/bin/flannel");
    let found = machine.run(&verify);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    // What README calls safe is, also over a name that shares its file.
    machine.ok("install /bin/true /opt/cni/bin/bridge
        cp --remove-destination /bin/true /opt/cni/bin/loopback
        cp /bin/true x; mv x /opt/cni/bin/vxlan");
    let found = machine.run(&verify);
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(
        found.contains("/opt/cni/bin/host-local: this build\n"),
        "{found}"
    );
    what_systemd_was_told_is_removed(&machine);
}

/// As `make install-units` puts it there.
fn what_systemd_was_told_is_removed(machine: &Machine) {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let to = "/usr/local/lib";
    machine.ok(&format!(
        "mount -t tmpfs tmpfs {to}
         install -D -m 0644 -t {to}/systemd/system {0}/*.service {0}/*.socket {0}/*.timer
         install -D -m 0644 {0}/tmpfiles.conf {to}/tmpfiles.d/podwire.conf",
        deploy.display()
    ));
    machine.ok(&block("systemctl disable"));
    assert_eq!(machine.ok(&format!("find {to} -type f")), "");
    machine.ok(&format!("umount {to}"));
}

/// The call by hand of another command, plugin and pod; ADD makes the pod.
fn by_hand(command: &str, plugin: &str, pod: &str) -> String {
    let block = block("ip netns add pod1");
    let (calling, _) = block.split_once("result=").unwrap();
    let (make_pod, calling) = calling.split_once('\n').unwrap();
    let make_pod = if command == "ADD" { make_pod } else { "" };
    format!("{make_pod}\n{calling}\ncall {command} ''\n")
        .replace("bin/bridge", &format!("bin/{plugin}"))
        .replace("pod1", pod)
}

#[test]
fn one_node_by_hand() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let before = machine.inventory();
    machine.install();
    machine.write(CONFLIST, &block("\"name\": \"podnet\""));
    let attaching = block("ip netns add pod1");
    let ping = "ip netns exec pod1 ping -c 1 -W 10 192.0.2.10\n";
    let result = machine.ok(&(attaching + ping + &block("call DEL")));
    assert!(result.contains("\"10.22.0.2/16\""), "{result}");
    let listed = |line: &str| line.starts_with("podnet   pod1") && line.ends_with("  ok");
    assert!(result.lines().any(listed), "{result}");
    machine.ok(&block("shows what would go"));
    machine.ok("rm /usr/local/sbin/netd");
    machine.assert_as(&before);
}

#[test]
fn a_network_of_two_runtimes() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.install();
    machine.write(CONFLIST, &block("\"disableGC\""));
    machine.ok(&format!("/opt/cni/bin/podwire validate {CONFLIST}"));
    machine.ok(&by_hand("ADD", "bridge", "pod1"));
    let others = by_hand("GC", "bridge", "pod1");
    machine.ok(&others.replace("call GC ''", r#"call GC '"cni.dev/valid-attachments": []'"#));
    machine.ok("ip -n pod1 link show eth0; test -e /var/lib/cni/networks/shared/10.23.0.2");
    machine.ok(&by_hand("DEL", "bridge", "pod1"));
    machine.ok("ip netns del pod1");
}

/// README's netd, with other flags where a test needs them. It draws its subnet by chance, and not
/// among those of the test's peers.
fn netd(machine: &Machine, block: &str) -> Service {
    let network = r#""Network": "10.244.0.0/16","#;
    let bounded = format!(r#"{network} "SubnetMax": "10.244.199.0","#);
    let block = block.replace(network, &bounded);
    let netd = machine.start("netd", &block.replace("\nnetd ", "\nexec netd "));
    machine.wait_for("test -e /run/flannel/subnet.env");
    netd
}

/// Another node, as its netd publishes it.
fn peer(machine: &Machine, subnet: &str, lease: &str) {
    machine.ok(&format!(
        "etcdctl --endpoints http://192.0.2.10:2379 put '/coreos.com/network/subnets/{subnet}' '{lease}'"
    ));
}

/// Attaches a pod to the subnet that netd leased, detaches it, and removes all as README says.
fn attach_and_remove(machine: &Machine, netd: Service) {
    machine.write(CONFLIST, &block("\"type\": \"vxlan\""));
    let result = machine.ok(&by_hand("ADD", "vxlan", "pod1"));
    assert!(result.contains("\"10.244."), "{result}");
    machine.ok(&by_hand("DEL", "vxlan", "pod1"));
    machine.ok("ip netns del pod1");
    netd.stop();
    machine.ok(&block("--netd --yes"));
}

#[test]
fn across_nodes_as_in_the_readme() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let etcd = machine.etcd();
    let before = machine.inventory();
    machine.install();
    let netd = netd(&machine, &block("/coreos.com/network/config"));
    peer(
        &machine,
        "10.244.250.0-24",
        r#"{"PublicIP": "192.0.2.20", "BackendType": "vxlan",
            "BackendData": {"VNI": 1, "VtepMAC": "aa:bb:cc:00:00:20"}}"#,
    );
    machine.wait_for("ip route show dev flannel.1 | grep -F 10.244.250.0/24");
    machine.ok("iptables -t nat -S FLANNEL-POSTRTG; iptables -S FLANNEL-FWD");
    attach_and_remove(&machine, netd);
    machine.assert_as(&before);
    drop(etcd);
}

#[test]
fn across_nodes_with_both_families_and_without_masquerading() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let etcd = machine.etcd();
    let before = machine.inventory();
    machine.install();
    let readme = block("/coreos.com/network/config")
        .replace(
            r#"{"Network": "10.244.0.0/16","#,
            r#"{"Network": "10.244.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:244::/48","#,
        )
        .replace(
            r#""Type": "vxlan""#,
            r#""Type": "vxlan", "DirectRouting": true"#,
        )
        .replace(" -ip-masq", "");
    let netd = netd(&machine, &readme);
    peer(
        &machine,
        "10.244.250.0-24&fd00:244:0:fa::-64",
        r#"{"PublicIP": "192.0.2.20", "PublicIPv6": "2001:db8::20", "BackendType": "vxlan",
            "BackendData": {"VNI": 1, "VtepMAC": "aa:bb:cc:00:00:20"},
            "BackendV6Data": {"VNI": 1, "VtepMAC": "aa:bb:cc:00:00:60"}}"#,
    );
    machine.wait_for("ip -4 route show proto 112 | grep -F 'via 192.0.2.20'");
    machine.wait_for("ip -6 route show proto 112 | grep -F 'via 2001:db8::20'");
    machine.ok("ip link show flannel-v6.1; ip6tables -S FLANNEL-FWD");
    let masquerading = machine.run("iptables -t nat -S FLANNEL-POSTRTG");
    assert!(!masquerading.status.success());
    attach_and_remove(&machine, netd);
    machine.assert_as(&before);
    drop(etcd);
}

/// README's way back, to the reference plugins that Debian 12 has.
fn go_back(machine: &Machine) {
    assert!(
        Path::new("/usr/lib/cni/bridge").exists(),
        "package containernetworking-plugins is missing"
    );
    machine.ok(&block("sha512sum"));
}

#[test]
fn going_back_to_the_reference_plugins() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.install();
    let one_range = r#"[{ "subnet": "10.22.0.0/16" }]"#;
    let both_families = format!(r#"{one_range}, [{{ "subnet": "fd00:22::/64" }}]"#);
    let conflist = block("\"name\": \"podnet\"").replace(one_range, &both_families);
    machine.write(CONFLIST, &conflist);
    let before = machine.inventory();
    for pod in ["pod1", "pod2"] {
        machine.ok(&by_hand("ADD", "bridge", pod));
    }
    go_back(&machine);
    for name in ["podwire", "vxlan", "host-gw"] {
        assert!(!Path::new("/opt/cni/bin").join(name).exists(), "{name}");
    }
    machine.ok("cmp /opt/cni/bin/bridge /usr/lib/cni/bridge");
    for pod in ["pod1", "pod2"] {
        machine.ok(&by_hand("DEL", "bridge", pod));
        machine.ok(&format!("ip netns del {pod}"));
    }
    let after = machine.inventory();
    for kind in ["iptables", "ip6tables"] {
        assert_eq!(after[kind], before[kind]);
    }
    let links = machine.ok("ip -br link | grep -c ^veth || true");
    assert_eq!(links, "0\n");
    let reservations = machine.ok("find /var/lib/cni/networks/podnet -name '[0-9a-f]*[.:]*'");
    assert_eq!(reservations, "");
    // The reference attaches from there on.
    let result = machine.ok(&by_hand("ADD", "bridge", "pod3"));
    assert!(result.contains("\"10.22.0.4/16\""), "{result}");
    machine.ok(&by_hand("DEL", "bridge", "pod3"));
    machine.ok("ip netns del pod3");
}

#[test]
fn going_back_to_flannels_plugin() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.install();
    fs::create_dir("/run/flannel").unwrap();
    machine.write(
        "/run/flannel/subnet.env",
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n\
         FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n",
    );
    machine.write(CONFLIST, &block("\"type\": \"vxlan\""));
    for pod in ["pod1", "pod2"] {
        machine.ok(&by_hand("ADD", "vxlan", pod));
    }
    go_back(&machine);
    let conflist = fs::read_to_string(CONFLIST).unwrap();
    assert!(
        conflist.contains(r#""type": "flannel""#) && !conflist.contains("vxlan"),
        "{conflist}"
    );
    // flannel's plugin reads what ours wrote, and passes it to bridge, which is the reference's now.
    machine.ok(
        "CNI_COMMAND=DEL CNI_CONTAINERID=pod1 CNI_NETNS=/run/netns/pod1 CNI_IFNAME=eth0 \
         CNI_PATH=/opt/cni/bin /opt/cni/bin/bridge </var/lib/cni/flannel/pod1",
    );
    // Until flannel's own is put there, ours goes on.
    machine.ok(&by_hand("DEL", "flannel", "pod2"));
    let links = machine.ok("ip -br link | grep -c ^veth || true");
    assert_eq!(links, "0\n");
    let reservations = machine.ok("find /var/lib/cni/networks/cbr0 -name '10.244.*'");
    assert_eq!(reservations, "");
    machine.ok("ip netns del pod1; ip netns del pod2");
}

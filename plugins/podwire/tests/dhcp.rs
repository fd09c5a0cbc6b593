//! `dhcp` and its daemon with real servers: busybox's, whose leases may last seconds, dnsmasq and Kea.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::Ipv4Addr,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use kernel::testing::is_installed;
use serde_json::{Value, json};

use support::{
    answer,
    lan::{Lan, RECORDS, SOCKET, address, config, is_up, listens, records, sh, text, until},
};

/// The kept lease's address and server as they stand in its file.
fn kept(what: &str) -> Value {
    records()
        .first()
        .map(|record| record["lease"][what].clone())
        .unwrap_or_default()
}

fn asked() -> u64 {
    let records = records();
    records
        .first()
        .and_then(|record| record["asked"]["ms"].as_u64())
        .unwrap_or_default()
}

/// Milliseconds, as leases are dated.
fn since_boot() -> u64 {
    let uptime = text("/proc/uptime");
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    (seconds * 1000.0) as u64
}

/// The one file with a lease.
fn file_of_the_lease() -> PathBuf {
    let mut files = fs::read_dir(RECORDS)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (Some(file), None) = (files.next(), files.next()) else {
        panic!("not one file in {RECORDS}");
    };
    file
}

/// Writes the lease's file anew, with a change.
fn change_the_lease(change: impl FnOnce(&mut Value)) {
    let file = file_of_the_lease();
    let mut record = records().remove(0);
    change(&mut record);
    fs::write(file, record.to_string()).unwrap();
}

/// ADD's result, of a daemon with these flags that was killed behind it.
fn leased_while_a_daemon_lived(lan: &mut Lan, flags: &str) -> Value {
    let daemon = lan.daemon(flags);
    let result = lan.add("pod");
    lan.kill(daemon);
    result
}

fn with(config: &Value, changes: Value) -> Value {
    let mut config = config.clone();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Of `serve`'s addresses, which the server says it has `leased`.
fn many_pods_have_an_address_each(
    serve: impl FnOnce(&mut Lan) -> usize,
    leased: impl Fn() -> BTreeSet<Ipv4Addr>,
) {
    let Some(mut lan) = Lan::new() else { return };
    let pods: Vec<String> = (0..16).map(|number| format!("pod{number}")).collect();
    pods.iter().for_each(|pod| lan.pod(pod));
    serve(&mut lan);
    let daemon = lan.daemon("");
    let plugin = lan.node.plugin("dhcp");
    let all = |order: &str| -> Vec<support::Answer> {
        let calls = pods
            .iter()
            .map(|pod| lan.start_call(&plugin, order, pod, &config()));
        let calls: Vec<_> = calls.collect();
        calls
            .into_iter()
            .map(|call| answer(call).success())
            .collect()
    };
    let results: Vec<Value> = all("ADD").iter().map(support::Answer::json).collect();
    let addresses: BTreeSet<_> = results.iter().map(address).collect();
    assert_eq!(addresses.len(), pods.len(), "{addresses:?}");
    let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "lan.test" });
    assert_eq!(results[0]["dns"], dns);
    // A server writes its file anew with each renewal.
    until("the server knows all leases", || leased() == addresses);
    assert_eq!(records().len(), pods.len());
    let status = text(&format!("/proc/{}/status", lan.id(daemon)));
    assert!(status.contains("Threads:\t1\n"), "{status}");
    let before: BTreeMap<_, _> = records().iter().map(dated).collect();
    until("every lease is renewed", || {
        let now = records();
        now.len() == pods.len() && now.iter().map(dated).all(|(whose, ms)| ms > before[&whose])
    });
    all("CHECK");
    all("DEL");
    until("the server has no lease left", || leased().is_empty());
    assert_eq!(records(), [] as [Value; 0]);
    all("DEL");
}

/// Whose a record is, and when it was asked for.
fn dated(record: &Value) -> (String, u64) {
    let asked = record["asked"]["ms"].as_u64().unwrap();
    (record["key"].to_string(), asked)
}

#[test]
fn dnsmasq_gives_many_pods_at_once_an_address_each_and_hears_of_their_end() {
    many_pods_have_an_address_each(
        |lan| lan.dnsmasq("50,10.88.0.120"),
        || {
            let leases = text("/run/dnsmasq.leases");
            let addresses = leases.lines().filter_map(|line| line.split(' ').nth(2));
            addresses
                .filter_map(|address| address.parse().ok())
                .collect()
        },
    );
}

#[test]
fn kea_gives_many_pods_at_once_an_address_each_and_hears_of_their_end() {
    if !is_installed("/usr/sbin/kea-dhcp4", "kea-dhcp4-server") {
        return;
    }
    many_pods_have_an_address_each(
        |lan| lan.kea("50,10.88.0.120"),
        || {
            let mut leased = BTreeSet::new();
            // The last line of an address counts; one that was released lasts no time.
            for line in text("/run/kea/leases").lines().skip(1) {
                let fields: Vec<&str> = line.split(',').collect();
                let [address, _, _, seconds, ..] = fields[..] else {
                    continue;
                };
                let Ok(address) = address.parse() else {
                    continue;
                };
                match seconds {
                    "0" => leased.remove(&address),
                    _ => leased.insert(address),
                };
            }
            leased
        },
    );
}

#[test]
fn a_killed_daemon_s_leases_are_kept_by_the_next_one() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 4");
    let daemon = lan.daemon("");
    let result = lan.add("pod");
    let file = fs::read_dir("/run/podwire/dhcp/run-cni-dhcp.sock").unwrap();
    for entry in file {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    lan.kill(daemon);
    assert!(Path::new(SOCKET).exists());
    let before = asked();
    let daemon = lan.daemon("");
    assert_eq!(lan.add("pod"), result);
    until("the lease is renewed", || asked() > before);
    let checked = with(&config(), json!({ "prevResult": result }));
    lan.call("CHECK", "pod", &checked).success();
    assert_eq!(lan.terminate(daemon), Some(0), "{}", lan.log(daemon));
    assert!(!Path::new(SOCKET).exists());
    assert_eq!(records().len(), 1);
    // Nobody keeps it now: DEL succeeds, and who starts later finds the interface gone.
    lan.del("pod");
    sh("ip -n pod link del eth0");
    let daemon = lan.daemon("");
    until("the lease is dropped", || records().is_empty());
    assert!(
        lan.log(daemon).contains("lease dropped"),
        "{}",
        lan.log(daemon)
    );
}

/// The next namespace may have its path and its number.
#[test]
fn a_namespace_that_got_the_number_of_a_former_one_is_another_one() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 3600");
    leased_while_a_daemon_lived(&mut lan, "");
    if records()[0]["cookie"].is_null() {
        return eprintln!("skipped: needs SO_NETNS_COOKIE (Linux 5.14)");
    }
    let index = || sh("ip netns exec pod cat /sys/class/net/eth0/ifindex");
    let before = index();
    sh("ip link del p-pod; ip netns del pod");
    lan.pod("pod");
    assert_eq!(index(), before);
    let there = fs::metadata("/run/netns/pod").unwrap();
    change_the_lease(|record| {
        record["inode"] = there.ino().into();
        record["device"] = there.dev().into();
    });
    let daemon = lan.daemon("");
    until("the lease is dropped", || records().is_empty());
    let log = lan.log(daemon);
    assert!(log.contains("interface \"eth0\" is gone"), "{log}");
    assert!(is_up("pod"));
}

/// Whatever path and numbers a namespace has after the machine was started anew, it is another one.
#[test]
fn a_lease_of_another_boot_is_dropped() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 3600");
    leased_while_a_daemon_lived(&mut lan, "");
    change_the_lease(|record| record["asked"]["boot"] = "another".into());
    let daemon = lan.daemon("");
    until("the lease is dropped", || records().is_empty());
    let log = lan.log(daemon);
    assert!(log.contains("the machine was started anew"), "{log}");
    assert!(is_up("pod"));
}

/// As after a clock's step back, which would make a lease live on.
#[test]
fn a_lease_of_unknown_age_is_asked_for_anew() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    let server = lan.udhcpd("opt lease 3600");
    let result = leased_while_a_daemon_lived(&mut lan, "-timeout 1s");
    let is_forgotten: fn(&mut Value) = |record| record["asked"] = json!(null);
    let is_to_come: fn(&mut Value) = |record| record["asked"]["ms"] = json!(u64::MAX);
    for change in [is_forgotten, is_to_come] {
        change_the_lease(change);
        let daemon = lan.daemon("-timeout 1s");
        until("it is had again", || (1..u64::MAX).contains(&asked()));
        assert_eq!(lan.add("pod"), result);
        lan.kill(daemon);
    }
    lan.kill(server);
    change_the_lease(is_forgotten);
    lan.daemon("-timeout 1s");
    until("the interface is down", || !is_up("pod"));
    until("the lease is forgotten", || records().is_empty());
}

/// Reading the memory of a process at its beginning fails with EIO, as a bad disk does.
#[test]
fn a_lease_that_cannot_be_read_stays() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 3600");
    let result = leased_while_a_daemon_lived(&mut lan, "");
    let (file, before) = (file_of_the_lease(), asked());
    let shown = file.display();
    sh(&format!(
        "mount --bind /proc/{}/mem {shown}",
        std::process::id()
    ));
    let daemon = lan.daemon("");
    until("the daemon tells of the lease", || {
        let log = lan.log(daemon);
        log.contains("cannot read a lease: nobody renews it")
    });
    lan.kill(daemon);
    sh(&format!("umount {shown}"));
    let daemon = lan.daemon("");
    assert_eq!((lan.add("pod"), asked()), (result, before));
    lan.kill(daemon);
    // It goes with its attachment.
    fs::write(&file, "").unwrap();
    lan.daemon("");
    let aside = format!("{shown}.broken");
    until("the broken lease is put aside", || {
        !file.exists() && Path::new(&aside).exists()
    });
    fs::write(&file, "").unwrap();
    lan.del("pod");
    assert!(!file.exists());
}

#[test]
fn a_lease_that_ran_out_while_nobody_kept_it_is_had_again_or_the_interface_goes_down() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    let server = lan.udhcpd("opt lease 2");
    leased_while_a_daemon_lived(&mut lan, "-timeout 2s");
    let (before, end) = (asked(), asked() + 2000);
    until("it has run out", || since_boot() > end);
    let daemon = lan.daemon("-timeout 2s");
    until("it is had again", || asked() > before);
    lan.kill(daemon);
    lan.kill(server);
    let end = asked() + 2000;
    until("it has run out", || since_boot() > end);
    lan.daemon("-timeout 1s");
    until("the interface is down", || !is_up("pod"));
    until("the lease is forgotten", || records().is_empty());
}

#[test]
fn a_server_that_has_forgotten_everything_renews() {
    let Some(mut lan) = Lan::new() else { return };
    let server = lan.dnsmasq("50,10.88.0.120");
    lan.daemon("");
    lan.node.world.pod("pod");
    let config = with(&config(), json!({ "type": "bridge", "bridge": "lan0" }));
    let bridge = lan.node.plugin("bridge");
    answer(lan.start_call(&bridge, "ADD", "pod", &config)).success();
    lan.kill(server);
    let before = asked();
    lan.dnsmasq("50,10.88.0.120");
    until("the lease is renewed", || asked() > before);
    let address = kept("address");
    let address = address.as_str().unwrap();
    assert!(text("/run/dnsmasq.leases").contains(address));
    assert!(sh("ip -n pod addr show eth0").contains(address));
    // Nobody has told the server that its answer came to nobody.
    let counters = sh("ip netns exec pod cat /proc/net/snmp");
    let lines: Vec<&str> = counters
        .lines()
        .filter(|line| line.starts_with("Icmp:"))
        .collect();
    let column = lines[0]
        .split(' ')
        .position(|name| name == "OutDestUnreachs")
        .unwrap();
    assert_eq!(lines[1].split(' ').nth(column), Some("0"));
}

#[test]
fn another_server_may_extend_a_lease_whose_own_is_gone() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    let server = lan.udhcpd("opt lease 6");
    lan.daemon("");
    lan.add("pod");
    assert_eq!(kept("server"), "10.88.0.1");
    lan.kill(server);
    sh("ip addr del 10.88.0.1/24 dev lan0; ip addr add 10.88.0.2/24 dev lan0");
    let mac = sh("ip netns exec pod cat /sys/class/net/eth0/address");
    lan.udhcpd(&format!(
        "opt lease 60\nstatic_lease {} 10.88.0.50",
        mac.trim()
    ));
    until("the other server keeps it", || {
        kept("server") == "10.88.0.2"
    });
    assert_eq!(kept("address"), "10.88.0.50");
    assert!(is_up("pod"));
}

#[test]
fn a_server_s_refusal_ends_the_use_of_the_address() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    let server = lan.dnsmasq("50,10.88.0.120");
    let daemon = lan.daemon("-timeout 1s");
    lan.add("pod");
    lan.kill(server);
    lan.dnsmasq("130,10.88.0.140");
    until("the interface is down", || !is_up("pod"));
    until("the lease is forgotten", || records().is_empty());
    let log = lan.log(daemon);
    assert!(log.contains("refuses to renew"), "{log}");
    let (_, text) = lan.call("CHECK", "pod", &config()).error();
    assert!(text.contains("no lease for pod/lan/eth0"), "{text}");
}

#[test]
fn a_lease_that_nobody_renews_ends_with_the_interface_down() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    let server = lan.udhcpd("opt lease 3");
    lan.daemon("-timeout 500ms");
    lan.add("pod");
    lan.kill(server);
    until("the interface is down", || !is_up("pod"));
    until("the lease is forgotten", || records().is_empty());
    lan.del("pod");
    // A new ADD sets it up again, with a new lease.
    lan.udhcpd("opt lease 60");
    lan.add("pod");
    assert!(is_up("pod"));
}

#[test]
fn a_kept_lease_does_not_keep_its_pod() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 4");
    let daemon = lan.daemon("");
    lan.add("pod");
    sh("ip netns del pod");
    until("the namespace is gone with its links", || {
        !sh("ip link").contains("p-pod")
    });
    until("the lease is forgotten", || records().is_empty());
    assert!(
        lan.log(daemon).contains("lease dropped"),
        "{}",
        lan.log(daemon)
    );
    lan.del("pod");
}

#[test]
fn gc_gives_back_what_no_attachment_has() {
    let Some(mut lan) = Lan::new() else { return };
    lan.dnsmasq("50,10.88.0.120");
    lan.daemon("");
    for pod in ["a", "b"] {
        lan.pod(pod);
        lan.add(pod);
    }
    let gc = |name: &str, valid: Value| {
        let changes = json!({ "name": name, "cni.dev/valid-attachments": valid });
        lan.call("GC", "", &with(&config(), changes)).success();
    };
    gc("other", json!([]));
    assert_eq!(records().len(), 2);
    gc("lan", json!([{ "containerID": "b", "ifname": "eth0" }]));
    assert_eq!(records().len(), 1);
    until("the server has one lease", || {
        text("/run/dnsmasq.leases").lines().count() == 1
    });
}

/// DEL of an interface plugin tells the server before the interface is gone.
fn is_released_by(plugin: &str, more: Value, prepare: &str) {
    let Some(mut lan) = Lan::new() else { return };
    lan.dnsmasq("50,10.88.0.120");
    lan.daemon("");
    lan.node.world.pod("pod");
    sh(prepare);
    let config = with(&config(), json!({ "type": plugin }));
    let config = with(&config, more);
    let executable = lan.node.plugin(plugin);
    let call = |order: &str, config: &Value| {
        answer(lan.start_call(&executable, order, "pod", config)).success()
    };
    let result = call("ADD", &config).json();
    let leased = address(&result).to_string();
    assert!(sh("ip -n pod addr show eth0").contains(&leased));
    assert!(sh("ip -n pod route").contains("default via 10.88.0.1"));
    sh("ip netns exec pod ping -c 1 -W 5 10.88.0.1");
    let config = with(&config, json!({ "prevResult": result }));
    call("CHECK", &config);
    assert!(text("/run/dnsmasq.leases").contains(&leased));
    for _ in 0..2 {
        call("DEL", &config);
    }
    assert!(!sh("ip -n pod link").contains("eth0"));
    until("the server has the address back", || {
        text("/run/dnsmasq.leases").is_empty()
    });
}

#[test]
fn under_bridge_the_address_goes_back_before_the_interface_goes() {
    is_released_by("bridge", json!({ "bridge": "lan0" }), "true");
}

#[test]
fn under_macvlan_the_address_goes_back_before_the_interface_goes() {
    let prepare = "ip link add m0 up type veth peer name m1; ip link set m1 master lan0 up";
    is_released_by("macvlan", json!({ "master": "m0" }), prepare);
}

#[test]
fn classless_routes_of_the_server_are_in_the_pod_also_those_without_a_router() {
    let Some(mut lan) = Lan::new() else { return };
    lan.udhcpd("opt lease 3600\nopt staticroutes 10.99.1.0/24 10.88.0.9, 172.16.0.0/16 0.0.0.0");
    lan.daemon("");
    lan.node.world.pod("pod");
    let config = with(&config(), json!({ "type": "bridge", "bridge": "lan0" }));
    let executable = lan.node.plugin("bridge");
    let call = |order: &str, config: &Value| {
        answer(lan.start_call(&executable, order, "pod", config)).success()
    };
    let result = call("ADD", &config).json();
    let routes = sh("ip -n pod route");
    assert!(
        routes.contains("10.99.1.0/24 via 10.88.0.9 dev eth0"),
        "{routes}"
    );
    assert!(
        routes.contains("172.16.0.0/16 dev eth0 scope link"),
        "{routes}"
    );
    assert!(!routes.contains("default"), "{routes}");
    let config = with(&config, json!({ "prevResult": result }));
    call("CHECK", &config);
    call("DEL", &config);
}

#[test]
fn plugin_and_daemon_may_be_of_two_suites() {
    let reference = Path::new("/usr/lib/cni/dhcp");
    if !is_installed(reference, "containernetworking-plugins") {
        return;
    }
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 3600\nopt staticroutes 10.99.1.0/24 10.88.0.9");
    let own = lan.node.plugin("dhcp");
    for daemon in [reference, &own] {
        let place = lan.start(&format!("{} daemon", daemon.display()));
        listens(SOCKET);
        let plugin = if daemon == reference {
            own.as_path()
        } else {
            reference
        };
        // The older of the two does not know 1.1.0.
        let config = with(&config(), json!({ "cniVersion": "1.0.0" }));
        let call = |order: &str| answer(lan.start_call(plugin, order, "pod", &config)).success();
        let result = call("ADD").json();
        assert_eq!(result["ips"][0]["address"], "10.88.0.50/24");
        let route = json!([{ "dst": "10.99.1.0/24", "gw": "10.88.0.9" }]);
        assert_eq!(result["routes"], route);
        call("CHECK");
        call("DEL");
        call("DEL");
        lan.kill(place);
        fs::remove_file(SOCKET).unwrap();
    }
}

#[test]
fn a_service_manager_s_socket_is_served_and_left() {
    if !is_installed("systemd-socket-activate", "systemd") {
        return;
    }
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 3600");
    fs::create_dir("/run/cni").unwrap();
    let program = lan.node.plugin("dhcp");
    let program = program.display();
    let manager = lan.start(&format!(
        "systemd-socket-activate -l {SOCKET} {program} daemon"
    ));
    until("the socket is there", || Path::new(SOCKET).exists());
    lan.add("pod");
    lan.del("pod");
    // It has become the daemon.
    assert_eq!(lan.terminate(manager), Some(0), "{}", lan.log(manager));
    assert!(
        Path::new(SOCKET).exists(),
        "the manager's socket is not the daemon's to remove"
    );
}

#[test]
fn strangers_at_the_socket_and_on_the_link_do_no_harm() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.udhcpd("opt lease 3600");
    lan.daemon("");
    let say = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(SOCKET).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        // Whoever is not understood may be hung up on.
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    };
    assert!(say(b"GET / HTTP/1.0\r\n\r\n").contains("405"));
    assert_eq!(
        say(b"CONNECT /_goRPC_ HTTP/1.0\n\n"),
        "HTTP/1.0 200 Connected to Go RPC\n\n"
    );
    say(b"CONNECT /_goRPC_ HTTP/1.0\n\n\xf8\xff\xff\xff\xff\xff\xff\xff\xff");
    say(b"CONNECT /_goRPC_ HTTP/1.0\n\n\x05hello");
    say(&[0; 9000]);
    // Broadcast datagrams to every client, all that short ones can hold.
    let noise = lan.start(
        "perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0); setsockopt(S, SOL_SOCKET, SO_BROADCAST, 1); \
         setsockopt(S, SOL_SOCKET, SO_BINDTODEVICE, \"lan0\"); $to = sockaddr_in(68, INADDR_BROADCAST); \
         for ($n = 0;; $n++) { $d = pack(\"C*\", map { int rand 256 } 1 .. $n % 400); \
         substr($d, 0, 3) = \"\\2\\1\\6\" if $n & 1 and length $d > 3; \
         substr($d, 236, 4) = \"\\x63\\x82\\x53\\x63\" if $n & 2 and length $d > 240; send(S, $d, 0, $to) }'",
    );
    for _ in 0..3 {
        assert_eq!(address(&lan.add("pod")).to_string(), "10.88.0.50");
        lan.del("pod");
    }
    lan.kill(noise);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let Some(mut lan) = Lan::new() else { return };
    let ended = |lan: &mut Lan, flags: &str| {
        let program = lan.node.plugin("dhcp");
        let script = format!(
            "{} daemon {flags} 2>&1 || echo status $?",
            program.display()
        );
        sh(&script)
    };
    for (flags, words, status) in [
        (
            "-pidfile rel",
            "Error writing pidfile \"rel\": path not absolute\n",
            1,
        ),
        (
            "-bogus",
            "flag provided but not defined: -bogus\nUsage of daemon:\n",
            2,
        ),
        (
            "-timeout x",
            "invalid value \"x\" for flag -timeout: parse error\n",
            2,
        ),
    ] {
        let text = ended(&mut lan, flags);
        assert!(text.starts_with(words), "{text}");
        assert!(text.ends_with(&format!("status {status}\n")), "{text}");
    }
    let help = ended(&mut lan, "--help");
    assert!(
        help.contains("  -resendtimeout duration\n") && !help.contains("status"),
        "{help}"
    );
    let daemon = lan.daemon("-pidfile /run/dhcp.pid");
    assert_eq!(text("/run/dhcp.pid"), lan.id(daemon).to_string());
    let second = ended(&mut lan, "");
    assert!(second.contains("is served by another daemon"), "{second}");
    assert_eq!(lan.terminate(daemon), Some(0));
    assert!(!Path::new("/run/dhcp.pid").exists());
    fs::write(SOCKET, "not a socket").unwrap();
    let blocked = ended(&mut lan, "");
    assert!(
        blocked.contains("/run/cni/dhcp.sock is there and is no socket"),
        "{blocked}"
    );
}

#[test]
fn without_a_daemon_status_says_so_and_del_succeeds() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.del("pod");
    let answer = lan.call("STATUS", "pod", &config());
    let (code, text) = answer.error();
    assert_eq!((code, text.as_str()), (50, "dhcp cannot get addresses"));
    let why = "error dialing DHCP daemon: dial unix /run/cni/dhcp.sock: connect: no such file or directory; \
        no daemon listens there: `systemctl enable --now cni-dhcp.socket cni-dhcp.service` starts it, or by hand \
        `dhcp daemon`";
    assert_eq!(answer.json()["details"], why);
    assert_eq!(
        lan.call("ADD", "pod", &config()).error(),
        (999, why.to_owned())
    );
    lan.daemon("");
    lan.call("STATUS", "pod", &config()).success();
}

#[test]
fn a_plugin_that_is_killed_leaves_nothing_that_del_does_not_end() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    let daemon = lan.daemon("");
    let mut call = lan.start_call(&lan.node.plugin("dhcp"), "ADD", "pod", &config());
    until("the daemon asks", || {
        lan.log(daemon).contains("acquiring lease")
    });
    call.kill().unwrap();
    call.wait().unwrap();
    // No server: it would ask for minutes.
    lan.del("pod");
    lan.udhcpd("opt lease 3600");
    lan.add("pod");
    assert_eq!(records().len(), 1);
}

#[test]
fn each_line_of_the_log_is_an_object_when_asked_for() {
    let Some(mut lan) = Lan::new() else { return };
    lan.pod("pod");
    lan.dnsmasq("50,10.88.0.60");
    let daemon = lan.daemon("-log-format=json");
    lan.add("pod");
    lan.del("pod");
    assert_eq!(lan.terminate(daemon), Some(0));
    let log = lan.log(daemon);
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found = |message: &str| lines.iter().find(|line| line["message"] == message);
    let leased = found("acquiring lease").unwrap();
    assert_eq!(leased["level"], "info");
    assert_eq!(leased["fields"]["lease"], "pod/lan/eth0");
    assert!(found("stopping; leases stay").is_some(), "{log}");
    // Also what it dies of, whatever else is told.
    fs::write("/run/nowhere", "").unwrap();
    let program = lan.node.plugin("dhcp");
    let flags = "-log-format=json -leasedir /run/nowhere";
    for level in ["info", "off"] {
        let command = format!(
            "env PODWIRE_LOG={level} {} daemon {flags}",
            program.display()
        );
        let failed = lan.start(&command);
        assert_eq!(lan.ended(failed), Some(1));
        let last: Value = serde_json::from_str(lan.log(failed).trim()).unwrap();
        assert_eq!(last["level"], "error");
        assert!(last["time"].is_string() && last["fields"].is_object());
        let message = last["message"].as_str().unwrap();
        assert!(
            message.contains("cannot keep leases in /run/nowhere"),
            "{message}"
        );
    }
}

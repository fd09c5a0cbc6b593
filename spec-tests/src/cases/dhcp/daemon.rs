//! dhcp: the daemon that holds the leases, and how the plugin reaches it.

use std::path::Path;

use crate::cases::{dhcp::lan::*, dhcp::messages::*, prelude::*, sight::*};

/// Where a daemon may listen beside the usual place.
const ELSEWHERE: &str = "/run/elsewhere/d.sock";

/// A call of this command without a daemon fails and names the socket.
fn misses_the_daemon(bench: &mut Bench, command: &str) -> Result<(), Failure> {
    cable(bench, "pod")?;
    server(bench, USUAL)?;
    let config = bench.config();
    let reply = bench.call(command, &config).reply()?;
    complains(&reply, &["dhcp daemon", SOCKET])
}

submit!(Case {
    id: "dhcp/daemon/01",
    rule: "Without the daemon ADD fails and names the socket.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Skip("ADD")
    ],
    run: |bench| misses_the_daemon(bench, "ADD"),
    ..DHCP
});

submit!(Case {
    id: "dhcp/daemon/02",
    rule: "Without the daemon CHECK fails and names the socket.",
    versions: CHECKED,
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Skip("CHECK")
    ],
    run: |bench| misses_the_daemon(bench, "CHECK"),
    ..DHCP
});

submit!(Case {
    id: "dhcp/daemon/03",
    rule: "A daemon that is gone fails ADD although its socket's file is still there.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Skip("ADD")
    ],
    run: |bench| {
        cable(bench, "pod")?;
        bench.run("mkdir", &["-p", "/run/cni"])?;
        bench.write(SOCKET, "")?;
        refuses_add(bench, json!({}), &["dhcp daemon", SOCKET])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/daemon/04",
    rule: "The daemon makes its socket's directory for root alone.",
    faults: &[Fault::After("ADD", "chmod 755 /run/cni")],
    run: |bench| {
        lan(bench, USUAL)?;
        let config = bench.config();
        bench.add(&config)?;
        let mode = bench.watch("stat", &["-c", "%a", "/run/cni"])?;
        expect("mode of /run/cni", &"700", &mode.trim())
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/daemon/05",
    rule: "The daemon writes its process id where -pidfile says.",
    faults: &[
        Fault::After("ADD", "rm /run/dhcp.pid"),
        Fault::After("ADD", "echo 1 > /run/dhcp.pid")
    ],
    run: |bench| {
        cable(bench, "pod")?;
        server(bench, USUAL)?;
        daemon(bench, SOCKET, &["-pidfile", "/run/dhcp.pid"])?;
        let config = bench.config();
        bench.add(&config)?;
        let id = text("/run/dhcp.pid");
        let command = text(&format!("/proc/{}/cmdline", id.trim()));
        expect_that(
            command.contains("\0daemon\0"),
            "the process of the pidfile is the daemon",
            format!("{id}: {command}"),
        )
    },
    ..DHCP
});

/// A process that takes the daemon's place in the pidfile and cleans up behind it.
const CLEANS_UP: &str = r#"
    daemon=$(cat /run/dhcp.pid)
    sh -c 'trap "kill $0; rm -f /run/cni/dhcp.sock /run/dhcp.pid; exit" TERM
        echo $$ >/run/new.pid; mv /run/new.pid /run/dhcp.pid
        while sleep 0.02; do :; done' $daemon &
    while [ "$(cat /run/dhcp.pid)" = $daemon ]; do sleep 0.02; done"#;

submit!(Case {
    id: "dhcp/daemon/06",
    rule: "A daemon that is ended by SIGTERM removes its socket and its pidfile.",
    // What is mounted on cannot be removed.
    faults: &[
        Fault::After("ADD", "mount --bind /run/cni/dhcp.sock /run/cni/dhcp.sock"),
        Fault::After("ADD", "mount --bind /run/dhcp.pid /run/dhcp.pid"),
    ],
    repairs: &[Fault::After("ADD", CLEANS_UP)],
    run: |bench| {
        cable(bench, "pod")?;
        server(bench, USUAL)?;
        daemon(bench, SOCKET, &["-pidfile", "/run/dhcp.pid"])?;
        let config = bench.config();
        bench.add(&config)?;
        let id = bench.read("/run/dhcp.pid")?;
        bench.run("kill", &["-TERM", id.trim()])?;
        let ended = bench.in_time(|_| text(&format!("/proc/{}/cmdline", id.trim())).is_empty());
        expect_that(ended, "the daemon has ended", text("/run/daemon.log"))?;
        expect("/run/cni", &list(&[]), &files("/run/cni"))?;
        expect_that(
            !Path::new("/run/dhcp.pid").exists(),
            "the pidfile is gone",
            text("/run/dhcp.pid"),
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/status/01",
    rule: "STATUS fails with code 50 while no daemon listens, since ADD would fail.",
    level: Level::Must,
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::PlainError),
        Fault::On("STATUS", &Fault::Code(999)),
        Fault::Fail("STATUS")
    ],
    repairs: &[
        Fault::On("VERSION", &Fault::Result("/supportedVersions/-", "1.1.0")),
        Fault::Instead("STATUS", "[ -S /run/cni/dhcp.sock ]"),
        Fault::On("STATUS", &Fault::Code(50)),
    ],
    run: |bench| {
        let config = bench.config();
        status(bench, &config)?.fails_with(50)?;
        daemon(bench, SOCKET, &[])?;
        status(bench, &config)?.succeeds_silently()
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/socket/01",
    rule: "daemonSocketPath names the socket of a daemon that listens elsewhere.",
    faults: &[Fault::Config("/ipam/daemonSocketPath", "")],
    run: |bench| {
        cable(bench, "pod")?;
        server(bench, USUAL)?;
        daemon(bench, ELSEWHERE, &["-socketpath", ELSEWHERE])?;
        let config = with(
            bench,
            json!({ "ipam": { "type": "dhcp", "daemonSocketPath": ELSEWHERE } }),
        );
        let result = bench.add(&config)?;
        expect(
            "address",
            &json!("10.88.0.50/24"),
            &result["ips"][0]["address"],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/socket/02",
    rule: "A daemonSocketPath where nobody listens fails and is named, whoever listens at the usual place.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/daemonSocketPath", "")],
    run: |bench| {
        lan(bench, USUAL)?;
        refuses_add(
            bench,
            json!({ "ipam": { "type": "dhcp", "daemonSocketPath": ELSEWHERE } }),
            &["dhcp daemon", ELSEWHERE],
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/hostprefix/01",
    rule: "A daemon with -hostprefix listens and looks for namespaces below that directory.",
    faults: &[
        Fault::Before("ADD", "umount /run/host/run/netns/there"),
        Fault::Config("/ipam/daemonSocketPath", "")
    ],
    run: |bench| {
        cable(bench, "pod")?;
        server(bench, USUAL)?;
        bench.run("mkdir", &["-p", "/run/host/run/netns"])?;
        bench.write("/run/host/run/netns/there", "")?;
        bench.run(
            "mount",
            &["--bind", "/run/netns/pod", "/run/host/run/netns/there"],
        )?;
        let socket = format!("/run/host{SOCKET}");
        daemon(bench, &socket, &["-hostprefix", "/run/host"])?;
        let config = with(
            bench,
            json!({ "ipam": { "type": "dhcp", "daemonSocketPath": socket } }),
        );
        let result = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/there")
            .reply()?
            .result()?;
        expect(
            "address",
            &json!("10.88.0.50/24"),
            &result["ips"][0]["address"],
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/del/02",
    rule: "DEL succeeds again, and without a lease.",
    faults: &[Fault::Fail("DEL"), Fault::Once("DEL")],
    run: |bench| {
        lan(bench, USUAL)?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.add(&config)?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/del/03",
    rule: "DEL succeeds when the interface is gone, and the daemon serves others.",
    faults: &[
        Fault::Fail("DEL"),
        Fault::After("DEL", "kill $(cat /run/dhcp.pid)")
    ],
    run: |bench| outlives(bench, &["ip", "-n", "pod", "link", "del", "eth0"]),
    ..DHCP
});

submit!(Case {
    id: "dhcp/del/04",
    rule: "DEL succeeds when the namespace is gone, and the daemon serves others.",
    faults: &[
        Fault::Fail("DEL"),
        Fault::After("DEL", "kill $(cat /run/dhcp.pid)")
    ],
    run: |bench| outlives(bench, &["ip", "netns", "del", "pod"]),
    ..DHCP
});

/// After this damage to a pod with a lease, DEL succeeds, and another pod gets a lease.
fn outlives(bench: &mut Bench, damage: &[&str]) -> Result<(), Failure> {
    cable(bench, "pod")?;
    cable(bench, "other")?;
    server(bench, &format!("{USUAL}\nend 10.88.0.51"))?;
    daemon(bench, SOCKET, &["-pidfile", "/run/dhcp.pid"])?;
    let config = bench.config();
    bench.add(&config)?;
    bench.run(damage[0], &damage[1..])?;
    bench.call("DEL", &config).reply()?.succeeds_silently()?;
    let call = bench.call("ADD", &config).env("CNI_CONTAINERID", "other");
    call.env("CNI_NETNS", "/run/netns/other")
        .reply()?
        .succeeds()
}

submit!(Case {
    id: "dhcp/link/01",
    rule: "A link that is down at ADD is set up.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::Fail("ADD")
    ],
    run: |bench| {
        lan(bench, USUAL)?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "down"])?;
        let config = bench.config();
        bench.add(&config)?;
        let link = link(bench, "pod", "eth0")?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/renew/01",
    rule: "At half its time a lease is renewed, by the client that has it.",
    faults: &[
        Fault::After("ADD", "kill $(cat /run/dhcp.pid)"),
        Fault::Twice("ADD")
    ],
    run: |bench| {
        let renewal = renewed(bench, "opt subnet 255.255.255.0\nopt lease 4")?;
        expect("client's address", &LEASED, &renewal.client.as_str())
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/renew/02",
    rule: "The server's renewal time counts where it gives one.",
    faults: &[Fault::After("ADD", "kill $(cat /run/dhcp.pid)")],
    run: |bench| {
        let renewal = renewed(
            bench,
            "opt subnet 255.255.255.0\nopt lease 3600\nopt 58 00000001\nopt 59 00000002",
        )?;
        expect("client's address", &LEASED, &renewal.client.as_str())
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/renew/03",
    rule: "A lease is renewed although the pod gave its interface another name, and the old one to another link.",
    faults: &[Fault::After("ADD", "kill $(cat /run/dhcp.pid)")],
    run: |bench| {
        leased(bench, "opt subnet 255.255.255.0\nopt lease 4")?;
        for change in [
            "link set eth0 down",
            "link set eth0 name nic0",
            "link set nic0 up",
            "link add eth0 type bridge",
        ] {
            let words: Vec<&str> = ["-n", "pod"].into_iter().chain(change.split(' ')).collect();
            bench.run("ip", &words)?;
        }
        let renewal = renewal(bench)?;
        expect("client's address", &LEASED, &renewal.client.as_str())
    },
    ..WIRE
});

/// ADD from a server with these options; returns the first message of the renewal.
fn renewed(bench: &mut Bench, options: &str) -> Result<Message, Failure> {
    leased(bench, options)?;
    renewal(bench)
}

/// ADD from a server with these options, which is listened to.
fn leased(bench: &mut Bench, options: &str) -> Result<(), Failure> {
    cable(bench, "pod")?;
    server(bench, options)?;
    daemon(bench, SOCKET, &["-pidfile", "/run/dhcp.pid"])?;
    listen(bench)?;
    let config = bench.config();
    bench.add(&config).map(drop)
}

/// The first message of the renewal.
fn renewal(bench: &mut Bench) -> Result<Message, Failure> {
    Ok(heard(bench, REQUEST, 2)?.remove(1))
}

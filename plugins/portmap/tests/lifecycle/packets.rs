//! Real packets, where the conformance suite has no case.

use std::process::{Child, Command, Stdio};

use harness::{sh, succeeds};
use serde_json::{Value, json};

use crate::support::{Host, config, host, mapping, web, wire};

/// A server in a namespace that answers each connection with a word; it ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a command that says `x` when it is ready.
    fn start(command: &str) -> Self {
        #[allow(clippy::disallowed_methods, reason = "runs the workload")]
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0];
        let read = std::io::Read::read(child.stdout.as_mut().unwrap(), &mut said);
        let server = Self(child);
        assert_eq!((read.unwrap(), &said), (1, b"x"), "{command}");
        server
    }
}

/// Serves TCP on an address and port of a namespace, or of the host (`""`).
fn serve(namespace: &str, address: &str, port: u16) -> Server {
    let inside = match namespace {
        "" => String::new(),
        name => format!("ip netns exec {name} "),
    };
    let script = "use IO::Socket::IP; my $s = IO::Socket::IP->new(LocalHost => $ARGV[0], \
        LocalPort => $ARGV[1], Listen => 9, ReuseAddr => 1) or die; print \"x\\n\"; close STDOUT; \
        while (my $c = $s->accept) { print $c $c->peerhost, \"\\n\"; close $c }";
    Server::start(&format!("exec {inside}perl -e '{script}' {address} {port}"))
}

/// What the server there says of the client's address; empty where there is no answer.
fn ask(namespace: &str, address: &str, port: u16) -> String {
    let inside = match namespace {
        "" => String::new(),
        name => format!("ip netns exec {name} "),
    };
    let connect = format!("exec 3<>/dev/tcp/{address}/{port} && cat <&3");
    sh(&format!(
        "{inside}timeout 10 bash -c '{connect}' 2>/dev/null || true"
    ))
    .trim()
    .to_owned()
}

fn mapped(changes: Value) -> Option<Host> {
    let host = host()?;
    host.add(&config(web(), changes));
    Some(host)
}

#[test]
fn a_neighbour_of_the_subnet_reaches_a_mapped_port() {
    for backend in ["nftables", "iptables"] {
        crate::support::in_own_world(|host| {
            host.add(&config(web(), json!({ "backend": backend })));
            host.world.pod("neighbour");
            wire("neighbour", 9);
            let _server = serve("pod", "::", 80);
            assert_eq!(
                ask("neighbour", "10.22.0.1", 8080),
                "::ffff:10.22.0.1",
                "{backend}"
            );
            assert_eq!(
                ask("neighbour", "2001:db8:22::1", 8080),
                "2001:db8:22::1",
                "{backend}"
            );
            assert_eq!(
                ask("neighbour", "192.0.2.1", 8080),
                "::ffff:10.22.0.1",
                "{backend}"
            );
            // Directly they see each other.
            assert_eq!(
                ask("neighbour", "10.22.0.5", 80),
                "::ffff:10.22.0.9",
                "{backend}"
            );
            // Others keep their address.
            assert_eq!(
                ask("outside", "192.0.2.1", 8080),
                "::ffff:192.0.2.2",
                "{backend}"
            );
        });
    }
}

#[test]
fn localhost_of_ipv6_is_the_hosts_own() {
    for backend in ["nftables", "iptables"] {
        crate::support::in_own_world(|host| {
            host.add(&config(web(), json!({ "backend": backend })));
            let _server = serve("pod", "::", 80);
            assert_eq!(ask("", "127.0.0.1", 8080), "::ffff:10.22.0.1", "{backend}");
            // Refused at once, so that a client of `localhost` goes on to 127.0.0.1.
            assert_eq!(ask("", "localhost", 8080), "::ffff:10.22.0.1", "{backend}");
            assert!(
                succeeds("timeout 5 bash -c '! exec 3<>/dev/tcp/::1/8080'"),
                "{backend}: refused, not silent"
            );
            let _own = serve("", "::1", 8080);
            let said = ask("", "::1", 8080);
            assert_eq!(said, "::1", "{backend}: the host's own server");
        });
    }
}

/// Writes down every datagram that comes to 127.0.0.1 port 7777 of the host.
fn listen(heard: &str) -> Server {
    let script = "use IO::Socket::IP; my $s = IO::Socket::IP->new(LocalHost => q(127.0.0.1), \
        LocalPort => 7777, Proto => q(udp)) or die; print \"x\\n\"; close STDOUT; \
        while (defined $s->recv(my $text, 99)) { open(my $f, q(>>), $ARGV[0]); print $f $text; close $f }";
    Server::start(&format!("exec perl -e '{script}' {heard}"))
}

#[test]
fn what_listens_on_127_0_0_1_alone_hears_no_pod() {
    let Some(host) = mapped(json!({})) else {
        return;
    };
    assert_eq!(
        sh("cat /proc/sys/net/ipv4/conf/br0/route_localnet").trim(),
        "1"
    );
    // A pod that sends 127.0.0.1 by its default route.
    sh("ip -n pod route del table local 127.0.0.0/8 dev lo; ip -n pod route del table local 127.0.0.1 dev lo
        ip -n pod route add 127.0.0.1 via 10.22.0.1 src 10.22.0.5");
    let heard = host.world.dir().join("heard");
    let _listener = listen(heard.to_str().unwrap());
    let send = |word: &str| {
        sh(&format!(
            "ip netns exec pod bash -c 'printf {word} > /dev/udp/127.0.0.1/7777'"
        ));
    };
    send("guarded");
    sh("nft flush chain inet podwire_portmap guard");
    send("unguarded");
    sh(&format!(
        "until [ -s {} ]; do sleep 0.01; done",
        heard.display()
    ));
    assert_eq!(std::fs::read_to_string(heard).unwrap(), "unguarded");
}

#[test]
fn networks_have_each_their_conditions() {
    let Some(host) = host() else { return };
    let only = |address: &str| json!({ "conditionsV4": ["ip", "saddr", address] });
    host.add(&config(web(), only("192.0.2.2")));
    let second = json!([mapping(8081, 80, "tcp", "")]);
    let second = config(second, only("{ 192.0.2.7, 198.51.100.0/24 }"));
    host.add_with(&second, &crate::support::CTR2);
    let _server = serve("pod", "::", 80);
    assert_eq!(ask("outside", "192.0.2.1", 8080), "::ffff:192.0.2.2");
    assert_eq!(
        ask("outside", "192.0.2.1", 8081),
        "",
        "of the other network's condition"
    );
    assert_eq!(
        ask("outside", "2001:db8:ff::1", 8081),
        "2001:db8:ff::2",
        "not of IPv6"
    );
    sh(
        "ip -n outside addr add 192.0.2.7/24 dev eth0; ip -n outside route add 192.0.2.1 dev eth0 src 192.0.2.7",
    );
    assert_eq!(ask("outside", "192.0.2.1", 8081), "::ffff:192.0.2.7");
    assert_eq!(ask("outside", "192.0.2.1", 8080), "");
}

#[test]
fn another_ones_translations_are_not_masqueraded_unless_they_lead_here() {
    let Some(host) = mapped(json!({})) else {
        return;
    };
    host.world.pod("other");
    wire("other", 9);
    sh(
        "nft 'add table ip x; add chain ip x p { type nat hook prerouting priority -100; }; add rule ip x p tcp dport 5000 dnat to 10.22.0.9:80'",
    );
    let _server = serve("other", "::", 80);
    assert_eq!(ask("outside", "192.0.2.1", 5000), "::ffff:192.0.2.2");
}

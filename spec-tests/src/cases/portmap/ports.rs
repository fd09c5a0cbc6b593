//! Ports of the host that lead to a pod: servers, clients, and the rules of both backends.

use crate::cases::{chained::*, http, packets::*, prelude::*, sight::*};

/// Every case of portmap.
pub(in crate::cases) const PORTMAP: Case = Case {
    judges: Judges::Only(&["portmap"]),
    needs: &["iptables", "ip6tables", "busybox", "bash", "nft"],
    ..COMPAT
};

/// The nftables backend, laid over 1.1.1, which has none.
pub(in crate::cases) const NFTABLES: &[Fault] = &[
    Fault::Instead("ADD", NFTABLES_SCRIPT),
    Fault::Instead("DEL", NFTABLES_SCRIPT),
    Fault::Instead("CHECK", NFTABLES_SCRIPT),
];
const NFTABLES_SCRIPT: &str = include_str!("nftables.sh");

/// What keeps the rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cases) enum Backend {
    Iptables,
    Nftables,
}

impl Backend {
    /// As the configuration names it.
    pub(in crate::cases) fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }

    /// Conditions that leave a destination out, as this backend wants them.
    pub(in crate::cases) fn not_to(self, family: &str, destination: &str) -> Value {
        match self {
            Self::Iptables => json!(["!", "-d", destination]),
            Self::Nftables => json!([family, "daddr", "!=", destination]),
        }
    }

    /// Where packets are led: `10.88.0.5:80`, in the order of the rules, IPv4 first.
    pub(in crate::cases) fn targets(self, bench: &mut Bench) -> Result<Vec<String>, Failure> {
        let rules = match self {
            Self::Iptables => nat(bench)?,
            Self::Nftables => translations(bench)?,
        };
        let mut targets: Vec<String> = rules
            .lines()
            .flat_map(|rule| self.targets_of(rule))
            .collect();
        targets.sort_by_key(|target| target.starts_with('['));
        Ok(targets)
    }

    /// Those of a rule, or of the elements of a map.
    fn targets_of(self, rule: &str) -> Vec<String> {
        let before = match self {
            Self::Iptables => "--to-destination ",
            Self::Nftables => "dnat to ",
        };
        if let Some((_, behind)) = rule.split_once(before) {
            let target = behind.split_whitespace().next();
            return target.map(str::to_owned).into_iter().collect();
        }
        let element = |element: &str| {
            let (_, to) = element.trim_end_matches([' ', '}']).rsplit_once(" : ")?;
            let (address, port) = to.split_once(" . ")?;
            port.parse::<u16>().ok()?;
            Some(match address.contains(':') {
                true => format!("[{address}]:{port}"),
                false => format!("{address}:{port}"),
            })
        };
        rule.split(',').filter_map(element).collect()
    }
}

/// The rules and maps of nftables that are not iptables', in whatever table the plugin keeps them.
pub(in crate::cases) fn translations(bench: &mut Bench) -> Result<String, Failure> {
    let tables = bench.watch("nft", &["list", "tables"])?;
    let tables: Vec<Vec<&str>> = tables
        .lines()
        .map(|table| table.split_whitespace().collect())
        .filter(|words: &Vec<&str>| words.last() != Some(&"nat"))
        .collect();
    let mut all = String::new();
    for table in tables {
        all += &listed(bench, &table)?;
    }
    Ok(all)
}

/// Makes nftables lead nothing to this address and port (`10.88.0.5 . 80`) by an element of a map any more.
pub(in crate::cases) fn forgetting(target: &str) -> String {
    format!(
        r#"nft -j list ruleset | jq -r '.nftables[].map // empty | . as $map | (.elem // [])[]
        | select((.[1].concat? // []) | map(tostring) | join(" . ") | startswith("{target}"))
        | .[0] | (.elem?.val // .) | .concat | map(tostring) | join(" . ")
        | "delete element \($map.family) \($map.table) \($map.name) {{ \(.) }}"' | nft -f -"#
    )
}

/// The reference's table with its chain of mappings, if the plugin has made none.
pub(in crate::cases) const HOSTPORTS_CHAIN: &str = "nft 'add table ip cni_hostport; add chain ip cni_hostport hostports; add chain ip cni_hostport hostip_hostports'";

/// What `nft list` says of an object; empty when there is none.
pub(in crate::cases) fn listed(bench: &mut Bench, object: &[&str]) -> Result<String, Failure> {
    let shown = bench.watch("nft", &[&["list"], object].concat());
    Ok(unless_missing(shown, NO_NFT_OBJECT)?.unwrap_or_default())
}

/// What nft says of a table or chain that is not there.
const NO_NFT_OBJECT: &str = "Error: No such file or directory";

/// A case of the iptables backend and the same case of the nftables backend.
macro_rules! by_both {
    ($id:literal, $($rest:tt)*) => { by_both! { PORTMAP, $id, $($rest)* } };
    ($base:ident, $id:literal, $rule:literal, faults: $($rest:tt)*) => {
        by_both! { $base, $id, $rule, repairs: &[], faults: $($rest)* }
    };
    ($base:ident, $id:literal, $rule:literal, repairs: $repairs:expr, faults: $($rest:tt)*) => {
        by_both! { $base, $id, $rule, repairs: $repairs, nftables: NFTABLES, faults: $($rest)* }
    };
    ($base:ident, $id:literal, $rule:literal, repairs: $repairs:expr, nftables: $nftables:expr,
     faults: $faults:expr, run: |$bench:ident, $by:ident| $run:block) => {
        submit!(Case {
                id: concat!("portmap/", $id),
                rule: $rule,
                faults: $faults,
                repairs: $repairs,
                run: |$bench| {
                    let $by = Backend::Iptables;
                    $run
                },
                ..$base
            });
        submit!(Case {
                id: concat!("portmap/nftables/", $id),
                rule: $rule,
                faults: $faults,
                repairs: $nftables,
                run: |$bench| {
                    let $by = Backend::Nftables;
                    $run
                },
                ..$base
            });
    };
}
pub(in crate::cases) use by_both;

/// One TCP mapping, 8080 to 80.
pub(in crate::cases) fn web() -> Value {
    mapped(json!([tcp(8080, 80)]))
}

/// A TCP mapping.
pub(in crate::cases) fn tcp(host: u16, container: u16) -> Value {
    json!({ "hostPort": host, "containerPort": container, "protocol": "tcp" })
}

/// A TCP mapping of 8080 to 80 on one address of the host.
pub(in crate::cases) fn web_on(address: &str) -> Value {
    let mut mapping = tcp(8080, 80);
    mapping["hostIP"] = address.into();
    mapped(json!([mapping]))
}

/// These mappings as the runtime gives them.
pub(in crate::cases) fn mapped(mappings: Value) -> Value {
    json!({ "runtimeConfig": { "portMappings": mappings } })
}

/// ADD behind [`wire`], with rules in this backend and in no other.
pub(in crate::cases) fn chained_by(
    bench: &mut Bench,
    by: Backend,
    changes: Value,
) -> Result<(Value, Value), Failure> {
    let named = merged(changes, json!({ "backend": by.name() }));
    let (config, result) = chained(bench, named)?;
    stands_in(bench, by)?;
    Ok((config, result))
}

/// The other backend has no rules.
pub(in crate::cases) fn stands_in(bench: &mut Bench, by: Backend) -> Result<(), Failure> {
    let others = match by {
        Backend::Iptables => Backend::Nftables.targets(bench)?,
        Backend::Nftables => Backend::Iptables.targets(bench)?,
    };
    let what = format!("all rules are in {}", by.name());
    expect_that(others.is_empty(), &what, format!("{others:?}"))
}

/// The rules of `iptables` and `ip6tables` that translate addresses.
pub(in crate::cases) fn nat(bench: &mut Bench) -> Result<String, Failure> {
    let four = bench.watch("iptables-save", &["-t", "nat"])?;
    Ok(four + &bench.watch("ip6tables-save", &["-t", "nat"])?)
}

/// A server in a namespace, on all addresses, that tells the peer's address and its namespace.
pub(in crate::cases) fn serve_in(bench: &mut Bench, ns: &str, port: &str) -> Result<(), Failure> {
    http::page(bench, ns, "peer", "$REMOTE_ADDR")?;
    http::page(bench, ns, "place", ns)?;
    http::serve_on(bench, ns, port)
}

/// [`serve_in`] the pod.
pub(in crate::cases) fn serve(bench: &mut Bench, port: &str) -> Result<(), Failure> {
    serve_in(bench, "pod", port)
}

/// A UDP server in the pod, on all addresses, that answers with the peer's address.
pub(in crate::cases) fn serve_udp(bench: &mut Bench, port: &str) -> Result<(), Failure> {
    const SERVER: &str = r#"my $s = IO::Socket::IP->new(LocalHost => "::", LocalPort => $ARGV[0],
        Proto => "udp", V6Only => 0) or die;
        while (defined $s->recv(my $text, 1500)) { $s->send($s->peerhost . "\n") }"#;
    let line = r#"perl -MIO::Socket::IP -e "$0" "$1" </dev/null >/dev/null 2>&1 &"#;
    inside(bench, "pod", &["sh", "-c", line, SERVER, port]).map(drop)
}

/// What the server at this address says of the client's address; empty when it does not answer
/// in time.
pub(in crate::cases) fn ask(bench: &mut Bench, ns: &str, server: &str, port: u16) -> String {
    patiently(bench, |bench, limit| {
        http::told_by(bench, ns, (server, port), "peer", limit)
    })
}

/// In which namespace the server at this address is; empty when it does not answer in time.
pub(in crate::cases) fn place(bench: &mut Bench, ns: &str, server: &str, port: u16) -> String {
    patiently(bench, |bench, limit| {
        http::told_by(bench, ns, (server, port), "place", limit)
    })
}

/// What the UDP server at this address says of the client's; empty when it does not answer in time.
pub(in crate::cases) fn ask_udp(bench: &mut Bench, ns: &str, server: &str, port: u16) -> String {
    let line = format!(
        "exec 3<>/dev/udp/{server}/{port}; echo >&3; timeout \"$0\" dd bs=1500 count=1 <&3 2>/dev/null"
    );
    patiently(bench, |bench, limit| {
        let args = ["bash", "-c", &line, limit];
        said_by(bench, ns, &args)
    })
}

/// The server there answers in time.
pub(in crate::cases) fn is_answered(
    bench: &mut Bench,
    ns: &str,
    server: &str,
    port: u16,
) -> Result<(), Failure> {
    let said = ask(bench, ns, server, port);
    expect_that(
        !said.is_empty(),
        &format!("{server} port {port} answers {ns:?}"),
        "no answer",
    )
}

/// Something else must have answered before, so that this means anything.
pub(in crate::cases) fn is_not_answered(
    bench: &mut Bench,
    ns: &str,
    server: &str,
    port: u16,
) -> Result<(), Failure> {
    let said = http::told_by(bench, ns, (server, port), "peer", "3");
    expect_that(
        said.is_empty(),
        &format!("{server} port {port} does not answer {ns:?}"),
        said,
    )
}

/// The server sees the client's own address.
pub(in crate::cases) fn sees(
    bench: &mut Bench,
    peer: &str,
    server: &str,
    port: u16,
) -> Result<(), Failure> {
    expect(
        "peer",
        &peer.to_owned(),
        &ask(bench, "outside", server, port),
    )
}

/// Another pod on [`wire`]'s bridge: 10.88.0.6 and 2001:db8::6, container and namespace `other`;
/// the result that made it.
pub(in crate::cases) fn another(bench: &mut Bench) -> Result<Value, Failure> {
    bench.pod("other")?;
    without_dad(bench, "other")?;
    for line in [
        "link add vhost1 type veth peer name eth0 netns other",
        "link set vhost1 master br0",
        "link set vhost1 up",
        "-n other link set eth0 up",
        "-n other address add 10.88.0.6/24 dev eth0",
        "-n other address add 2001:db8::6/64 dev eth0 nodad",
        "-n other route add default via 10.88.0.1",
        "-n other -6 route add default via 2001:db8::1",
    ] {
        bench.run("ip", &line.split(' ').collect::<Vec<_>>())?;
    }
    let mut result = wired(bench.version);
    result["interfaces"][1]["name"] = "vhost1".into();
    result["interfaces"][2] = json!({ "name": "eth0", "sandbox": "/run/netns/other" });
    result["ips"][0]["address"] = "10.88.0.6/24".into();
    result["ips"][1]["address"] = "2001:db8::6/64".into();
    Ok(result)
}

/// A call for the container of [`another`].
pub(in crate::cases) fn call_other(
    bench: &mut Bench,
    command: &str,
    config: &Value,
) -> Result<Reply, Failure> {
    let call = bench.call(command, config).env("CNI_CONTAINERID", "other");
    Ok(call.env("CNI_NETNS", "/run/netns/other").reply()?)
}

/// A second address of the host on the link to [`outside`].
pub(in crate::cases) fn second_address(bench: &mut Bench) -> Result<(), Failure> {
    outside(bench)?;
    for address in ["192.0.2.9/24", "2001:db8:ffff::9/64"] {
        let mut args = vec!["address", "add", address, "dev", "uplink"];
        args.extend(address.contains(':').then_some("nodad"));
        bench.run("ip", &args)?;
    }
    Ok(())
}

/// Bridge port `vhost0` sends packets back to where they came from.
pub(in crate::cases) fn hairpin(bench: &mut Bench) -> Result<(), Failure> {
    let on = [
        "link",
        "set",
        "vhost0",
        "type",
        "bridge_slave",
        "hairpin",
        "on",
    ];
    bench.run("ip", &on)?;
    Ok(())
}

/// A result that has the addresses of one family alone.
pub(in crate::cases) fn only(bench: &Bench, family: u8) -> Value {
    let mut result = wired(bench.version);
    let ip = result["ips"][usize::from(family == 6)].clone();
    result["ips"] = json!([ip]);
    result
}

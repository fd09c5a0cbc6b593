//! portmap: UDP and SCTP.

use crate::cases::{chained::*, packets::*, portmap::ports::*, prelude::*, sight::*};

const UDP: Case = Case {
    needs: &["iptables", "ip6tables", "bash", "nft", "perl"],
    ..PORTMAP
};

/// A UDP mapping, 53 to 5353.
fn dns() -> Value {
    mapped(json!([{ "hostPort": 53, "containerPort": 5353, "protocol": "udp" }]))
}

by_both! { UDP, "udp/01",
    "A machine outside reaches the pod's UDP server over IPv4 and IPv6; the server sees the machine's address.",
    faults: &[
        Fault::Config("/runtimeConfig/portMappings/0/protocol", "tcp"),
        Fault::Config("/prevResult/ips/1", ""),
    ],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, dns())?;
        serve_udp(bench, "5353")?;
        for (machine, host) in [("192.0.2.2", "192.0.2.1"), ("2001:db8:ffff::2", "2001:db8:ffff::1")] {
            expect("peer", &machine.to_owned(), &ask_udp(bench, "outside", host, 53))?;
        }
        Ok(())
    }
}

by_both! { UDP, "udp/02",
    "One port number is mapped for UDP and TCP separately.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0", ""), Fault::Config("/runtimeConfig/portMappings/1/protocol", "udp")],
    run: |bench, by| {
        outside(bench)?;
        let udp = json!({ "hostPort": 8080, "containerPort": 5353, "protocol": "udp" });
        chained_by(bench, by, mapped(json!([udp, tcp(8080, 80)])))?;
        serve(bench, "80")?;
        serve_udp(bench, "5353")?;
        sees(bench, "192.0.2.2", "192.0.2.1", 8080)?;
        expect("peer", &"192.0.2.2".to_owned(), &ask_udp(bench, "outside", "192.0.2.1", 8080))
    }
}

by_both! { UDP, "udp/03",
    "ADD has the kernel forget earlier UDP connections to the port, which would stay unmapped.",
    faults: &[Fault::Instead("ADD", "jq .prevResult; iptables -t nat -A PREROUTING -p udp --dport 53 -j DNAT --to-destination 10.88.0.5:5353")],
    run: |bench, by| {
        outside(bench)?;
        // Any rule that translates addresses has the kernel remember connections.
        let rule = "iptables -t nat -A PREROUTING -s 10.99.0.0/24 -p udp -j DNAT --to-destination 10.99.0.1";
        bench.run("sh", &["-c", rule])?;
        let config = behind(bench, merged(dns(), json!({ "backend": by.name() })))?;
        serve_udp(bench, "5353")?;
        keep_asking(bench)?;
        bench.add(&config)?;
        let targets = by.targets(bench)?;
        expect_that(targets.contains(&"10.88.0.5:5353".to_owned()), "a rule for the port", format!("{targets:?}"))?;
        let answered = bench.in_time(|_| !text("/run/answer").is_empty());
        expect_that(answered, "the connection reaches the pod", "it does not")
    }
}

/// A machine outside that sends from one port to the host's UDP port 53 until there is an answer,
/// which it writes down; it has sent.
fn keep_asking(bench: &mut Bench) -> Result<(), Failure> {
    let line = "exec 3<>/dev/udp/192.0.2.1/53; while [ ! -s /run/answer ]; do echo >&3; \
        timeout 0.2 dd bs=1500 count=1 <&3 >/run/heard; echo >/run/asked; \
        [ ! -s /run/heard ] || mv /run/heard /run/answer; sleep 0.05; done";
    let start = "bash -c \"$0\" </dev/null >/dev/null 2>&1 &";
    inside(bench, "outside", &["sh", "-c", start, line])?;
    let asked = bench.in_time(|_| !text("/run/asked").is_empty());
    expect_that(asked, "a machine asks", "it does not")?;
    expect("answer", &String::new(), &text("/run/answer"))
}

by_both! { UDP, "sctp/01",
    "SCTP ports have rules of their own protocol.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/protocol", "tcp")],
    run: |bench, by| {
        let sctp = json!({ "hostPort": 9000, "containerPort": 9001, "protocol": "sctp" });
        chained_by(bench, by, mapped(json!([sctp])))?;
        expect("targets", &list(&["10.88.0.5:9001", "[2001:db8::5]:9001"]), &by.targets(bench)?)?;
        let (rules, forms) = match by {
            Backend::Iptables => (nat(bench)?, &["-p sctp -m sctp --dport 9000 -j DNAT"][..]),
            Backend::Nftables => (translations(bench)?, &["sctp dport 9000 dnat to", "sctp . 9000 "][..]),
        };
        expect_that(forms.iter().any(|form| rules.contains(form)), forms[0], &rules)
    }
}

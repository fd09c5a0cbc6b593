//! portmap: real connections through mapped ports, with the rules of either backend.

use crate::cases::{http, packets::*, portmap::ports::*, prelude::*, sight::*};

/// Connections of the host itself are not led to the pod.
const NO_OUTPUT: Fault = Fault::After(
    "ADD",
    "iptables -t nat -F OUTPUT; ip6tables -t nat -F OUTPUT; for f in ip ip6; do nft flush chain $f cni_hostport output; done",
);

by_both! { "packets/01",
    "A machine outside reaches the pod's server by the host's address and port; the server sees the machine's address.",
    faults: &[
        Fault::Config("/runtimeConfig", ""),
        Fault::After("ADD", "iptables -t nat -F PREROUTING; nft flush chain ip cni_hostport prerouting"),
    ],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        sees(bench, "192.0.2.2", "192.0.2.1", 8080)
    }
}

by_both! { "packets/02",
    "A machine outside reaches the pod's server over IPv6; the server sees the machine's address.",
    faults: &[
        Fault::Config("/runtimeConfig", ""),
        Fault::After("ADD", "ip6tables -t nat -F PREROUTING; nft flush chain ip6 cni_hostport prerouting"),
    ],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        sees(bench, "2001:db8:ffff::2", "2001:db8:ffff::1", 8080)
    }
}

by_both! { "packets/03",
    "The host itself reaches the pod's server by its own address and by 127.0.0.1.",
    faults: &[NO_OUTPUT, Fault::Config("/snat", "=false")],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        is_answered(bench, HOST, "192.0.2.1", 8080)?;
        is_answered(bench, HOST, "127.0.0.1", 8080)
    }
}

by_both! { "packets/04",
    "The pod reaches its own server by the host's address and port (hairpin).",
    faults: &[Fault::Config("/snat", "=false")],
    run: |bench, by| {
        chained_by(bench, by, web())?;
        hairpin(bench)?;
        serve(bench, "80")?;
        is_answered(bench, "pod", "10.88.0.1", 8080)
    }
}

by_both! { "packets/05",
    "masqAll has the server see the host's address instead of the client's.",
    repairs: &[Fault::Where("/masqAll", &Fault::After("ADD", "iptables -t nat -A POSTROUTING -d 10.88.0.5 -j MASQUERADE"))],
    faults: &[Fault::Config("/masqAll", "")],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, merged(web(), json!({ "masqAll": true })))?;
        serve(bench, "80")?;
        sees(bench, "10.88.0.1", "192.0.2.1", 8080)
    }
}

by_both! { "packets/06",
    "With a hostIP the port is mapped on that address alone.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/hostIP", "")],
    run: |bench, by| {
        second_address(bench)?;
        chained_by(bench, by, web_on("192.0.2.9"))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.9", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { "packets/07",
    "Several mappings lead each to its port; other ports are not mapped.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/1", ""), Fault::Config("/runtimeConfig/portMappings/0", "")],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, mapped(json!([tcp(8080, 80), tcp(8081, 81)])))?;
        serve(bench, "80")?;
        serve(bench, "81")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_answered(bench, "outside", "192.0.2.1", 8081)?;
        is_not_answered(bench, "outside", "192.0.2.1", 80)
    }
}

by_both! { "packets/08",
    "More than fifteen ports of one protocol are mapped.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/19", "")],
    run: |bench, by| {
        outside(bench)?;
        let mappings: Vec<_> = (0..20).map(|n| tcp(9000 + n, 80)).collect();
        chained_by(bench, by, mapped(json!(mappings)))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 9000)?;
        is_answered(bench, "outside", "192.0.2.1", 9019)
    }
}

by_both! { "packets/09",
    "With a hostIP of IPv6 the port is mapped on that address alone, and on no address of IPv4.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/hostIP", ""), Fault::Config("/runtimeConfig/portMappings/0/hostIP", "::")],
    run: |bench, by| {
        second_address(bench)?;
        chained_by(bench, by, web_on("2001:db8:ffff::9"))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "2001:db8:ffff::9", 8080)?;
        is_not_answered(bench, "outside", "2001:db8:ffff::1", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { "packets/10",
    "A hostIP of 0.0.0.0 maps the port on every address of IPv4, and on none of IPv6.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/hostIP", ""), Fault::Config("/runtimeConfig/portMappings/0/hostIP", "192.0.2.1")],
    run: |bench, by| {
        second_address(bench)?;
        chained_by(bench, by, web_on("0.0.0.0"))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_answered(bench, "outside", "192.0.2.9", 8080)?;
        is_not_answered(bench, "outside", "2001:db8:ffff::1", 8080)
    }
}

by_both! { "packets/11",
    "A hostIP of :: maps the port on every address of IPv6, and on none of IPv4.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/hostIP", ""), Fault::Config("/runtimeConfig/portMappings/0/hostIP", "2001:db8:ffff::1")],
    run: |bench, by| {
        second_address(bench)?;
        chained_by(bench, by, web_on("::"))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "2001:db8:ffff::1", 8080)?;
        is_answered(bench, "outside", "2001:db8:ffff::9", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { "packets/12",
    "A hostIP of 127.0.0.1 maps the port for the host itself alone.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/hostIP", ""), NO_OUTPUT],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web_on("127.0.0.1"))?;
        serve(bench, "80")?;
        is_answered(bench, HOST, "127.0.0.1", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { "packets/13",
    "The host itself reaches the pod's server by its own address over IPv6.",
    faults: &[NO_OUTPUT],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        is_answered(bench, HOST, "2001:db8:ffff::1", 8080)
    }
}

by_both! { "packets/14",
    "The pod reaches its own server by the host's address and port over IPv6 (hairpin).",
    faults: &[Fault::Config("/snat", "=false")],
    run: |bench, by| {
        chained_by(bench, by, web())?;
        hairpin(bench)?;
        serve(bench, "80")?;
        is_answered(bench, "pod", "2001:db8::1", 8080)
    }
}

by_both! { "packets/15",
    "Without snat the port is mapped for others, but neither for the pod itself nor for 127.0.0.1.",
    faults: &[Fault::Config("/snat", ""), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, merged(web(), json!({ "snat": false })))?;
        hairpin(bench)?;
        serve(bench, "80")?;
        sees(bench, "192.0.2.2", "192.0.2.1", 8080)?;
        is_not_answered(bench, HOST, "127.0.0.1", 8080)?;
        is_not_answered(bench, "pod", "10.88.0.1", 8080)
    }
}

by_both! { "packets/16",
    "The port of a pod that has IPv4 alone is mapped on no address of IPv6.",
    faults: &[Fault::Config("/prevResult/ips/-", r#"={"address": "2001:db8::5/64", "interface": 2}"#), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        outside(bench)?;
        let changes = json!({ "prevResult": only(bench, 4) });
        chained_by(bench, by, merged(web(), changes))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_not_answered(bench, "outside", "2001:db8:ffff::1", 8080)
    }
}

by_both! { "packets/17",
    "The port of a pod that has IPv6 alone is mapped on no address of IPv4.",
    faults: &[Fault::Config("/prevResult/ips/-", r#"={"address": "10.88.0.5/24", "interface": 2}"#), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        outside(bench)?;
        let changes = json!({ "prevResult": only(bench, 6) });
        chained_by(bench, by, merged(web(), changes))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "2001:db8:ffff::1", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { "packets/18",
    "masqAll has the server see the host's address over IPv6 too.",
    repairs: &[Fault::Where("/masqAll", &Fault::After("ADD", "ip6tables -t nat -A POSTROUTING -d 2001:db8::5 -j MASQUERADE"))],
    faults: &[Fault::Config("/masqAll", "")],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, merged(web(), json!({ "masqAll": true })))?;
        serve(bench, "80")?;
        sees(bench, "2001:db8::1", "2001:db8:ffff::1", 8080)
    }
}

by_both! { "packets/19",
    "Two pods have each their ports; DEL of one leaves the other's.",
    faults: &[Fault::Once("ADD"), Fault::After("DEL", "iptables -t nat -F; nft flush ruleset")],
    run: |bench, by| {
        outside(bench)?;
        let (first, _) = chained_by(bench, by, web())?;
        let second = json!({ "prevResult": another(bench)?, "backend": first["backend"] });
        let second = with(bench, merged(mapped(json!([tcp(8081, 80)])), second));
        call_other(bench, "ADD", &second)?.succeeds()?;
        serve(bench, "80")?;
        serve_in(bench, "other", "80")?;
        expect("behind 8080", &"pod".to_owned(), &place(bench, "outside", "192.0.2.1", 8080))?;
        expect("behind 8081", &"other".to_owned(), &place(bench, "outside", "192.0.2.1", 8081))?;
        bench.call("DEL", &first).reply()?.succeeds_silently()?;
        expect("behind 8081", &"other".to_owned(), &place(bench, "outside", "192.0.2.1", 8081))?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { "packets/20",
    "Of two pods that claim one host port the first has it; when that goes, the second has it.",
    faults: &[Fault::Once("ADD"), Fault::Skip("DEL")],
    run: |bench, by| {
        outside(bench)?;
        let (first, _) = chained_by(bench, by, web())?;
        let second = json!({ "prevResult": another(bench)?, "backend": first["backend"] });
        let second = with(bench, merged(web(), second));
        call_other(bench, "ADD", &second)?.succeeds()?;
        serve(bench, "80")?;
        serve_in(bench, "other", "80")?;
        expect("behind 8080", &"pod".to_owned(), &place(bench, "outside", "192.0.2.1", 8080))?;
        bench.call("DEL", &first).reply()?.succeeds_silently()?;
        expect("behind 8080", &"other".to_owned(), &place(bench, "outside", "192.0.2.1", 8080))
    }
}

by_both! { "packets/21",
    "ADD again and a mapping that is given twice leave the port mapped, and DEL takes all of it away.",
    faults: &[Fault::Skip("DEL"), Fault::Once("ADD"), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        outside(bench)?;
        let (config, _) = chained_by(bench, by, mapped(json!([tcp(8080, 80), tcp(8080, 80)])))?;
        bench.add(&config)?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)?;
        expect("targets", &Vec::<String>::new(), &by.targets(bench)?)
    }
}

by_both! { "packets/22",
    "conditionsV4 narrow the connections that are mapped over IPv4.",
    faults: &[Fault::Config("/conditionsV4", ""), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        second_address(bench)?;
        let conditions = json!({ "conditionsV4": by.not_to("ip", "192.0.2.9") });
        chained_by(bench, by, merged(web(), conditions))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_answered(bench, "outside", "2001:db8:ffff::9", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.9", 8080)
    }
}

by_both! { "packets/23",
    "conditionsV6 narrow the connections that are mapped over IPv6.",
    faults: &[Fault::Config("/conditionsV6", ""), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        second_address(bench)?;
        let conditions = json!({ "conditionsV6": by.not_to("ip6", "2001:db8:ffff::9") });
        chained_by(bench, by, merged(web(), conditions))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "2001:db8:ffff::1", 8080)?;
        is_answered(bench, "outside", "192.0.2.9", 8080)?;
        is_not_answered(bench, "outside", "2001:db8:ffff::9", 8080)
    }
}

by_both! { "packets/24",
    "Connections through the host to the same port of another machine are left alone.",
    faults: &[Fault::After("ADD", "iptables -t nat -I PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.88.0.5:80")],
    run: |bench, by| {
        outside(bench)?;
        bench.run("ip", &["-n", "outside", "route", "add", "10.88.0.0/24", "via", "192.0.2.1"])?;
        chained_by(bench, by, web())?;
        another(bench)?;
        serve(bench, "80")?;
        serve_in(bench, "other", "8080")?;
        expect("at 10.88.0.6:8080", &"other".to_owned(), &place(bench, "outside", "10.88.0.6", 8080))?;
        expect("behind 8080", &"pod".to_owned(), &place(bench, "outside", "192.0.2.1", 8080))
    }
}

/// Keeps connections to `::1` from the reference's mappings.
const OWN_LOCALHOST: Fault = Fault::After(
    "ADD",
    "ip6tables -t nat -I CNI-HOSTPORT-DNAT -d ::1 -j RETURN || \
     nft insert rule ip6 cni_hostport hostports_all ip6 daddr ::1 return",
);

/// Leads them to the pod nevertheless.
const LED_LOCALHOST: Fault = Fault::After(
    "ADD",
    "ip6tables -t nat -I CNI-HOSTPORT-DNAT -p tcp --dport 8080 -j DNAT --to-destination '[2001:db8::5]:80' || \
     nft 'add table ip6 led; add chain ip6 led output { type nat hook output priority -101; }; \
          add rule ip6 led output tcp dport 8080 dnat to [2001:db8::5]:80'",
);

by_both! { PORTMAP, "packets/26",
    "Connections of the host itself to ::1, from where the kernel lets nothing leave, are left to the host's own servers.",
    repairs: &[OWN_LOCALHOST],
    nftables: &[NFTABLES[0], NFTABLES[1], NFTABLES[2], OWN_LOCALHOST],
    faults: &[Fault::Config("/runtimeConfig", ""), LED_LOCALHOST],
    run: |bench, by| {
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        expect("behind 127.0.0.1", &"pod".to_owned(), &place(bench, HOST, "127.0.0.1", 8080))?;
        http::page(bench, HOST, "place", "host")?;
        http::serve_on(bench, HOST, "[::1]:8080")?;
        expect("behind ::1", &"host".to_owned(), &place(bench, HOST, "::1", 8080))
    }
}

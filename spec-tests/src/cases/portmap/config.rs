//! portmap: configurations that are refused.

use crate::cases::{chained::*, portmap::ports::*, prelude::*, sight::*};

refused_chained!(PORTMAP, "portmap/config/01", "A container port of 0 is refused.",
    { "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 0, "protocol": "tcp" }] } }, ["container port", "0"]);
refused_chained!(PORTMAP, "portmap/config/02", "A host port below 0 is refused.",
    { "runtimeConfig": { "portMappings": [{ "hostPort": -1, "containerPort": 80, "protocol": "tcp" }] } }, ["host port", "-1"]);
refused_chained!(PORTMAP, "portmap/config/03", "A markMasqBit above 31 is refused.",
    { "markMasqBit": 32, "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } },
    ["MasqMarkBit", "between 0 and 31"]);
refused_chained!(PORTMAP, "portmap/config/04", "externalSetMarkChain with markMasqBit is refused.",
    { "markMasqBit": 5, "externalSetMarkChain": "X", "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } },
    ["externalSetMarkChain", "markMasqBit"]);

submit!(Case {
    id: "portmap/config/05",
    rule: "ADD without prevResult is refused.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| refuses_add(bench, web(), &["chained plugin"]),
    ..PORTMAP
});

refused_chained!(PORTMAP, "portmap/config/06", "A host port of 0 is refused.",
    { "runtimeConfig": { "portMappings": [{ "hostPort": 0, "containerPort": 80, "protocol": "tcp" }] } }, ["host port", "0"]);
refused_chained!(PORTMAP, "portmap/config/07", "A markMasqBit below 0 is refused.",
    { "markMasqBit": -1, "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } },
    ["MasqMarkBit", "between 0 and 31"]);
refused_chained!(PORTMAP, "portmap/config/08", "A host port that is a text is refused.",
    { "runtimeConfig": { "portMappings": [{ "hostPort": "8080", "containerPort": 80, "protocol": "tcp" }] } }, ["hostPort"]);
refused_chained!(PORTMAP, "portmap/config/09", "An externalSetMarkChain that does not exist is refused and named.",
    { "externalSetMarkChain": "NOT-THERE", "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } },
    ["NOT-THERE"]);

submit!(Case {
    id: "portmap/config/10",
    rule: "ADD without prevResult is refused also when there is nothing to map.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| refuses_add(bench, json!({}), &["chained plugin"]),
    ..PORTMAP
});

by_both! { "config/11",
    "A host port above 65535 is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench, by| { refuses_mapping(bench, by, json!({ "hostPort": 70000, "containerPort": 80, "protocol": "tcp" }), &["70000"]) }
}

by_both! { "config/12",
    "A container port above 65535 is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench, by| { refuses_mapping(bench, by, json!({ "hostPort": 8080, "containerPort": 70000, "protocol": "tcp" }), &["70000"]) }
}

by_both! { "config/13",
    "An unknown protocol is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench, by| { refuses_mapping(bench, by, json!({ "hostPort": 8080, "containerPort": 80, "protocol": "foo" }), &["foo"]) }
}

by_both! { "config/14",
    "A mapping without a protocol is refused.",
    faults: &[Fault::ExitZero],
    run: |bench, by| { refuses_mapping(bench, by, json!({ "hostPort": 8080, "containerPort": 80 }), &[]) }
}

/// ADD with one mapping must fail with these words, and map nothing.
fn refuses_mapping(
    bench: &mut Bench,
    by: Backend,
    mapping: Value,
    words: &[&str],
) -> Result<(), Failure> {
    let changes = merged(mapped(json!([mapping])), json!({ "backend": by.name() }));
    refuses_chained(bench, changes, words)?;
    stands_in(bench, by)?;
    expect("targets", &Vec::<String>::new(), &by.targets(bench)?)
}

submit!(Case {
    id: "portmap/config/15",
    rule: "CHECK without prevResult is refused.",
    versions: CHECKED,
    faults: &[
        Fault::On("CHECK", &Fault::ExitZero),
        Fault::Error("/msg", "it failed")
    ],
    run: |bench| {
        let (mut config, _) = chained(bench, web())?;
        config.as_object_mut().map(|all| all.remove("prevResult"));
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..PORTMAP
});

/// A refusal that 1.1.1 does not know: it has no backends.
macro_rules! refused_backend {
    ($id:literal, $rule:literal, $patch:tt, $words:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
            repairs: NFTABLES,
            run: |bench| refuses_chained(bench, merged(web(), json!($patch)), &$words),
            ..PORTMAP
        });
    };
}

refused_backend!("portmap/backend/01", "An unknown backend is refused and named.",
    { "backend": "pf" }, ["backend", "pf"]);
refused_backend!("portmap/backend/02", "Conditions in the syntax of nftables are refused with the backend iptables, and the keys named.",
    { "backend": "iptables", "conditionsV4": ["ip", "daddr", "!=", "192.0.2.9"], "conditionsV6": ["ip6", "daddr", "!=", "::1"] },
    ["nftables-specific", "conditionsV4", "conditionsV6"]);
refused_backend!("portmap/backend/03", "Conditions in the syntax of iptables are refused with the backend nftables, and the keys named.",
    { "backend": "nftables", "conditionsV4": ["!", "-d", "192.0.2.9"], "conditionsV6": ["-d", "::1"] },
    ["iptables-specific", "conditionsV4", "conditionsV6"]);
refused_backend!("portmap/backend/04", "externalSetMarkChain is refused with the backend nftables.",
    { "backend": "nftables", "externalSetMarkChain": "KUBE-MARK-MASQ" }, ["iptables-specific", "externalSetMarkChain"]);

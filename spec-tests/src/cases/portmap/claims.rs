//! portmap: two pods that ask for one host port. The reference plugin lets the second have it, and nobody
//! reaches it there.

use crate::cases::{chained::*, packets::*, portmap::ports::*, prelude::*, sight::*};

const CLAIM: Case = Case {
    level: Level::Should,
    source: "an ADD that succeeds does what it was asked for",
    ..PORTMAP
};

/// The backend iptables that refuses, laid over the reference plugin.
const REFUSING: &[Fault] = &[Fault::Instead(
    "ADD",
    concat!(include_str!("claims.sh"), "exec \"$REAL\""),
)];
/// The same with the backend nftables.
const REFUSING_NFTABLES: &[Fault] = &[
    Fault::Instead(
        "ADD",
        concat!(include_str!("claims.sh"), include_str!("nftables.sh")),
    ),
    Fault::Instead("DEL", include_str!("nftables.sh")),
];

/// A case of both backends.
macro_rules! claim {
    ($id:literal, $rule:literal, faults: $faults:expr, run: |$bench:ident, $by:ident| $run:block) => {
        submit!(Case {
            id: concat!("portmap/claim/", $id),
            rule: $rule,
            repairs: REFUSING,
            faults: $faults,
            run: |$bench| {
                let $by = Backend::Iptables;
                $run
            },
            ..CLAIM
        });
        submit!(Case {
            id: concat!("portmap/nftables/claim/", $id),
            rule: $rule,
            repairs: REFUSING_NFTABLES,
            faults: $faults,
            run: |$bench| {
                let $by = Backend::Nftables;
                $run
            },
            ..CLAIM
        });
    };
}

claim! { "01",
    "A second pod that asks for a host port is refused, told who has it, and changes nothing.",
    faults: &[Fault::ExitZero, Fault::On("ADD", &Fault::Error("/msg", "it failed"))],
    run: |bench, by| {
        outside(bench)?;
        let (first, _) = chained_by(bench, by, web())?;
        serve(bench, "80")?;
        let targets = by.targets(bench)?;
        let second = json!({ "prevResult": another(bench)?, "backend": first["backend"] });
        let second = with(bench, merged(web(), second));
        let reply = call_other(bench, "ADD", &second)?;
        complains(&reply, &["8080", "ctr1"])?;
        expect("targets", &targets, &by.targets(bench)?)?;
        sees(bench, "192.0.2.2", "192.0.2.1", 8080)
    }
}

claim! { "02",
    "When the first pod has gone, the port is free for the second.",
    faults: &[Fault::Skip("DEL")],
    run: |bench, by| {
        outside(bench)?;
        let (first, _) = chained_by(bench, by, web())?;
        let second = json!({ "prevResult": another(bench)?, "backend": first["backend"] });
        let second = with(bench, merged(web(), second));
        call_other(bench, "ADD", &second)?.error()?;
        bench.call("DEL", &first).reply()?.succeeds_silently()?;
        call_other(bench, "ADD", &second)?.succeeds()?;
        serve_in(bench, "other", "80")?;
        expect("behind 8080", &"other".to_owned(), &place(bench, "outside", "192.0.2.1", 8080))
    }
}

const NEIGHBOUR: &str =
    "Another pod of the subnet reaches the pod's server by the host's address and port.";

submit!(Case {
    id: "portmap/packets/25",
    rule: NEIGHBOUR,
    faults: &[Fault::Config("/snat", "=false")],
    run: |bench| neighbour(bench, Backend::Iptables),
    ..PORTMAP
});

submit!(Case {
    id: "portmap/nftables/packets/25",
    rule: NEIGHBOUR,
    faults: &[Fault::Config("/snat", "=false")],
    repairs: &[
        Fault::Instead("ADD", include_str!("nftables.sh")),
        Fault::After(
            "ADD",
            "nft add chain ip cni_hostport masquerading '{ type nat hook postrouting priority 100; }'; \
             nft list chain ip cni_hostport masquerading | grep -q 127.0.0.1 && \
             nft add rule ip cni_hostport masquerading ip saddr 10.88.0.0/24 ip daddr 10.88.0.5 masquerade"
        ),
    ],
    run: |bench| neighbour(bench, Backend::Nftables),
    ..PORTMAP
});

/// On a bridge whose answers do not come by the host's translations.
fn neighbour(bench: &mut Bench, by: Backend) -> Result<(), Failure> {
    let off =
        "for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e $f ] || echo 0 > $f; done";
    bench.run("sh", &["-c", off])?;
    chained_by(bench, by, web())?;
    another(bench)?;
    serve(bench, "80")?;
    is_answered(bench, "other", "10.88.0.1", 8080)
}

const TAKEOVER: Case = Case {
    set: Set::Takeover,
    ..PORTMAP
};

submit!(Case {
    id: "takeover/portmap/01",
    rule: "DEL removes the mapping that the other plugin made in iptables, and leaves the shared chains.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "iptables -t nat -N CNI-DN-6878eed1134402c43bdae")
    ],
    run: |bench| {
        let config = behind(bench, merged(web(), json!({ "backend": "iptables" })))?;
        let result = bench.call_other("ADD", &config)?.reply()?.result()?;
        expect_that(
            !Backend::Iptables.targets(bench)?.is_empty(),
            "a mapping in iptables",
            nat(bench)?,
        )?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        let rules = nat(bench)?;
        expect_that(
            !rules.contains("CNI-DN-") && !rules.contains("ctr1"),
            "nothing of the container",
            &rules,
        )?;
        expect_that(rules.contains("CNI-HOSTPORT-DNAT"), "shared chains", &rules)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/portmap/02",
    rule: "The mapping that this plugin made in iptables the other one's DEL removes.",
    faults: &[
        Fault::Env("CNI_CONTAINERID", "ctr2"),
        Fault::After("ADD", "iptables -t nat -N CNI-DN-another")
    ],
    run: |bench| {
        let (config, _) = chained_by(bench, Backend::Iptables, web())?;
        bench
            .call_other("DEL", &config)?
            .reply()?
            .succeeds_silently()?;
        let rules = nat(bench)?;
        expect_that(
            !rules.contains("CNI-DN-") && !rules.contains("dnat name"),
            "nothing of the container",
            &rules,
        )
    },
    ..TAKEOVER
});

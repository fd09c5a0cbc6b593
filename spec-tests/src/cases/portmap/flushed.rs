//! Rules that somebody flushed: CHECK tells, GC makes them again.

use crate::cases::{packets::*, portmap::ports::*, prelude::*, sight::*};

const CHECK: Case = Case {
    versions: CHECKED,
    ..PORTMAP
};
/// CHECK that is silent, and one that does not say what is missing.
const UNCHECKED: &[Fault] = &[
    Fault::Skip("CHECK"),
    Fault::On("CHECK", &Fault::Error("/msg", "it failed")),
];

submit!(Case {
    id: "portmap/flushed/01",
    rule: "After the ruleset was flushed CHECK fails and tells which chain of the mappings is missing.",
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained_by(bench, Backend::Iptables, web())?;
        check_names_what_was_flushed(bench, &config, &["dnat", "CNI-DN-"])
    },
    ..CHECK
});

submit!(Case {
    id: "portmap/nftables/flushed/01",
    rule: "With nftables it fails too and tells that port mappings are missing.",
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained_by(bench, Backend::Nftables, web())?;
        check_names_what_was_flushed(bench, &config, &["missing", "port"])
    },
    ..CHECK
});

const GC: Case = Case {
    versions: [SpecVersion::V1_1_0, SpecVersion::V1_1_0],
    needs: &["iptables", "ip6tables", "busybox", "bash", "nft", "unshare"],
    ..PORTMAP
};

/// GC of another network, with a list of what is valid there or without.
fn collect(
    bench: &mut Bench,
    valid: Option<Value>,
    through: &'static [&'static str],
) -> Result<(), Failure> {
    let mut config = with(bench, json!({ "name": "another" }));
    if let Some(valid) = valid {
        config["cni.dev/valid-attachments"] = valid;
    }
    let call = bench.call("GC", &config).through(through);
    let call = call.unset("CNI_CONTAINERID").unset("CNI_NETNS");
    call.unset("CNI_IFNAME").reply()?.succeeds_silently()
}

by_both! { GC, "flushed/02",
    "GC, with a list of attachments and without, makes flushed mappings of the node's pods again.",
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "nft flush ruleset"),
        Fault::Where("/cni.dev~1valid-attachments", &Fault::Skip("GC")),
    ],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        for valid in [None, Some(json!([]))] {
            bench.run("nft", &["flush", "ruleset"])?;
            collect(bench, valid, &[])?;
            is_answered(bench, "outside", "192.0.2.1", 8080)?;
        }
        Ok(())
    }
}

/// Where nobody sees the namespaces of pods.
const BLIND: &[&str] = &[
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-ec",
    "mount -t tmpfs none /run/netns; exec \"$0\"",
];

by_both! { GC, "flushed/03",
    "A GC in a mount namespace where the pods' namespaces are not seen does not take the pods for gone: the next one that sees them makes flushed mappings again.",
    faults: &[Fault::Skip("GC"), Fault::After("GC", "nft flush ruleset; rm -rf /run/podwire")],
    run: |bench, by| {
        outside(bench)?;
        chained_by(bench, by, web())?;
        serve(bench, "80")?;
        bench.run("nft", &["flush", "ruleset"])?;
        collect(bench, None, BLIND)?;
        collect(bench, None, &[])?;
        is_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

by_both! { GC, "flushed/04",
    "A second ADD that fails leaves what the first one made, also after a flush.",
    faults: &[
        Fault::Skip("GC"),
        Fault::Where("/runtimeConfig/portMappings/1", &Fault::After("ADD", "nft flush ruleset; rm -rf /run/podwire")),
    ],
    run: |bench, by| {
        outside(bench)?;
        let (config, _) = chained_by(bench, by, web())?;
        serve(bench, "80")?;
        let other = another(bench)?;
        let changes = merged(mapped(json!([tcp(8081, 80)])), json!({ "prevResult": other, "backend": by.name() }));
        let others = merged(with(bench, json!({})), changes);
        call_other(bench, "ADD", &others)?.succeeds()?;
        let again = merged(config, mapped(json!([tcp(8082, 80), tcp(8081, 80)])));
        complains(&bench.call("ADD", &again).reply()?, &["8081"])?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        bench.run("nft", &["flush", "ruleset"])?;
        collect(bench, None, &[])?;
        is_answered(bench, "outside", "192.0.2.1", 8080)
    }
}

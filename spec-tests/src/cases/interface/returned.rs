//! What holds as soon as DEL has returned, whatever the kernel still has to do: a runtime uses names
//! and addresses again, and destroys the namespace, at once.

use crate::cases::{packets::*, prelude::*, sight::*};

const AT_ONCE: Case = Case {
    judges: INTERFACE,
    level: Level::Must,
    source: "Section 2, DEL",
    faults: &[Fault::Skip("DEL")],
    ..CASE
};

submit!(Case {
    id: "spec/del/returned/01",
    rule: "After DEL both ends are gone at once, and their names are free.",
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        let host = host_veths(bench)?.pop().unwrap_or_default();
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links of the pod", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("host ends", &list(&[]), &host_veths(bench)?)?;
        // Fails where a name is taken.
        let pair = [
            "link", "add", &host, "type", "veth", "peer", "name", "eth0", "netns", "pod",
        ];
        bench
            .run("ip", &pair)
            .map(drop)
            .map_err(|error| Failure::new("the names", "they are free", error))
    },
    ..AT_ONCE
});

submit!(Case {
    id: "spec/del/returned/02",
    rule: "After DEL the same attachment can be added at once, again and again.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        for _ in 0..5 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
            bench.call("ADD", &config).reply()?.succeeds()?;
        }
        Ok(())
    },
    ..AT_ONCE
});

submit!(Case {
    id: "spec/del/returned/03",
    rule: "After DEL nothing answers on the pod's addresses, and no route on the host leads to them by the pair.",
    needs: &["ping"],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let address = result["ips"][0]["address"].as_str().unwrap_or_default();
        let address = address.split('/').next().unwrap_or_default().to_owned();
        answers(bench, HOST, &address)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_silent(bench, HOST, &address)?;
        let left = ip(bench, HOST, &["route", "show", "root", &address])?;
        expect("routes to the address alone", &json!([]), &left)
    },
    ..AT_ONCE
});

submit!(Case {
    id: "spec/del/returned/04",
    rule: "After DEL the namespace can be destroyed at once and made again, and the pod added to it.",
    faults: &[Fault::Once("ADD"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        for _ in 0..3 {
            let (config, _) = attach(bench, json!({}))?;
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
            bench.run("ip", &["netns", "delete", "pod"])?;
        }
        Ok(())
    },
    ..AT_ONCE
});

submit!(Case {
    id: "spec/del/returned/05",
    rule: "After DEL the bridge has no port more than before ADD.",
    judges: Judges::Only(&["bridge"]),
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("ports", &json!([]), &bench.look("bridge", &["-j", "link"])?)
    },
    ..AT_ONCE
});

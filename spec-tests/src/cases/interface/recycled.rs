//! A CNI_NETNS that leads somewhere else by now: `/proc/PID/ns/net` after a reboot may be the
//! plugin's own namespace.

use crate::cases::{prelude::*, sight::*};

const OWN: &str = "/proc/self/ns/net";
const RECYCLED: Case = Case {
    judges: INTERFACE,
    ..COMPAT
};

submit!(Case {
    id: "del/own-netns/01",
    rule: "DEL whose CNI_NETNS is the plugin's own namespace succeeds and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        for _ in 0..2 {
            let call = bench.call("DEL", &config).env("CNI_NETNS", OWN);
            call.reply()?.succeeds_silently()?;
        }
        expect("reservations", &list(&[]), &reserved())
    },
    ..RECYCLED
});

submit!(Case {
    id: "del/own-netns/02",
    rule: "DEL whose CNI_NETNS is the plugin's own namespace leaves the host's link of the pod's name alone.",
    faults: &[Fault::After("DEL", "ip link delete eth0")],
    repairs: &[Fault::On("DEL", &Fault::Env("CNI_NETNS", ""))],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        let pair = [
            "link", "add", "eth0", "type", "veth", "peer", "name", "uplink",
        ];
        bench.run("ip", &pair)?;
        let call = bench.call("DEL", &config).env("CNI_NETNS", OWN);
        call.reply()?.succeeds_silently()?;
        let left = links(bench, HOST)?;
        expect_that(
            left.contains(&"eth0".to_owned()),
            "the host's eth0 stands",
            left.join(" "),
        )
    },
    ..RECYCLED
});

submit!(Case {
    id: "del/own-netns/03",
    rule: "DEL of an IPAM plugin with the plugin's own namespace as CNI_NETNS frees the addresses.",
    judges: Judges::Only(&["host-local"]),
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        let call = bench.call("DEL", &config).env("CNI_NETNS", OWN);
        call.reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..RECYCLED
});

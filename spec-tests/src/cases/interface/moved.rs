//! What a later plugin of the chain moved: routes that are by now in a table of the address (sbr).

use crate::cases::{prelude::*, sight::*};

submit!(Case {
    id: "spec/check/moved/01",
    rule: "CHECK succeeds when sbr moved the routes to a table of the address, and finds them gone from there.",
    judges: INTERFACE,
    source: "Section 2, CHECK: it must not fail because of what plugins behind it did",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "CHECK",
        "ip -n pod route show table 100 | grep -q '^10.88.0'"
    )],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let move_routes = "ip -n pod route show table main dev eth0 | while read -r dst rest; do
                ip -n pod route add $dst dev eth0 $(echo \"$rest\" | sed 's/linkdown//; s/proto kernel//') table 100; done
            ip -n pod rule add from 10.88.0.2 lookup 100
            ip -n pod route flush table main dev eth0";
        bench.run("sh", &["-ec", move_routes])?;
        let flush = ["ip", "-n", "pod", "route", "flush", "table", "100"];
        check_finds(bench, &after_add(&config, &result), &flush)
    },
    ..CASE
});

submit!(Case {
    id: "spec/check/moved/02",
    rule: "CHECK succeeds when vrf moved the routes to the table of a VRF, and finds the interface's address gone.",
    judges: INTERFACE,
    source: "Section 2, CHECK: it must not fail because of what plugins behind it did",
    versions: CHECKED,
    needs: &["link:vrf"],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "CHECK",
        "ip -n pod address show dev eth0 | grep -q '10.88.0.2/'"
    )],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let join = "routes=$(ip -n pod route show table main dev eth0 | grep -v 'proto kernel' || true)
            ip -n pod link add blue type vrf table 9; ip -n pod link set blue up
            ip -n pod link set eth0 master blue
            echo \"$routes\" | while read -r dst rest; do
                [ -z \"$dst\" ] || ip -n pod route replace $dst dev eth0 $(echo \"$rest\" | sed 's/linkdown//') table 9; done";
        bench.run("sh", &["-ec", join])?;
        let flush = ["ip", "-n", "pod", "address", "flush", "dev", "eth0"];
        check_finds(bench, &after_add(&config, &result), &flush)
    },
    ..CASE
});

//! CHECK: what a plugin depends on and no result lists.

use crate::cases::{prelude::*, sight::*};

const UNTRACKED: Case = Case {
    judges: Judges::Only(&["bridge"]),
    level: Level::Should,
    versions: CHECKED,
    source: "Section 2, CHECK",
    faults: &[
        Fault::Skip("CHECK"),
        Fault::On("CHECK", &Fault::ExitZero),
        Fault::Fail("CHECK"),
    ],
    ..CASE
};

/// CHECK of a pod with this configuration succeeds, and fails behind the damage.
fn finds(bench: &mut Bench, changes: Value, damage: &[&str]) -> Result<(), Failure> {
    let (config, result) = attach(bench, changes)?;
    let host = host_end(&result);
    let damage: Vec<_> = damage
        .iter()
        .map(|word| word.replace("HOST-END", &host))
        .collect();
    let damage: Vec<_> = damage.iter().map(String::as_str).collect();
    check_finds(bench, &after_add(&config, &result), &damage)
}

submit!(Case {
    id: "spec/check/untracked/01",
    rule: "CHECK finds the rules of macspoofchk gone.",
    needs: &["nft"],
    repairs: &[Fault::Instead(
        "CHECK",
        r#"nft list ruleset | grep -q ether || exit 1; exec "$REAL""#
    )],
    run: |bench| finds(
        bench,
        json!({ "macspoofchk": true }),
        &["nft", "flush", "ruleset"]
    ),
    ..UNTRACKED
});

submit!(Case {
    id: "spec/check/untracked/02",
    rule: "CHECK finds the bridge down, so that the pod is unreachable.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"ip link show suite0 up | grep -q . || exit 1; exec "$REAL""#
    )],
    run: |bench| finds(bench, json!({}), &["ip", "link", "set", "suite0", "down"]),
    ..UNTRACKED
});

submit!(Case {
    id: "spec/check/untracked/03",
    rule: "CHECK finds the gateway's address gone from the bridge, so that the pod's routes lead nowhere.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"ip address show suite0 | grep -q 10.88.0.1/24 || exit 1; exec "$REAL""#
    )],
    run: |bench| finds(
        bench,
        json!({}),
        &["ip", "address", "delete", "10.88.0.1/24", "dev", "suite0"]
    ),
    ..UNTRACKED
});

submit!(Case {
    id: "spec/check/untracked/04",
    rule: "CHECK finds the sysctl ip_forward changed that ADD set for isGateway.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"grep -q 1 /proc/sys/net/ipv4/ip_forward || exit 1; exec "$REAL""#
    )],
    run: |bench| finds(
        bench,
        json!({}),
        &["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]
    ),
    ..UNTRACKED
});

submit!(Case {
    id: "spec/check/untracked/05",
    rule: "CHECK finds the host end with a smaller MTU than configured, which loses the pod's larger packets.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"ip link show type veth | grep -q "mtu 1200" && exit 1; exec "$REAL""#
    )],
    run: |bench| finds(
        bench,
        json!({ "mtu": 1400 }),
        &["ip", "link", "set", "HOST-END", "mtu", "1200"]
    ),
    ..UNTRACKED
});

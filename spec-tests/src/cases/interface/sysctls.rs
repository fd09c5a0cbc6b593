//! The sysctls that ADD writes and that no case of one plugin alone looks at.

use crate::cases::{prelude::*, sight::*};

const SYSCTL: Case = Case {
    judges: INTERFACE,
    ..COMPAT
};

submit!(Case {
    id: "sysctl/lo/01",
    rule: "Where IPv6 was off in the pod and an IPv6 address is to be set, lo has IPv6 too: disable_ipv6 is 0.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6'"
    )],
    run: |bench| {
        bench.pod("pod")?;
        let off =
            "for c in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$c/disable_ipv6; done";
        inside(bench, "pod", &["sh", "-c", off])?;
        let config = with(bench, json!({ "ipam": six() }));
        bench.add(&config)?;
        for name in ["lo", "eth0"] {
            let seen = sysctl(bench, "pod", &format!("net/ipv6/conf/{name}/disable_ipv6"))?;
            expect(&format!("disable_ipv6 of {name}"), &"0".to_owned(), &seen)?;
        }
        Ok(())
    },
    ..SYSCTL
});

submit!(Case {
    id: "sysctl/lo/02",
    rule: "Where IPv6 is off in the pod and no IPv6 address is to be set, it stays off.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6'"
    )],
    run: |bench| {
        bench.pod("pod")?;
        let off = "for c in all default; do echo 1 > /proc/sys/net/ipv6/conf/$c/disable_ipv6; done";
        inside(bench, "pod", &["sh", "-c", off])?;
        let config = bench.config();
        bench.add(&config)?;
        let seen = sysctl(bench, "pod", "net/ipv6/conf/eth0/disable_ipv6")?;
        expect("disable_ipv6 of eth0", &"1".to_owned(), &seen)
    },
    ..SYSCTL
});

submit!(Case {
    id: "sysctl/accept-ra/01",
    rule: "Links that take routes by router advertisement go on doing so when ADD switches IPv6 forwarding on: accept_ra 1 becomes 2.",
    faults: &[Fault::After(
        "ADD",
        "echo 1 > /proc/sys/net/ipv6/conf/up0/accept_ra"
    )],
    repairs: &[Fault::Before(
        "ADD",
        "echo 2 > /proc/sys/net/ipv6/conf/up0/accept_ra"
    )],
    run: |bench| {
        uplinks(bench, "1")?;
        attach(bench, json!({ "ipam": six() }))?;
        let seen = sysctl(bench, HOST, "net/ipv6/conf/up0/accept_ra")?;
        expect("accept_ra of up0", &"2".to_owned(), &seen)
    },
    ..SYSCTL
});

submit!(Case {
    id: "sysctl/accept-ra/02",
    rule: "Links that take no router advertisements take none behind ADD either: accept_ra 0 stays.",
    faults: &[Fault::After(
        "ADD",
        "echo 2 > /proc/sys/net/ipv6/conf/up0/accept_ra"
    )],
    run: |bench| {
        uplinks(bench, "0")?;
        attach(bench, json!({ "ipam": six() }))?;
        let seen = sysctl(bench, HOST, "net/ipv6/conf/up0/accept_ra")?;
        expect("accept_ra of up0", &"0".to_owned(), &seen)
    },
    ..SYSCTL
});

/// A host that does not forward, whose link `up0` has this accept_ra.
fn uplinks(bench: &mut Bench, accept_ra: &str) -> Result<(), Failure> {
    let pair = [
        "link", "add", "up0", "type", "veth", "peer", "name", "router",
    ];
    bench.run("ip", &pair)?;
    let start = format!(
        "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding; \
         echo {accept_ra} > /proc/sys/net/ipv6/conf/up0/accept_ra"
    );
    bench.run("sh", &["-c", &start])?;
    Ok(())
}

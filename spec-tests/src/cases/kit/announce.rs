//! Whether the pod's interface announces its addresses: peers that knew them elsewhere learn the
//! new MAC address at once.

use crate::cases::{prelude::*, sight::*};

/// The interface announces no IPv4 address.
pub(in crate::cases) const NO_ARP_NOTIFY: Fault = Fault::After(
    "ADD",
    "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify'",
);

/// The interface announces no IPv6 address.
pub(in crate::cases) const NO_NDISC_NOTIFY: Fault = Fault::After(
    "ADD",
    "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/ndisc_notify'",
);

/// Either of both.
pub(in crate::cases) const UNANNOUNCED: &[Fault] = &[NO_ARP_NOTIFY, NO_NDISC_NOTIFY];

/// The interface announces its IPv4 addresses.
pub(in crate::cases) const ARP_NOTIFY: Fault = Fault::After(
    "ADD",
    "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify'",
);

/// The interface announces its IPv6 addresses.
pub(in crate::cases) const NDISC_NOTIFY: Fault = Fault::After(
    "ADD",
    "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/ndisc_notify'",
);

/// `eth0` of the pod announces its IPv4 addresses.
pub(in crate::cases) fn announces_four(bench: &mut Bench) -> Result<(), Failure> {
    is_on(bench, "net/ipv4/conf/eth0/arp_notify")
}

/// `eth0` of the pod announces its IPv6 addresses.
pub(in crate::cases) fn announces_six(bench: &mut Bench) -> Result<(), Failure> {
    is_on(bench, "net/ipv6/conf/eth0/ndisc_notify")
}

/// `eth0` of the pod announces the addresses of both families.
pub(in crate::cases) fn announces(bench: &mut Bench) -> Result<(), Failure> {
    announces_four(bench)?;
    announces_six(bench)
}

fn is_on(bench: &mut Bench, key: &str) -> Result<(), Failure> {
    expect(key, &"1".to_owned(), &sysctl(bench, "pod", key)?)
}

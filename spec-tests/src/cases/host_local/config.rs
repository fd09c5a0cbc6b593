//! host-local: configurations that must be refused, with words that users search for.

use crate::cases::{host_local::HOST_LOCAL, prelude::*, sight::*};

refused!(HOST_LOCAL, "host-local/config/01", "A configuration without 'ipam' is refused.",
    { "ipam": null }, ["missing 'ipam' key"]);

refused!(HOST_LOCAL, "host-local/config/02", "A configuration without any range is refused.",
    { "ipam": { "type": "host-local" } }, ["no IP ranges specified"]);

refused!(HOST_LOCAL, "host-local/config/03", "A subnet with host bits is refused, and the network's address is named.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.5/24" } }, ["host bits set", "10.88.0.0"]);

refused!(HOST_LOCAL, "host-local/config/04", "An IPv4 subnet that leaves no room for a gateway and a pod is refused.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }, ["10.88.0.0/31", "too small"]);

refused!(HOST_LOCAL, "host-local/config/05", "An IPv6 subnet that leaves no room for a gateway and a pod is refused.",
    { "ipam": { "type": "host-local", "subnet": "2001:db8::/127" } }, ["2001:db8::/127", "too small"]);

refused!(HOST_LOCAL, "host-local/config/06", "A rangeStart outside the subnet is refused.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "rangeStart": "10.89.0.5" } },
    ["RangeStart 10.89.0.5 not in network 10.88.0.0/24"]);

refused!(HOST_LOCAL, "host-local/config/07", "A rangeEnd outside the subnet is refused.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "rangeEnd": "10.89.0.5" } },
    ["RangeEnd 10.89.0.5 not in network 10.88.0.0/24"]);

refused!(HOST_LOCAL, "host-local/config/08", "A rangeEnd before rangeStart is refused.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.9", "rangeEnd": "10.88.0.5" } },
    ["invalid range set 0", "10.88.0."]);

refused!(HOST_LOCAL, "host-local/config/09", "A subnet that is no CIDR is refused and named.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0" } }, ["invalid CIDR address: 10.88.0.0"]);

refused!(HOST_LOCAL, "host-local/config/10", "A gateway that is no address is refused and named.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "gateway": "10.88.0.999" } },
    ["invalid IP address: 10.88.0.999"]);

refused!(HOST_LOCAL, "host-local/config/11", "Ranges of one set that overlap are refused.",
    { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/24" }, { "subnet": "10.88.0.0/16" }]] } },
    ["invalid range set 0", "overlap"]);

refused!(HOST_LOCAL, "host-local/config/12", "Range sets that overlap are refused and both are named.",
    { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "10.88.0.0/16" }]] } },
    ["range set 0 overlaps with 1"]);

refused!(HOST_LOCAL, "host-local/config/13", "A range set with both families is refused.",
    { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/24" }, { "subnet": "2001:db8::/64" }]] } },
    ["mixed address families"]);

refused!(HOST_LOCAL, "host-local/config/14", "An empty range set is refused.",
    { "ipam": { "type": "host-local", "ranges": [[]] } }, ["empty range set"]);

refused!(HOST_LOCAL, "host-local/config/15", "A subnet of the wrong JSON type is refused.",
    { "ipam": { "type": "host-local", "subnet": 5 } }, ["json"]);

refused!(HOST_LOCAL, "host-local/config/16", "A rangeStart of the other family is refused.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "rangeStart": "2001:db8::5" } },
    ["invalid range set 0"]);

refused!(HOST_LOCAL, "host-local/config/17", "The number of the bad range set is named.",
    { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "10.89.0.7/24" }]] } },
    ["invalid range set 1"]);

refused!(HOST_LOCAL, "host-local/config/18", "A range without a subnet is refused.",
    { "ipam": { "type": "host-local", "ranges": [[{ "rangeStart": "10.88.0.5" }]] } }, ["invalid range set 0"]);

submit!(Case {
    id: "host-local/config/19",
    rule: "A refused configuration reserves nothing.",
    faults: &[Fault::After(
        "ADD",
        "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2"
    )],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "ipam": host_local(&["10.88.0.0/24", "10.88.0.0/16"]) }),
            &["overlaps"],
        )?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

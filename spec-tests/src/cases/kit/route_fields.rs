//! The fields of a route that version 1.1.0 added: what to ask for, what the kernel then shows, and
//! what makes a release right that does not know them.

use crate::cases::prelude::*;

/// Routes with a metric each, one per family.
pub(in crate::cases) fn with_priorities() -> Value {
    json!([{ "dst": "192.168.5.0/24", "priority": 77 }, { "dst": "2001:db8:5::/48", "priority": 78 }])
}

/// What the kernel shows of them.
pub(in crate::cases) const WITH_PRIORITIES: &[&str] = &[
    "192.168.5.0/24 via 10.88.0.1 dev eth0 metric 77",
    "2001:db8:5::/48 via 2001:db8::1 dev eth0 metric 78",
];

/// What 1.6.0 and later do with them.
pub(in crate::cases) const PRIORITIES: &[Fault] = &[
    Fault::Where(
        "/ipam/routes/0/priority",
        &Fault::After(
            "ADD",
            "ip -n pod route del 192.168.5.0/24; ip -n pod route add 192.168.5.0/24 via 10.88.0.1 metric 77",
        ),
    ),
    Fault::Where(
        "/ipam/routes/1/priority",
        &Fault::After(
            "ADD",
            "ip -n pod -6 route del 2001:db8:5::/48; ip -n pod -6 route add 2001:db8:5::/48 via 2001:db8::1 metric 78",
        ),
    ),
];

/// Routes for table 77, one per family.
pub(in crate::cases) fn with_tables() -> Value {
    json!([{ "dst": "192.168.5.0/24", "table": 77 }, { "dst": "2001:db8:5::/48", "table": 77 }])
}

/// What the kernel shows of them in that table.
pub(in crate::cases) const WITH_TABLES: &[&str] = &[
    "192.168.5.0/24 via 10.88.0.1 dev eth0",
    "2001:db8:5::/48 via 2001:db8::1 dev eth0",
];

/// What 1.6.0 and later do with them.
pub(in crate::cases) const TABLES: &[Fault] = &[
    Fault::Where(
        "/ipam/routes/0/table",
        &Fault::After(
            "ADD",
            "ip -n pod route del 192.168.5.0/24; ip -n pod route add 192.168.5.0/24 via 10.88.0.1 table 77",
        ),
    ),
    Fault::Where(
        "/ipam/routes/1/table",
        &Fault::After(
            "ADD",
            "ip -n pod -6 route del 2001:db8:5::/48; ip -n pod -6 route add 2001:db8:5::/48 via 2001:db8::1 table 77",
        ),
    ),
];

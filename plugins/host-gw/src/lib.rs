//! The CNI plugin `host-gw`, which attaches a pod to the subnet that netd leased for this node. The
//! backend, which netd runs, is the crate `host-gw-backend` beside it.

use flannel::{Needs, SubnetPlugin};

/// The CNI plugin `host-gw`: available once subnet.env exists.
pub static HOST_GW: SubnetPlugin = SubnetPlugin::new(
    "host-gw",
    Needs::SubnetFile,
    include_str!("../example.conflist"),
);

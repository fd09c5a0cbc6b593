//! The CNI plugin `vxlan`, which attaches a pod to the subnet that netd leased for this node. The
//! backend, which netd runs, is the crate `vxlan-backend` beside it.

use flannel::{Needs, SubnetPlugin};

/// The CNI plugin `vxlan`: available once subnet.env and a device `flannel.<VNI>` exist.
pub static VXLAN: SubnetPlugin = SubnetPlugin::new(
    "vxlan",
    Needs::VxlanDevice,
    include_str!("../example.conflist"),
);

//! The backend `vxlan`, which joins the nodes by one VXLAN device per address family, and the
//! CNI plugin `vxlan`, which attaches a pod to the subnet that netd leased for this node.

pub mod backend;

use subnet::attachment::{Needs, SubnetPlugin};

/// The CNI plugin `vxlan`: available once subnet.env and a device `flannel.<VNI>` exist.
pub static VXLAN: SubnetPlugin = SubnetPlugin::new("vxlan", Needs::VxlanDevice);

/// The CNI plugin `flannel`: the same with either backend.
pub static FLANNEL: SubnetPlugin = SubnetPlugin::new("flannel", Needs::SubnetFile);

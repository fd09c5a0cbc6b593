//! The backend `host-gw`, which routes to the peers' own addresses on a shared link, and the
//! CNI plugin `host-gw`, which attaches a pod to the subnet that netd leased for this node.

pub mod backend;

use subnet::attachment::{Needs, SubnetPlugin};

/// The CNI plugin `host-gw`: available once subnet.env exists.
pub static HOST_GW: SubnetPlugin = SubnetPlugin::new("host-gw", Needs::SubnetFile);

//! What the backends `vxlan` and `host-gw` share, in both of their halves: the kernel objects
//! that a backend wants for the cluster's leases ([`datapath`], [`underlay`]), and the CNI
//! plugin that attaches a pod to the subnet leased to its node ([`attachment`]).

pub mod attachment;
pub mod datapath;
pub mod file;
pub mod underlay;

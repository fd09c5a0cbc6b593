//! What the nodes of a cluster agree on: the network configuration, subnet leases, `subnet.env`, and
//! the arithmetic of subnets. Pure: text in, values out, and back; no files, no network.
//!
//! The formats are flannel's, byte for byte, so that both daemons can share one cluster.

mod annotations;
mod attrs;
mod backend;
mod config;
mod ipip;
mod object;
mod pool;
mod subnet_env;
mod subnets;
mod udp;
mod vtep;
mod wireguard;

pub use annotations::{
    AnnotationKeys, Families, NodeError, PrefixError, PublicAddresses, pod_cidrs,
};
pub use attrs::{AttrsError, Lease, LeaseAttrs, RawJson};
pub use backend::{
    Backend, BackendError, ExtensionOptions, MAX_VNI_V4, MAX_VNI_V6, VXLAN_OVERHEAD, VxlanOptions,
};
pub use config::{Allocation, Complaint, Complaints, ConfigError, NetworkConfig};
pub use ipip::{IPIP_DEVICE, IpipOptions, is_ipip_device};
pub use object::{JsonError, Object};
pub use pool::{Pool, Taken};
pub use subnet_env::{SubnetEnv, SubnetEnvError};
pub use subnets::{KeyError, Subnets, overlap};
pub use udp::{UDP_DEVICE, UdpOptions, is_udp_device};
pub use vtep::{VtepData, VtepError, is_vxlan_device, vxlan_device};
pub use wireguard::{
    Psk, WIREGUARD_OVERHEAD, WireguardData, WireguardDataError, WireguardMode, WireguardOptions,
    is_wireguard_device, parse_key, print_key, wireguard_device,
};

/// Whether a device is called as any backend calls its own.
pub fn is_backend_device(name: &str) -> bool {
    is_vxlan_device(name)
        || is_wireguard_device(name)
        || is_ipip_device(name)
        || is_udp_device(name)
}

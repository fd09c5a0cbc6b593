//! What the cases of several subjects share: links, packets, and looking at the kernel.

pub(in crate::cases) mod alike;
pub(in crate::cases) mod announce;
pub(in crate::cases) mod http;
pub(in crate::cases) mod links;
pub(in crate::cases) mod packets;
pub(in crate::cases) mod route_fields;
pub(in crate::cases) mod sight;

//! DHCP for IPv4 as a client speaks it (RFC 2131, options of RFC 2132): messages, what a lease
//! is, and when what is said. Only [`wire`] touches the kernel.

pub(crate) mod ask;
pub(crate) mod exchange;
pub(crate) mod lease;
pub(crate) mod message;
pub(crate) mod packet;
pub(crate) mod timing;
pub(crate) mod wire;

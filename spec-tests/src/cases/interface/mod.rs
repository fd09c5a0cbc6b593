//! What is asked of every plugin that makes an interface.

mod attach;
mod beside;
mod ipam;
mod masquerade;

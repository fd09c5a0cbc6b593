//! What is asked of every plugin that makes an interface.

mod announce;
mod attach;
mod beside;
mod ipam;
mod masquerade;
mod moved;
mod recycled;
mod returned;
mod sysctls;

//! The daemon that joins the nodes' pod networks into one: it leases this node's subnet in a
//! store, and makes the kernel reach the subnets of all other nodes.
//!
//! Needs CAP_NET_ADMIN in the network namespace of the node, and write access to the directory
//! of subnet.env.

pub mod availability;
pub mod backends;
pub mod check_config;
pub mod cleanup;
pub mod commands;
pub mod daemon;
pub mod describe;
pub mod doctor;
pub mod endpoint;
pub mod extension;
pub mod facts;
pub mod firewall;
pub mod flags;
pub mod forwarding;
pub mod health;
pub mod http;
pub mod interface;
pub mod lease;
pub mod log;
pub mod notify;
pub mod options;
pub mod pages;
mod ports;
pub mod probe;
pub mod query;
pub mod reconcile;
mod retry;
pub mod stamp;
pub mod status;
pub mod store;
pub mod surroundings;
pub mod underlay;
pub mod unreadable;
pub mod watch;
pub mod wireguard_key;

/// An error with all its causes in one line: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

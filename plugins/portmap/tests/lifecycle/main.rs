//! portmap on a host of its own, looked at with nft(8), iptables(8) and real packets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod claims;
mod every_prefix;
mod iptables;
mod native;
mod packets;
mod reference;
mod restore;
mod support;

#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    harness::steps::child(&portmap::PORTMAP);
}

//! The path to one peer: probed with pings that may not be fragmented.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use ipnetwork::IpNetwork;

use super::checks::Finding;
use super::facts::{Facts, Peer};
use crate::probe::headers;

/// A ping that every path carries.
const SMALL: u32 = 56;

/// Whether a ping of so many bytes comes back; an error when there is no ping.
type Ping<'a> = &'a dyn Fn(IpAddr, u32) -> Result<bool, String>;

/// The peer that `node` names: its public address, its subnet, or an address in that.
pub(super) fn find<'a>(facts: &'a Facts, node: &str) -> Option<&'a Peer> {
    let address: Option<IpAddr> = node.parse().ok();
    let subnet: Option<IpNetwork> = node.parse().ok();
    facts.peers.iter().find(|peer| {
        let named =
            address.is_some_and(|address| peer.public == address || peer.subnet.contains(address));
        named || subnet == Some(peer.subnet)
    })
}

/// Probes the way to the peer's public address, then the overlay.
pub(super) fn probe(facts: &Facts, peer: &Peer, ping: Ping<'_>) -> Result<Vec<Finding>, String> {
    let mut found = vec![underlay(facts, peer, ping)?];
    found.extend(overlay(facts, peer, ping)?);
    Ok(found)
}

fn finding(check: &'static str, ok: bool, found: String, means: &str, mend: String) -> Finding {
    Finding {
        check,
        ok,
        found,
        means: means.to_owned(),
        mend,
    }
}

fn underlay(facts: &Facts, peer: &Peer, ping: Ping<'_>) -> Result<Finding, String> {
    let public = peer.public;
    let check = "path";
    if !ping(public, SMALL)? {
        return Ok(finding(
            check,
            false,
            format!("{public} does not answer pings"),
            "the node is down or cannot be reached, or something on the way drops pings",
            format!("ping {public}; traceroute {public}; ip route get {public}"),
        ));
    }
    let mtu = facts.link(&facts.external).map_or(1500, |link| link.mtu);
    let carried = largest(SMALL, mtu.saturating_sub(headers(public)), |size| {
        ping(public, size)
    })?;
    let carried = carried + headers(public);
    if carried >= mtu {
        return Ok(finding(
            check,
            true,
            format!("the path to {public} carries packets of {mtu} bytes"),
            "",
            String::new(),
        ));
    }
    let means = "what is larger vanishes on the way: large packets between pods of the two nodes, \
                 where the tunnel makes them so";
    Ok(finding(
        check,
        false,
        format!(
            "the path to {public} carries packets of {carried} bytes, and {} of this node sends up \
             to {mtu}",
            facts.external
        ),
        means,
        format!(
            "mend the path, or put \"MTU\": {carried} into Backend of the network config and \
             restart netd on all nodes"
        ),
    ))
}

/// The largest size that passes, of `low` (which does) to `high`.
fn largest(
    low: u32,
    high: u32,
    passes: impl Fn(u32) -> Result<bool, String>,
) -> Result<u32, String> {
    if passes(high)? {
        return Ok(high);
    }
    let (mut passing, mut failing) = (low, high);
    while failing - passing > 1 {
        let middle = passing + (failing - passing) / 2;
        match passes(middle)? {
            true => passing = middle,
            false => failing = middle,
        }
    }
    Ok(passing)
}

fn overlay(facts: &Facts, peer: &Peer, ping: Ping<'_>) -> Result<Vec<Finding>, String> {
    let check = "overlay";
    let tunnel = facts.tunnels().any(|(link, ..)| link.name == peer.device);
    // A tunnel's end has the subnet's own address; a bridge of pods the first one in it.
    let there = match tunnel {
        true => peer.subnet.network(),
        false => first(peer.subnet),
    };
    if !ping(there, SMALL)? {
        let (means, mend) = match tunnel {
            true => (
                "no packet comes back through the tunnel: it is dropped on the way there or back",
                format!(
                    "let UDP port {} pass between the nodes' public addresses (firewalls, security \
                     groups); then on the peer: netd doctor",
                    facts.port.unwrap_or_default()
                ),
            ),
            false => (
                "no pod is there yet, or packets are dropped on the way",
                "attach a pod there and try again; then on the peer: netd doctor".to_owned(),
            ),
        };
        let found = format!(
            "{there} of {} does not answer over the overlay",
            peer.public
        );
        return Ok(vec![finding(check, false, found, means, mend)]);
    }
    let mtu = match &facts.subnet_env {
        Some(Ok(env)) => env.mtu,
        _ => facts.link(&peer.device).map_or(1500, |link| link.mtu),
    };
    let full = ping(there, mtu.saturating_sub(headers(there)))?;
    let found = match full {
        true => format!("small packets and those of {mtu} bytes come back from {there}"),
        false => format!("small packets come back from {there}, those of {mtu} bytes do not"),
    };
    let means = match full {
        true => "",
        false => "connections between pods open, and hang when there is something to send",
    };
    let mend = match full {
        true => String::new(),
        false => "see the finding about the path; put a smaller \"MTU\" into Backend of the \
                  network config, and restart netd on all nodes"
            .to_owned(),
    };
    Ok(vec![finding(check, full, found, means, mend)])
}

fn first(subnet: IpNetwork) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(first) => IpAddr::V4((first.to_bits() | 1).into()),
        IpAddr::V6(first) => IpAddr::V6((first.to_bits() | 1).into()),
    }
}

/// ping(8): two packets, one answer is enough.
#[allow(
    clippy::disallowed_methods,
    reason = "doctor asks as an administrator would, and nothing else runs it"
)]
pub(super) fn ping(to: IpAddr, size: u32) -> Result<bool, String> {
    let status = Command::new("ping")
        .args([
            "-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s",
        ])
        .args([size.to_string(), to.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) => Ok(status.success()),
        Err(error) => Err(format!(
            "cannot run ping ({error}): install it (package iputils-ping)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_passes_is_found() {
        for limit in [57, 100, 1272, 1471, 1472, 5000] {
            let found = largest(56, 1472, |size| Ok(size <= limit));
            assert_eq!(found, Ok(limit.min(1472)), "{limit}");
        }
    }
}

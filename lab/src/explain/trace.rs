//! What the packet filter of a node does to a packet: the kernel's own word, by nftables' trace. The rule
//! that asks for it is in a table that its process owns (`flags owner`, nft(8)): however that ends, the
//! kernel takes the table away.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::place::Place;

const TABLE: &str = "lab_explain";
/// What is asked for must be there before the packet, and nft does not say when.
const SETTLES: Duration = Duration::from_millis(300);
/// A packet that is not seen is sent again: the machine may be busy.
const ATTEMPTS: usize = 5;
/// From the packet to the last line about it.
const LASTS: Duration = Duration::from_millis(500);

/// What became of the packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did not come here.
    Absent,
    /// No rule of nftables, or of an iptables that is made of it, dropped it.
    Passed,
    /// This chain did, by this rule or policy.
    Dropped(String),
}

/// A child that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has `send` send a packet from `source` to `to`, and says what the filter of `node` does to it.
///
/// # Errors
/// nft cannot be run.
pub(super) fn of_packet(
    node: &Place,
    source: IpAddr,
    to: IpAddr,
    send: impl Fn() -> Result<()>,
) -> Result<Verdict> {
    let mut monitor =
        Running(node.start("nft", &["monitor", "trace"], Stdio::null(), Stdio::piped())?);
    let lines = lines_of(&mut monitor.0)?;
    let mut asking = Running(node.start("nft", &["-i"], Stdio::piped(), Stdio::null())?);
    let mut asked = asking.0.stdin.take().context("nft has no standard input")?;
    asked
        .write_all(rules(source, to).as_bytes())
        .context("tell nft")?;
    let mut seen = Verdict::Absent;
    for _ in 0..ATTEMPTS {
        std::thread::sleep(SETTLES);
        send()?;
        seen = verdict(&heard(&lines));
        if seen != Verdict::Absent {
            break;
        }
    }
    Ok(seen)
}

fn rules(source: IpAddr, to: IpAddr) -> String {
    let (family, ping) = match to {
        IpAddr::V4(_) => ("ip", "icmp"),
        IpAddr::V6(_) => ("ip6", "ipv6-icmp"),
    };
    format!(
        "add table inet {TABLE} {{ flags owner; }}\n\
         add chain inet {TABLE} trace {{ type filter hook prerouting priority -500; }}\n\
         add rule inet {TABLE} trace {family} saddr {source} {family} daddr {to} \
         meta l4proto {ping} meta nftrace set 1\n"
    )
}

fn lines_of(monitor: &mut Child) -> Result<Receiver<String>> {
    let printed = monitor
        .stdout
        .take()
        .context("nft has no standard output")?;
    let (told, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

fn heard(lines: &Receiver<String>) -> Vec<String> {
    let end = Instant::now() + LASTS;
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => all.push(line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return all,
        }
    }
}

/// `trace id 03458ebb ip filter FORWARD policy drop`
fn verdict(lines: &[String]) -> Verdict {
    let of_rules = lines.iter().filter_map(|line| {
        let rest = line.strip_prefix("trace id ")?;
        let (_, rest) = rest.split_once(' ')?;
        Some(rest.trim())
    });
    let mut verdict = Verdict::Absent;
    for line in of_rules {
        verdict = Verdict::Passed;
        let ends = ["policy drop", "verdict drop", "(verdict drop)"];
        if ends.iter().any(|end| line.ends_with(end)) {
            return Verdict::Dropped(line.to_owned());
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "trace id b1135506 inet lab_explain trace packet: iif \"vp\" ip saddr 10.0.1.2";

    fn of(lines: &[&str]) -> Verdict {
        verdict(
            &lines
                .iter()
                .map(|&line| line.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_kernels_lines_are_read() {
        assert_eq!(of(&[]), Verdict::Absent);
        let passed = [HEAD, "trace id b1135506 ip filter FORWARD policy accept "];
        assert_eq!(of(&passed), Verdict::Passed);
        for drop in [
            "ip filter FORWARD policy drop",
            "ip filter FORWARD rule ip saddr 10.0.1.2 counter packets 0 bytes 0 drop (verdict drop)",
            "inet fw forward rule reject with icmp type admin-prohibited (verdict drop)",
        ] {
            let line = format!("trace id b1135506 {drop} ");
            assert_eq!(of(&[HEAD, &line]), Verdict::Dropped(drop.to_owned()));
        }
    }
}

//! How it is made: qdiscs at both ends of a cable.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kernel::qdisc::{Handle, Netem, Qdisc, QdiscKind, Tbf};
use kernel::{IfName, Link, LinkIndex, NetNs, Netlink};
use sandbox::Process;

use super::Impairment;
use crate::topology::Cable;

/// How long a packet waits at most for its turn.
const LATENCY: Duration = Duration::from_millis(50);
/// Two full frames: the least that a bucket must hold for packets to leave at the rate at all.
const LEAST_BURST: u64 = 2 * 1514;

/// Both ends of a cable: the member's, and the underlay's.
pub struct Ends([(Netlink, LinkIndex); 2]);

impl Ends {
    /// # Errors
    /// The member or the underlay has ended.
    pub fn of(keeper: &Process, member: &Process, cable: &Cable) -> Result<Self> {
        let inside = end(member, &cable.interface)?;
        let outside = end(keeper, &cable.port)?;
        Ok(Self([inside, outside]))
    }

    /// # Errors
    /// As [`Impairment::require_support`].
    pub fn require_support(&self, impairment: &Impairment) -> Result<()> {
        let (netlink, _) = &self.0[0];
        impairment.require_support(netlink)
    }

    /// Makes the link as bad as that, and no worse.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn apply(&self, impairment: &Impairment) -> Result<()> {
        for (netlink, link) in &self.0 {
            if let Some(root) = netlink.qdisc(*link, Handle::ROOT)? {
                netlink.delete_qdisc(&root)?;
            }
            for qdisc in qdiscs(*link, impairment) {
                netlink.add_qdisc(&qdisc)?;
            }
        }
        Ok(())
    }
}

fn end(process: &Process, name: &str) -> Result<(Netlink, LinkIndex)> {
    let namespace = NetNs::open(format!("/proc/{}/ns/net", process.pid))?;
    let netlink = Netlink::open_in(&namespace)?;
    let name: IfName = name.parse()?;
    let Link { index, .. } = netlink
        .link(&name)?
        .with_context(|| format!("there is no link {name}"))?;
    Ok((netlink, index))
}

pub(super) fn require_support(impairment: &Impairment, netlink: &Netlink) -> Result<()> {
    for (kind, option) in [
        (
            emulator(impairment),
            "CONFIG_NET_SCH_NETEM, module sch_netem",
        ),
        (limiter(impairment), "CONFIG_NET_SCH_TBF, module sch_tbf"),
    ] {
        let Some(kind) = kind else { continue };
        if !netlink.has_qdisc_kind(&kind)? {
            bail!("this kernel has no qdisc {} ({option})", kind.name());
        }
    }
    Ok(())
}

/// What is wrong with packets themselves comes first, the rate behind it.
fn qdiscs(link: LinkIndex, impairment: &Impairment) -> Vec<Qdisc> {
    let kinds = [emulator(impairment), limiter(impairment)]
        .into_iter()
        .flatten();
    let places = [Qdisc::root, Qdisc::behind_root];
    kinds
        .zip(places)
        .map(|(kind, place)| place(link, kind))
        .collect()
}

fn emulator(impairment: &Impairment) -> Option<QdiscKind> {
    if impairment.delay_ms.is_none() && impairment.loss_percent.is_none() {
        return None;
    }
    let delay = Duration::from_millis(impairment.delay_ms.unwrap_or(0).into());
    let loss = impairment.loss_percent.unwrap_or(0.0) / 100.0;
    Some(QdiscKind::Netem(Netem::new(delay, loss)))
}

fn limiter(impairment: &Impairment) -> Option<QdiscKind> {
    let bytes = impairment.rate_bits? / 8;
    // What comes in 10 ms.
    let burst = u32::try_from((bytes / 100).max(LEAST_BURST)).unwrap_or(u32::MAX);
    Some(QdiscKind::Tbf(Tbf::new(bytes, burst, LATENCY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_at_the_root() {
        let places = |impairment: Impairment| -> Vec<String> {
            let qdiscs = qdiscs(LinkIndex(7), &impairment);
            qdiscs.iter().map(ToString::to_string).collect()
        };
        let mut impairment = Impairment::default();
        assert_eq!(places(impairment), [""; 0]);
        impairment.rate_bits = Some(1_000_000);
        let burst = "burst 3028b lat 50ms";
        assert_eq!(
            places(impairment),
            [format!("tbf 1: dev 7 root rate 1Mbit {burst}")]
        );
        impairment.delay_ms = Some(20);
        impairment.loss_percent = Some(2.5);
        assert_eq!(
            places(impairment),
            [
                "netem 1: dev 7 root limit 10000 delay 20ms loss 2.5%".to_owned(),
                format!("tbf 2: dev 7 parent 1:1 rate 1Mbit {burst}"),
            ]
        );
    }
}

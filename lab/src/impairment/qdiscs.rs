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
/// Of a frame before its packet: the `hard_header_len` of an Ethernet device, which tbf counts
/// (`psched_mtu` of net/pkt_sched.h).
const ETHERNET_HEADER: u64 = 14;

/// Both ends of a cable: the member's, and the underlay's.
pub struct Ends([(Netlink, Link); 2]);

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
            if let Some(root) = netlink.qdisc(link.index, Handle::ROOT)? {
                netlink.delete_qdisc(&root)?;
            }
            for qdisc in qdiscs(link.index, link.mtu, impairment) {
                netlink.add_qdisc(&qdisc)?;
            }
        }
        Ok(())
    }
}

fn end(process: &Process, name: &str) -> Result<(Netlink, Link)> {
    let namespace = NetNs::open(format!("/proc/{}/ns/net", process.pid))?;
    let netlink = Netlink::open_in(&namespace)?;
    let name: IfName = name.parse()?;
    let link = netlink
        .link(&name)?
        .with_context(|| format!("there is no link {name}"))?;
    Ok((netlink, link))
}

pub(super) fn require_support(impairment: &Impairment, netlink: &Netlink) -> Result<()> {
    for (kind, option) in [
        (
            emulator(impairment),
            "CONFIG_NET_SCH_NETEM, module sch_netem",
        ),
        // Of any link.
        (limiter(impairment, 0), "CONFIG_NET_SCH_TBF, module sch_tbf"),
    ] {
        let Some(kind) = kind else { continue };
        if !netlink.has_qdisc_kind(&kind)? {
            bail!("this kernel has no qdisc {} ({option})", kind.name());
        }
    }
    Ok(())
}

/// What is wrong with packets themselves comes first, the rate behind it.
fn qdiscs(link: LinkIndex, mtu: u32, impairment: &Impairment) -> Vec<Qdisc> {
    let kinds = [emulator(impairment), limiter(impairment, mtu)]
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

/// Its bucket holds what comes in 10 ms, and two full frames of a link with packets of `mtu` bytes at least: tbf drops
/// each frame that the bucket cannot hold, and takes the larger ones of segmentation offload apart into such frames
/// (`tbf_enqueue` of net/sched/sch_tbf.c).
fn limiter(impairment: &Impairment, mtu: u32) -> Option<QdiscKind> {
    let bytes = impairment.rate_bits? / 8;
    let frames = 2 * (u64::from(mtu) + ETHERNET_HEADER);
    let burst = u32::try_from((bytes / 100).max(frames)).unwrap_or(u32::MAX);
    Some(QdiscKind::Tbf(Tbf::new(bytes, burst, LATENCY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_at_the_root() {
        let places = |impairment: Impairment| -> Vec<String> {
            let qdiscs = qdiscs(LinkIndex(7), 1500, &impairment);
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

    /// Frames with their headers, at the least rate that there is and on both sides of where 10 ms hold more.
    #[test]
    fn a_bucket_holds_a_full_frame_whatever_the_rate() {
        for (rate_bits, mtu, expected) in [
            (8_000, 1500, 3_028),
            (2_400_000, 1500, 3_028),
            (2_500_000, 1500, 3_125),
            (500_000, 9000, 18_028),
            (7_000_000, 9000, 18_028),
            (14_500_000, 9000, 18_125),
            (8_000, 65_535, 131_098),
        ] {
            let impairment = Impairment {
                rate_bits: Some(rate_bits),
                ..Impairment::default()
            };
            let Some(QdiscKind::Tbf(tbf)) = limiter(&impairment, mtu) else {
                panic!("a rate is tbf's");
            };
            // It counts in ticks, which take less than a frame from it.
            let burst = tbf.burst();
            assert!(
                (expected - 8..=expected).contains(&burst),
                "{rate_bits} bit/s, MTU {mtu}: {burst}"
            );
        }
    }
}

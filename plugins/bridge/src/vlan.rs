//! VLANs of the pod's port: which ones it is a member of, and making it so.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kernel::{BridgeVlan, IfName, Link, Netlink, vlan::Member};

use crate::error::{Error, Result};

/// All that there are (IEEE 802.1Q).
const ALL: RangeInclusive<u16> = 1..=4094;
/// The one that a port belongs to by default.
const DEFAULT: u16 = 1;

/// The VLANs that the configuration asks for. With any of them the bridge filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vlans {
    /// That of untagged frames: `vlan`.
    pub access: Option<u16>,
    /// Those of tagged frames: `vlanTrunk`.
    pub trunk: BTreeSet<u16>,
    /// The port keeps the VLAN that it got when it joined the bridge.
    pub preserve_default: bool,
}

/// That the port is a member of VLANs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    vids: RangeInclusive<u16>,
    /// Untagged frames belong to it, both ways.
    native: bool,
}

impl Vlans {
    /// Where untagged frames belong: to `vlan`, also where the trunk holds it, or to the default VLAN
    /// beside a trunk. `None`: nothing is asked for, and the kernel's default stays.
    fn native(&self) -> Option<u16> {
        let beside_trunk = (!self.trunk.is_empty()).then_some(DEFAULT);
        self.access.or(beside_trunk)
    }

    /// What the port becomes a member of.
    fn memberships(&self) -> Vec<Membership> {
        let Some(native) = self.native() else {
            return Vec::new();
        };
        let tagged = self.trunk.iter().filter(|vid| **vid != native);
        let mut all: Vec<Membership> = runs(tagged.copied())
            .into_iter()
            .map(|vids| Membership {
                vids,
                native: false,
            })
            .collect();
        all.push(Membership {
            vids: native..=native,
            native: true,
        });
        all
    }

    /// Makes the port, which has just joined the bridge, a member. It goes with the port.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn join(&self, host: &Netlink, port: &Link) -> Result<()> {
        let memberships = self.memberships();
        if memberships.is_empty() {
            return Ok(());
        }
        let vlan = |vids: &RangeInclusive<u16>, native| BridgeVlan {
            link: port.index,
            member: Member::Port,
            vids: vids.clone(),
            pvid: native,
            untagged: native,
        };
        let refused = |source: kernel::Error| Error::PortVlans {
            port: port.name.to_string(),
            source: source.into(),
        };
        if !self.preserve_default {
            // Asking which one it is would list the VLANs of every port of the host.
            let all = vlan(&ALL, false);
            host.delete_bridge_vlan(&all).map_err(refused)?;
        }
        for membership in &memberships {
            let vlan = vlan(&membership.vids, membership.native);
            host.add_bridge_vlan(&vlan).map_err(refused)?;
        }
        Ok(())
    }

    /// The port is a member of what it shall be, and of nothing else.
    ///
    /// # Errors
    /// The first VLAN that is missing, too many, or otherwise; the VLANs cannot be read.
    pub(crate) fn check(&self, host: &Netlink, port: &Link) -> Result<(), cni::Error> {
        let seen = host.bridge_vlans(port.index).map_err(Error::from)?;
        self.compare(&port.name, &seen)
            .map_err(cni::Error::internal)
    }

    fn compare(&self, port: &IfName, seen: &[BridgeVlan]) -> Result<(), Mismatch> {
        let wanted = self.memberships();
        let mismatch = |vid, problem| Mismatch {
            port: port.to_string(),
            vid,
            problem,
        };
        for membership in &wanted {
            for vid in membership.vids.clone() {
                let there = seen.iter().find(|vlan| vlan.vids.contains(&vid));
                let there = there.ok_or_else(|| mismatch(vid, "is missing"))?;
                if membership.native
                    && !(there.pvid && there.untagged)
                    && !self.trunk.contains(&vid)
                {
                    return Err(mismatch(vid, "is not that of untagged frames"));
                }
                if !membership.native && there.untagged {
                    return Err(mismatch(vid, "is not tagged"));
                }
            }
        }
        if wanted.is_empty() || self.preserve_default {
            return Ok(());
        }
        let is_wanted = |vid: &u16| wanted.iter().any(|one| one.vids.contains(vid));
        let more = seen.iter().map(|vlan| vlan.vids.start());
        match more.copied().find(|vid| !is_wanted(vid)) {
            Some(vid) => Err(mismatch(vid, "is not in the configuration")),
            None => Ok(()),
        }
    }
}

/// A VLAN of a port that is not as configured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Port {port}: VLAN {vid} {problem}")]
pub(crate) struct Mismatch {
    port: String,
    vid: u16,
    problem: &'static str,
}

/// Consecutive numbers as ranges.
fn runs(numbers: impl Iterator<Item = u16>) -> Vec<RangeInclusive<u16>> {
    let mut runs: Vec<RangeInclusive<u16>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(last) if last.end() + 1 == number => *last = *last.start()..=number,
            _ => runs.push(number..=number),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use kernel::LinkIndex;

    use super::*;

    fn vlans(access: u16, trunk: &[u16], preserve_default: bool) -> Vlans {
        Vlans {
            access: (access != 0).then_some(access),
            trunk: trunk.iter().copied().collect(),
            preserve_default,
        }
    }

    #[test]
    fn untagged_frames_have_one_vlan_and_the_trunk_is_tagged() {
        for (access, trunk, expected) in [
            (0, &[][..], ""),
            (100, &[], "100 native"),
            (0, &[5], "5, 1 native"),
            (0, &[3, 1, 2], "2-3, 1 native"),
            (100, &[202, 200, 201, 50], "50, 200-202, 100 native"),
            // The reference plugin leaves this port without a VLAN for untagged frames.
            (100, &[99, 100, 101], "99, 101, 100 native"),
        ] {
            let memberships = vlans(access, trunk, false).memberships();
            let text = |one: &Membership| {
                let (first, last) = (one.vids.start(), one.vids.end());
                let range = match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                };
                range + if one.native { " native" } else { "" }
            };
            let texts: Vec<String> = memberships.iter().map(text).collect();
            assert_eq!(texts.join(", "), expected);
        }
    }

    #[test]
    fn check_names_the_vlan_that_differs() {
        let seen = |list: &[(u16, bool, bool)]| -> Vec<BridgeVlan> {
            let vlan = |(vid, pvid, untagged): &(u16, bool, bool)| BridgeVlan {
                link: LinkIndex(7),
                member: Member::Port,
                vids: *vid..=*vid,
                pvid: *pvid,
                untagged: *untagged,
            };
            list.iter().map(vlan).collect()
        };
        let native = |vid| (vid, true, true);
        let tagged = |vid| (vid, false, false);
        for (wanted, there, problem) in [
            (vlans(100, &[], false), vec![native(100)], None),
            (
                vlans(100, &[], true),
                vec![(1, false, true), native(100)],
                None,
            ),
            (vlans(0, &[], false), vec![native(1)], None),
            (
                vlans(0, &[5, 6], false),
                vec![native(1), tagged(5), tagged(6)],
                None,
            ),
            // As the reference plugin leaves it.
            (vlans(5, &[5, 6], false), vec![tagged(5), tagged(6)], None),
            (vlans(100, &[], false), vec![], Some("VLAN 100 is missing")),
            (
                vlans(100, &[], false),
                vec![native(1), native(100)],
                Some("VLAN 1 is not in the configuration"),
            ),
            (
                vlans(100, &[], false),
                vec![tagged(100)],
                Some("VLAN 100 is not that of untagged frames"),
            ),
            (
                vlans(0, &[5], false),
                vec![native(1), (5, false, true)],
                Some("VLAN 5 is not tagged"),
            ),
        ] {
            let port = "veth0".parse().unwrap();
            let compared = wanted.compare(&port, &seen(&there));
            let expected = problem.map(|problem| format!("Port veth0: {problem}"));
            assert_eq!(compared.err().map(|error| error.to_string()), expected);
        }
    }
}

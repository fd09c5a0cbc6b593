//! Host ports that are mapped by rules: the reference plugin's in nftables, and those in iptables-nft,
//! whoever wrote them. Read over netlink, in their own chains alone: nothing on a node that has none.

use std::ops::RangeInclusive;

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{Action, Match, Nft, Rule, Table, TableFamily, Test, Verdict},
};

use crate::{
    error::{Claimant, Result},
    mapping::Mapping,
    owner,
};

/// The chain of iptables that leads to the containers' chains.
pub(crate) const HOSTPORT_DNAT: &str = "CNI-HOSTPORT-DNAT";
/// The chain of the reference plugin's mappings in nftables.
pub(crate) const HOSTPORTS: &str = "hostports";

/// The reference plugin's table.
pub(crate) fn reference_table(family: Family) -> Table<'static> {
    Table {
        family: table_family(family),
        name: "cni_hostport",
    }
}

/// The table of iptables-nft.
pub(crate) fn iptables_table(family: Family) -> Table<'static> {
    Table {
        family: table_family(family),
        name: "nat",
    }
}

fn table_family(family: Family) -> TableFamily {
    match family {
        Family::V4 => TableFamily::Ip,
        Family::V6 => TableFamily::Ip6,
    }
}

/// A rule that takes connections to some ports.
#[derive(Debug)]
pub(crate) struct Claim {
    protocol: Option<u8>,
    ports: Vec<RangeInclusive<u16>>,
    address: Option<IpNetwork>,
    /// The container's chain in iptables, where the address is.
    chain: Option<String>,
    /// Whether it takes them under other conditions, too, which nobody can compare.
    is_conditional: bool,
    claimant: Claimant,
}

/// All such rules of a family.
pub(crate) fn claims(nft: &mut Nft, family: Family) -> Result<Vec<Claim>> {
    let mut claims: Vec<Claim> = nft
        .rules(reference_table(family), HOSTPORTS)?
        .iter()
        .filter_map(by_reference)
        .collect();
    let jumps = nft.rules(iptables_table(family), HOSTPORT_DNAT)?;
    claims.extend(jumps.iter().filter_map(by_iptables));
    Ok(claims)
}

fn by_reference(rule: &Rule) -> Option<Claim> {
    matches!(rule.action, Some(Action::Dnat(..))).then_some(())?;
    Some(Claim {
        claimant: Claimant {
            network: None,
            container_id: rule.comment.clone()?,
            ifname: None,
        },
        ..claim(&rule.matches)?
    })
}

fn by_iptables(rule: &Rule) -> Option<Claim> {
    let Some(Action::Verdict(Verdict::Jump(chain))) = &rule.action else {
        return None;
    };
    Some(Claim {
        chain: Some(chain.clone()),
        claimant: owner::of_iptables_comment(rule.comment.as_deref()?)?,
        ..claim(&rule.matches)?
    })
}

fn claim(matches: &[Match]) -> Option<Claim> {
    let mut claim = Claim {
        protocol: None,
        ports: Vec::new(),
        address: None,
        chain: None,
        is_conditional: false,
        claimant: Claimant {
            network: None,
            container_id: String::new(),
            ifname: None,
        },
    };
    for condition in matches {
        match condition {
            Match::Is(Test::Protocol(number)) => claim.protocol = Some(*number),
            Match::Is(Test::DestinationPort(ports)) => claim.ports.push(ports.clone()),
            Match::DestinationPorts(ports) => claim.ports.extend(ports.iter().cloned()),
            Match::Is(Test::Destination(address)) => claim.address = Some(*address),
            _ => claim.is_conditional = true,
        }
    }
    (!claim.ports.is_empty()).then_some(claim)
}

impl Claim {
    fn is_of_port(&self, mapping: &Mapping) -> bool {
        self.protocol
            .is_none_or(|protocol| protocol == mapping.protocol.number())
            && self
                .ports
                .iter()
                .any(|ports| ports.contains(&mapping.host_port))
    }

    fn is_of_address(&self, mapping: &Mapping, share: Share) -> bool {
        match (self.address, mapping.on.address(), share) {
            (Some(theirs), Some(ours), _) => theirs.contains(ours),
            (Some(_), None, Share::All) => false,
            _ => true,
        }
    }
}

/// The rules of iptables that take connections before those to the container's own chain do.
pub(crate) fn claims_before(
    nft: &mut Nft,
    family: Family,
    owner: &Identity<'_>,
) -> Result<Vec<Claim>> {
    let own = owner::chain(owner);
    let jumps = nft.rules(iptables_table(family), HOSTPORT_DNAT)?;
    let before = jumps
        .iter()
        .filter_map(by_iptables)
        .take_while(|claim| claim.chain.as_deref() != Some(own.as_str()));
    Ok(before.filter(|claim| !claim.is_conditional).collect())
}

/// What another container's rule must take of a mapping's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Those to one address of the host suffice.
    Any,
    /// What it leaves comes to the pod.
    All,
}

/// Which other container has a mapping's port.
pub(crate) fn who_has(
    nft: &mut Nft,
    claims: &[Claim],
    family: Family,
    mapping: &Mapping,
    owner: &Identity<'_>,
    share: Share,
) -> Result<Option<Claimant>> {
    let others = claims
        .iter()
        .filter(|claim| claim.claimant.container_id != owner.container_id)
        .filter(|claim| claim.is_of_port(mapping) && claim.is_of_address(mapping, share));
    for claim in others {
        let Some(chain) = &claim.chain else {
            return Ok(Some(claim.claimant.clone()));
        };
        let rules = nft.rules(iptables_table(family), chain)?;
        let leads = |rule: &Rule| {
            claim_of_target(rule).is_some_and(|claim| {
                claim.is_of_port(mapping) && claim.is_of_address(mapping, share)
            })
        };
        if rules.iter().any(leads) {
            return Ok(Some(claim.claimant.clone()));
        }
    }
    Ok(None)
}

/// What a rule of a container's chain takes.
fn claim_of_target(rule: &Rule) -> Option<Claim> {
    matches!(rule.action, Some(Action::Dnat(..))).then(|| claim(&rule.matches))?
}

//! The old kernel interface of iptables, which only iptables-legacy can read and change.

use ipnetwork::IpNetwork;
use kernel::iptables::{self, Iptables, Line};

use super::{
    Error,
    iptables::{FAMILIES, POSTROUTING, TABLE, is_garbage, is_of, is_subnet_of},
};
use crate::Identity;

/// Deletes the owner's jumps and, when no jump is left, the chain.
pub(super) fn remove(owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<(), Error> {
    let chain = owner.chain();
    change(|present| removal(present, &chain, addresses))
}

fn removal(present: &[Line], chain: &str, addresses: &[IpNetwork]) -> Vec<String> {
    let (ours, others): (Vec<&Line>, Vec<&Line>) = present
        .iter()
        .filter(|line| jump(line, chain).is_some())
        .partition(|line| is_of(jump(line, chain).flatten(), addresses));
    let mut script: Vec<String> = ours.into_iter().filter_map(Line::deletion).collect();
    if others.is_empty() && present.iter().any(|line| line.declares(chain)) {
        script.extend([format!("-F {chain}"), format!("-X {chain}")]);
    }
    script
}

fn change(plan: impl Fn(&[Line]) -> Vec<String>) -> Result<(), Error> {
    for family in FAMILIES {
        if !iptables::has_legacy_table(family.program, TABLE) {
            continue;
        }
        match Iptables::legacy(family.program) {
            // Without the program the reference plugins cannot clean up either, and say nothing.
            Err(error) => tracing::warn!("cannot clean the nat table of iptables-legacy: {error}"),
            Ok(program) => program.restore(TABLE, &plan(&program.list(TABLE)?))?,
        }
    }
    Ok(())
}

/// Deletes jumps and chains of containers that have no valid attachment to `network`.
pub(super) fn gc(network: &str, valid: &[(&str, &str)]) -> Result<(), Error> {
    change(|present| garbage(present, network, valid))
}

fn garbage(present: &[Line], network: &str, valid: &[(&str, &str)]) -> Vec<String> {
    let mut chains: Vec<&str> = present
        .iter()
        .filter(|line| line.is_rule_of(POSTROUTING))
        .filter_map(|line| {
            let chain = line.target()?;
            is_garbage(line.value("--comment"), chain, network, valid).then_some(chain)
        })
        .collect();
    chains.sort_unstable();
    chains.dedup();
    chains
        .into_iter()
        .flat_map(|chain| removal(present, chain, &[]))
        .collect()
}

/// Whether the chain masquerades `address`.
pub(super) fn has(present: &[Line], chain: &str, address: &IpNetwork) -> bool {
    let content = || present.iter().filter(|line| line.is_rule_of(chain));
    content()
        .filter_map(accepted)
        .any(|subnet| is_subnet_of(&subnet, address))
        && content().any(|line| line.target() == Some("MASQUERADE"))
        && present
            .iter()
            .filter_map(|line| jump(line, chain).flatten())
            .any(|source| source.ip() == address.ip())
}

/// The source of a jump from POSTROUTING to `chain`; `None` if the line is not such a jump.
pub(super) fn jump(line: &Line, chain: &str) -> Option<Option<IpNetwork>> {
    let is_jump = line.is_rule_of(POSTROUTING) && line.target() == Some(chain);
    is_jump.then(|| line.value("-s")?.parse().ok())
}

/// The subnet that a rule exempts.
pub(super) fn accepted(line: &Line) -> Option<IpNetwork> {
    line.value("-d")
        .filter(|_| line.target() == Some("ACCEPT"))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CTR1: Identity<'_> = Identity {
        network: "dbnet",
        container_id: "ctr1",
        ifname: "eth0",
    };
    const CHAIN: &str = "CNI-a4fa0b217749fd390b69a8a5";

    /// A container with two addresses, as the reference plugins leave it, and one of another
    /// network.
    fn present() -> Vec<Line> {
        let comment = r#"-m comment --comment "name: \"dbnet\" id: \"ctr1\"""#;
        [
            "-P POSTROUTING ACCEPT".to_owned(),
            format!("-N {CHAIN}"),
            "-N CNI-other".to_owned(),
            format!("-A POSTROUTING -s 10.22.0.2/32 {comment} -j {CHAIN}"),
            format!("-A POSTROUTING -s 10.23.0.2/32 {comment} -j {CHAIN}"),
            "-A POSTROUTING -s 10.24.0.2/32 -j CNI-other".to_owned(),
            format!("-A {CHAIN} -d 10.22.0.0/24 {comment} -j ACCEPT"),
            format!("-A {CHAIN} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
        ]
        .iter()
        .map(|line| Line::parse(line))
        .collect()
    }

    fn addresses(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn chain_goes_with_its_last_jump() {
        let both = addresses(&["10.22.0.2/24", "10.23.0.2/24"]);
        for addresses in [&both[..], &[]] {
            let script = removal(&present(), CHAIN, addresses);
            assert_eq!(script.len(), 4, "{script:?}");
            assert!(
                script[..2]
                    .iter()
                    .all(|line| line.starts_with("-D POSTROUTING -s 10.2"))
            );
            assert_eq!(script[2..], [format!("-F {CHAIN}"), format!("-X {CHAIN}")]);
        }
        let script = removal(&present(), CHAIN, &both[1..]);
        assert!(matches!(&script[..], [one] if one.starts_with("-D POSTROUTING -s 10.23.0.2/32")));
        assert_eq!(removal(&present(), "CNI-none", &[]), Vec::<String>::new());
    }

    #[test]
    fn garbage_is_what_no_valid_container_has() {
        assert_eq!(
            garbage(&present(), "dbnet", &[("ctr1", "eth9")]),
            Vec::<String>::new()
        );
        assert_eq!(garbage(&present(), "other", &[]), Vec::<String>::new());
        assert_eq!(garbage(&present(), "dbnet", &[("ctr2", "eth0")]).len(), 4);
        assert_eq!(CTR1.chain(), CHAIN);
    }

    #[test]
    fn address_needs_jump_and_exception() {
        let has = |address: &str| has(&present(), CHAIN, &address.parse().unwrap());
        assert!(has("10.22.0.2/24"));
        assert!(!has("10.22.0.3/24"), "no jump");
        assert!(!has("10.22.0.2/16"), "other exception");
        assert!(!has("10.23.0.2/24"), "no exception");
    }
}

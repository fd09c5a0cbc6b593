//! The old kernel interface of iptables, which only iptables-legacy can read and change.

use attach::Identity;
use kernel::{
    Family,
    iptables::{self, Iptables, Line},
};

use super::{DNAT, EARLY_SNAT, TABLE, removal::is_garbage};
use crate::{error::Result, owner};

/// Deletes the container's chains and what leads to them.
pub(crate) fn remove(owner: &Identity<'_>) -> Result<()> {
    let chains = [owner::chain(owner), owner::early_chain(owner)];
    change(|present| removal(present, &chains))
}

/// Deletes the chains of containers that have no valid attachment to `network`.
pub(crate) fn garbage(network: &str, valid: &[(&str, &str)]) -> Result<()> {
    change(|present| {
        let mut chains: Vec<String> = present
            .iter()
            .filter(|line| line.is_rule_of(DNAT))
            .filter_map(|line| {
                let chain = line.target()?;
                let is_garbage = is_garbage(line.value("--comment"), chain, network, valid);
                is_garbage.then(|| chain.to_owned())
            })
            .collect();
        chains.sort_unstable();
        chains.dedup();
        removal(present, &chains)
    })
}

/// Whether the container has a chain there.
pub(crate) fn exists(family: Family, owner: &Identity<'_>) -> Result<bool> {
    if !iptables::has_legacy_table(family, TABLE) {
        return Ok(false);
    }
    let chain = owner::chain(owner);
    let present = Iptables::legacy(family)?.list(TABLE)?;
    Ok(present.iter().any(|line| line.declares(&chain)))
}

fn change(plan: impl Fn(&[Line]) -> Vec<String>) -> Result<()> {
    for family in Family::ALL {
        if !iptables::has_legacy_table(family, TABLE) {
            continue;
        }
        match Iptables::legacy(family) {
            // Without the program the reference plugin cannot clean up either, and says nothing.
            Err(error) => tracing::warn!("cannot clean the nat table of iptables-legacy: {error}"),
            Ok(program) => program.restore(TABLE, &plan(&program.list(TABLE)?))?,
        }
    }
    Ok(())
}

/// Jumps first, then the chains.
fn removal(present: &[Line], chains: &[String]) -> Vec<String> {
    let leads = |line: &&Line| {
        let is_jump = line.is_rule_of(DNAT) || line.is_rule_of(EARLY_SNAT);
        is_jump && chains.iter().any(|chain| line.target() == Some(chain))
    };
    let jumps = present.iter().filter(leads).filter_map(Line::deletion);
    let there = chains
        .iter()
        .filter(|chain| present.iter().any(|line| line.declares(chain)));
    let removed = there.flat_map(|chain| [format!("-F {chain}"), format!("-X {chain}")]);
    jumps.chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "CNI-DN-a4fa0b217749fd390b69a";

    fn present() -> Vec<Line> {
        let comment = r#"-m comment --comment "dnat name: \"dbnet\" id: \"ctr1\"""#;
        [
            format!("-N {CHAIN}"),
            format!("-N {DNAT}"),
            format!("-A PREROUTING -m addrtype --dst-type LOCAL -j {DNAT}"),
            format!("-A {CHAIN} -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.0.0.1:1"),
            format!("-A {DNAT} -p tcp {comment} -m multiport --dports 1 -j {CHAIN}"),
            format!("-A {DNAT} -p tcp -m multiport --dports 1 -j CNI-DN-other"),
        ]
        .iter()
        .map(|line| Line::parse(line))
        .collect()
    }

    #[test]
    fn a_chain_goes_behind_its_jumps() {
        let script = removal(&present(), &[CHAIN.to_owned(), "CNI-SN-none".to_owned()]);
        assert_eq!(script.len(), 3, "{script:?}");
        assert!(
            script[0].starts_with(&format!("-D {DNAT} -p tcp -m comment")),
            "{script:?}"
        );
        assert_eq!(script[1..], [format!("-F {CHAIN}"), format!("-X {CHAIN}")]);
        assert_eq!(
            removal(&present(), &["CNI-DN-none".to_owned()]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn garbage_is_of_the_network_and_of_no_valid_container() {
        let comment = Some(r#"dnat name: "dbnet" id: "ctr1""#);
        let is = |network, valid: &[(&str, &str)]| is_garbage(comment, CHAIN, network, valid);
        assert!(is("dbnet", &[]) && is("dbnet", &[("ctr2", "eth0")]));
        assert!(!is("dbnet", &[("ctr1", "eth1")]) && !is("other", &[]));
        assert!(!is_garbage(comment, "CNI-DN-other", "dbnet", &[]));
        assert!(!is_garbage(None, CHAIN, "dbnet", &[]));
    }
}

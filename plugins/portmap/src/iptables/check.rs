//! CHECK of rules in iptables, as `iptables -S` prints them.

use std::collections::HashSet;

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{
    Family,
    iptables::{self, Iptables, Line, words},
    nft::Nft,
};

use super::{DNAT, TABLE, exists, script};
use crate::{
    error::{Deviation, Result},
    native::foreign::{self, Share},
    owner,
    settings::Settings,
};

/// Whether all rules are there for each target.
///
/// # Errors
/// [`Deviation`]; iptables is not there or refuses.
pub(crate) fn check(
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<()> {
    for target in targets {
        let family = Family::from(target);
        let program = match exists(family, owner)? || !iptables::has_legacy_table(family, TABLE) {
            true => Iptables::new(family)?,
            false => Iptables::legacy(family)?,
        };
        if let Some(what) = missing(&program.list(TABLE)?, owner, settings, target) {
            let family = match family {
                Family::V4 => "ipv4",
                Family::V6 => "ipv6",
            };
            return Err(Deviation::Iptables { family, what }.into());
        }
        nobody_is_before(owner, settings, target)?;
    }
    Ok(())
}

/// Whether no other container has a port's connections. Of iptables-legacy's rules nobody looks.
fn nobody_is_before(owner: &Identity<'_>, settings: &Settings, target: &IpNetwork) -> Result<()> {
    let family = Family::from(target);
    if !settings.conditions(family).is_empty() || !exists(family, owner)? {
        return Ok(());
    }
    let mut nft = Nft::open()?;
    let before = foreign::claims_before(&mut nft, family, owner)?;
    for mapping in settings.mappings_of(target) {
        if let Some(other) =
            foreign::who_has(&mut nft, &before, family, mapping, owner, Share::All)?
        {
            let why = format!("its connections go to {other}, whose rule is before");
            let mapping = *mapping;
            return Err(Deviation::Mapping {
                mapping,
                family,
                why,
            }
            .into());
        }
    }
    Ok(())
}

/// What is not there, in the reference plugin's words.
fn missing(
    present: &[Line],
    owner: &Identity<'_>,
    settings: &Settings,
    target: &IpNetwork,
) -> Option<String> {
    let chain = owner::chain(owner);
    if !present.iter().any(|line| line.declares(&chain)) {
        return Some(format!("chain {chain} not found in iptables table {TABLE}"));
    }
    let rules_of = |chain: &str| -> HashSet<&[String]> {
        let rules = present.iter().filter(|line| line.is_rule_of(chain));
        rules.map(Line::rule).collect()
    };
    let not_found = |chain: &str, rule: &str| {
        format!("rule {rule} in chain {chain} not found in table {TABLE}")
    };
    let own = rules_of(&chain);
    for rule in script::mapping_rules(settings, target) {
        if !own.contains(&words(&rule)[..]) {
            return Some(not_found(&chain, &rule));
        }
    }
    for rule in script::jumps(owner, &settings.mappings, &[]) {
        let wanted = words(&rule);
        let mut rules = present.iter().filter(|line| line.is_rule_of(DNAT));
        if !rules.any(|line| is_jump(line.rule(), &wanted)) {
            return Some(not_found(DNAT, &rule));
        }
    }
    let shared = script::shared(settings);
    let missing = shared
        .iter()
        .find(|shared| !rules_of(shared.chain).contains(&words(&shared.rule)[..]));
    missing.map(|shared| not_found(shared.chain, &shared.rule))
}

/// Whether a listed rule has all words of the wanted one. Conditions are among its words, which iptables
/// prints as it likes.
fn is_jump(listed: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|word| listed.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NetConf;

    const CTR1: Identity<'_> = Identity {
        network: "dbnet",
        container_id: "ctr1",
        ifname: "eth0",
    };

    fn settings(config: serde_json::Value) -> Settings {
        let conf: NetConf = cni::json::from_slice(config.to_string().as_bytes()).unwrap();
        conf.check().unwrap()
    }

    /// What `iptables -S` of the reference plugin's rules says.
    fn recorded() -> Vec<Line> {
        let comment = r#"-m comment --comment "dnat name: \"dbnet\" id: \"ctr1\"""#;
        let chain = "CNI-DN-a4fa0b217749fd390b69a";
        let on = "-d 192.0.2.7/32 -p tcp -m tcp --dport 8080";
        [
            format!("-N {chain}"),
            "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT".into(),
            "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT".into(),
            r#"-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ"#.into(),
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE".into(),
            r#"-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000"#.into(),
            format!("-A {chain} -s 10.22.0.0/24 {on} -j CNI-HOSTPORT-SETMARK"),
            format!("-A {chain} -s 127.0.0.1/32 {on} -j CNI-HOSTPORT-SETMARK"),
            format!("-A {chain} {on} -j DNAT --to-destination 10.22.0.5:80"),
            format!("-A CNI-HOSTPORT-DNAT ! -d 192.0.2.0/25 -p tcp {comment} -m multiport --dports 8080 -j {chain}"),
        ]
        .iter()
        .map(|line| Line::parse(line))
        .collect()
    }

    #[test]
    fn the_references_rules_are_those_and_each_is_needed() {
        let settings = settings(serde_json::json!({
            "conditionsV4": ["!", "-d", "192.0.2.0/25"],
            "runtimeConfig": { "portMappings": [
                { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.7" },
            ] },
        }));
        let target: IpNetwork = "10.22.0.5/24".parse().unwrap();
        let present = recorded();
        assert_eq!(missing(&present, &CTR1, &settings, &target), None);
        for at in 0..present.len() {
            let mut fewer = present.clone();
            let left_out = fewer.remove(at);
            let found = missing(&fewer, &CTR1, &settings, &target);
            assert!(found.is_some(), "{left_out:?}");
        }
    }
}

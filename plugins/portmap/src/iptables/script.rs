//! The rules, as `iptables -S` prints them.

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{
    Family,
    iptables::{comment_match, words},
};

use super::{DNAT, MASQUERADE, OUTPUT, POSTROUTING, PREROUTING, SET_MARK, present::Present};
use crate::{
    mapping::{Mapping, Protocol},
    owner,
    settings::Settings,
};

/// So many ports does one rule take (XT_MULTI_PORTS).
const PORTS_AT_ONCE: usize = 15;

/// The kernel lets nothing from `::1` leave the host, so a pod could not answer: the host's own sockets do, or
/// refuse at once. The reference plugin has no such rule, and its chains have none.
const OWN_LOCALHOST: &str = "-d ::1/128 -j RETURN";

/// A rule that all containers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub chain: &'static str,
    /// Before all others of its chain, not behind.
    pub is_first: bool,
    pub rule: String,
    /// Where it leads.
    pub target: &'static str,
}

/// The shared rules that the settings need.
pub(super) fn shared(settings: &Settings) -> Vec<Shared> {
    let rule = |chain, is_first, matches: &str, target: &'static str| Shared {
        chain,
        is_first,
        rule: format!("{matches} -j {target}"),
        target: target.split(' ').next().unwrap_or_default(),
    };
    let mut rules = Vec::new();
    if settings.snat && settings.set_mark_chain.is_none() {
        let mark = mark(settings);
        let marked = comment_match("CNI portfwd masquerade mark");
        let leaving = comment_match("CNI portfwd requiring masquerade");
        rules.push(Shared {
            rule: format!("{marked} -j MARK --set-xmark {mark}"),
            ..rule(SET_MARK, false, "", "MARK")
        });
        let of_mark = format!("-m mark --mark {mark}");
        rules.push(rule(MASQUERADE, false, &of_mark, "MASQUERADE"));
        rules.push(rule(POSTROUTING, true, &leaving, MASQUERADE));
    }
    let to_host = "-m addrtype --dst-type LOCAL";
    rules.push(rule(PREROUTING, false, to_host, DNAT));
    rules.push(rule(OUTPUT, false, to_host, DNAT));
    rules
}

/// One bit, without padding.
pub(super) fn mark(settings: &Settings) -> String {
    let bit = 1_u32 << settings.mark_bit;
    format!("{bit:#x}/{bit:#x}")
}

/// The rules of the container's chain: what leaves connections to the host, and the mappings.
fn container_rules(settings: &Settings, target: &IpNetwork) -> Vec<String> {
    let is_everywhere = |mapping: &Mapping| mapping.on.address().is_none();
    let is_of_localhost = target.is_ipv6() && settings.mappings_of(target).any(is_everywhere);
    let own = is_of_localhost.then(|| OWN_LOCALHOST.to_owned());
    let mapped = mapping_rules(settings, target);
    own.into_iter().chain(mapped).collect()
}

/// The rules of the mappings, which the reference plugin has too.
pub(super) fn mapping_rules(settings: &Settings, target: &IpNetwork) -> Vec<String> {
    let mappings = settings.mappings_of(target);
    let mut rules = Vec::new();
    for mapping in mappings {
        let matches = matches(mapping);
        if settings.snat {
            let set_mark = settings.set_mark_chain.as_deref().unwrap_or(SET_MARK);
            let sources = sources(settings, target).into_iter();
            rules.extend(sources.map(|source| format!("{source}{matches} -j {set_mark}")));
        }
        let to = match target.ip() {
            std::net::IpAddr::V4(address) => format!("{address}:{}", mapping.container_port),
            std::net::IpAddr::V6(address) => format!("[{address}]:{}", mapping.container_port),
        };
        rules.push(format!("{matches} -j DNAT --to-destination {to}"));
    }
    rules
}

/// Whose connections are masqueraded.
fn sources(settings: &Settings, target: &IpNetwork) -> Vec<String> {
    if settings.masq_all {
        return vec![String::new()];
    }
    let subnet = format!("-s {}/{} ", target.network(), target.prefix());
    let localhost = target.is_ipv4().then(|| "-s 127.0.0.1/32 ".to_owned());
    [subnet].into_iter().chain(localhost).collect()
}

fn matches(mapping: &Mapping) -> String {
    let protocol = mapping.protocol;
    let on = mapping.on.address().map(|address| {
        let bits = Family::from(address).bits();
        format!("-d {address}/{bits} ")
    });
    format!(
        "{}-p {protocol} -m {protocol} --dport {}",
        on.unwrap_or_default(),
        mapping.host_port
    )
}

/// The rules that lead to the container's chain, one for each protocol and fifteen ports. Ports of the
/// other family are among them, as the reference plugin has them.
pub(super) fn jumps(
    owner: &Identity<'_>,
    mappings: &[Mapping],
    conditions: &[String],
) -> Vec<String> {
    let comment = comment_match(&owner::iptables_comment(owner));
    let chain = owner::chain(owner);
    let conditions: String = conditions
        .iter()
        .map(|word| format!(" {}", quoted(word)))
        .collect();
    let mut rules = Vec::new();
    for protocol in Protocol::SORTED {
        let of_protocol = |mapping: &&Mapping| mapping.protocol == protocol;
        let ports: Vec<String> = mappings
            .iter()
            .filter(of_protocol)
            .map(|mapping| mapping.host_port.to_string())
            .collect();
        rules.extend(ports.chunks(PORTS_AT_ONCE).map(|ports| {
            let ports = ports.join(",");
            format!("-p {protocol} {comment} -m multiport --dports {ports}{conditions} -j {chain}")
        }));
    }
    rules
}

/// A word as iptables-restore reads it.
fn quoted(word: &str) -> String {
    match word.contains(|letter: char| letter.is_whitespace() || letter == '"' || letter == '\\') {
        true => format!("\"{}\"", word.replace('\\', r"\\").replace('"', r#"\""#)),
        false => word.to_owned(),
    }
}

/// What iptables-restore must do: make what is missing of the shared rules, and write the container's
/// anew.
pub(super) fn addition(
    owner: &Identity<'_>,
    settings: &Settings,
    target: &IpNetwork,
    present: &Present,
) -> Vec<String> {
    let chain = owner::chain(owner);
    let shared = shared(settings);
    let mut script = Vec::new();
    let mut declared: Vec<&str> = shared
        .iter()
        .flat_map(|rule| [rule.chain, rule.target])
        .chain([DNAT])
        .filter(|name| name.starts_with("CNI-"))
        .collect();
    declared.sort_unstable();
    declared.dedup();
    let missing = declared.into_iter().filter(|name| !present.has_chain(name));
    script.extend(missing.map(|name| format!(":{name} - [0:0]")));
    script.push(format!(":{chain} - [0:0]"));
    script.extend(present.jumps_to(&chain));
    for rule in shared.iter().filter(|rule| !present.has_rule(rule)) {
        script.push(match rule.is_first {
            true => format!("-I {} 1 {}", rule.chain, rule.rule),
            false => format!("-A {} {}", rule.chain, rule.rule),
        });
    }
    let conditions = settings.conditions(target.into());
    let jumps = jumps(owner, &settings.mappings, conditions).into_iter();
    script.extend(jumps.map(|rule| format!("-A {DNAT} {rule}")));
    let rules = container_rules(settings, target).into_iter();
    script.extend(rules.map(|rule| format!("-A {chain} {rule}")));
    script
}

/// Whether a rule of a listing is this one.
pub(super) fn is_rule(listed: &[String], rule: &str) -> bool {
    listed == words(rule)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::NetConf;

    #[test]
    fn localhost_of_ipv6_is_left_to_the_host_before_what_maps_it() {
        let first = |target: &str, on: &str| {
            let config = json!({ "runtimeConfig": { "portMappings": [
                { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": on },
            ] } });
            let conf: NetConf = cni::json::from_slice(config.to_string().as_bytes()).unwrap();
            let rules = container_rules(&conf.check().unwrap(), &target.parse().unwrap());
            rules.first().map(|rule| rule == OWN_LOCALHOST)
        };
        for (target, on, expected) in [
            ("fd22::5/64", "", Some(true)),
            ("fd22::5/64", "::", Some(true)),
            ("fd22::5/64", "fd99::1", Some(false)),
            ("fd22::5/64", "192.0.2.1", None),
            ("10.22.0.5/24", "", Some(false)),
        ] {
            assert_eq!(first(target, on), expected, "{target} {on:?}");
        }
    }
}

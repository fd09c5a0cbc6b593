//! What a chained plugin is given to work on, and keys that do nothing, or more than they say.

use jsonc_parser::ast::{Object, Value};

use super::{
    document::{find, key_place, string},
    finding::Findings,
};

/// Keys of a plugin that it does not look at where it has another one: the plugin, that one, the keys.
const OVERRULED: [(&str, &str, &[&str]); 4] = [
    ("sbr", "table", &["gateways", "addSourceHints"]),
    (
        "host-device",
        "device",
        &["hwaddr", "kernelpath", "pciBusID"],
    ),
    ("host-device", "hwaddr", &["kernelpath", "pciBusID"]),
    ("host-device", "kernelpath", &["pciBusID"]),
];

/// Plugins whose interfaces are no end of a veth pair.
const NO_PAIR: [&str; 6] = ["dummy", "ipvlan", "loopback", "macvlan", "tap", "vlan"];

/// The frame of a packet of 1500 bytes, in bits: a token bucket drops what it cannot hold.
const FULL_FRAME: f64 = 1514.0 * 8.0;

/// Judges a plugin by its keys.
pub(super) fn judge(plugin: &str, object: &Object<'_>, findings: &mut Findings<'_>) {
    for (_, by, keys) in OVERRULED.iter().filter(|(of, ..)| *of == plugin) {
        if !is_set(object, by) {
            continue;
        }
        for key in keys.iter().filter(|key| is_set(object, key)) {
            let text = format!("{plugin} has {by:?}, and does not look at {key:?}");
            findings.warning(find(object, key).map_or(0, key_place), text);
        }
    }
    if plugin == "bandwidth" {
        judge_burst(object, findings);
    }
}

/// Judges what bandwidth stands behind.
pub(super) fn judge_pair(maker: &Object<'_>, at: usize, findings: &mut Findings<'_>) {
    let name = string(maker, "type").map_or("", |(_, name)| name);
    if NO_PAIR.contains(&name) {
        let text = format!("bandwidth limits a veth pair, and {name} makes none");
        findings.error(at, text);
    }
}

fn judge_burst(object: &Object<'_>, findings: &mut Findings<'_>) {
    for key in ["ingressBurst", "egressBurst"] {
        let Some(Value::NumberLit(number)) = find(object, key).map(|found| &found.value) else {
            continue;
        };
        if let Ok(bits) = number.value.parse::<f64>()
            && bits > 0.0
            && bits < FULL_FRAME
        {
            let text = format!(
                "{key:?} is in bits: packets of 1500 bytes are longer than these, and none of them passes; give \
                 {FULL_FRAME} at least"
            );
            findings.warning(number.range.start, text);
        }
    }
}

/// Whether it says anything.
fn is_set(object: &Object<'_>, key: &str) -> bool {
    find(object, key).is_some_and(|property| match &property.value {
        Value::StringLit(text) => !text.value.is_empty(),
        Value::BooleanLit(flag) => flag.value,
        Value::Array(list) => !list.elements.is_empty(),
        _ => true,
    })
}

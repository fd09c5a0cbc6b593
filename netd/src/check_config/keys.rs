//! Keys that nobody reads, and keys that stand there twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The keys of the whole document.
const TOP: &[&str] = &[
    "Network",
    "IPv6Network",
    "EnableIPv4",
    "EnableIPv6",
    "EnableNFTables",
    "SubnetLen",
    "SubnetMin",
    "SubnetMax",
    "IPv6SubnetLen",
    "IPv6SubnetMin",
    "IPv6SubnetMax",
    "Backend",
];

/// The options of each backend (flannel-compat 1.1).
const OPTIONS: &[(&str, &[&str])] = &[
    (
        "vxlan",
        &["VNI", "Port", "MTU", "GBP", "Learning", "DirectRouting"],
    ),
    ("host-gw", &[]),
    (
        "wireguard",
        &[
            "ListenPort",
            "ListenPortV6",
            "MTU",
            "PSK",
            "PersistentKeepaliveInterval",
            "Mode",
        ],
    ),
    ("udp", &["Port"]),
    ("ipip", &["DirectRouting"]),
    ("alloc", &[]),
    (
        "extension",
        &[
            "PreStartupCommand",
            "PostStartupCommand",
            "SubnetAddCommand",
            "SubnetRemoveCommand",
        ],
    ),
];

/// Keys that are known and that nobody reads, or nobody any more.
const IDLE: &[(&str, &str)] = &[
    (
        "Networks",
        "flannel 0.25 and later ignore it, and so does netd; give Network",
    ),
    (
        "IPv6Networks",
        "flannel 0.25 and later ignore it, and so does netd; give IPv6Network",
    ),
];
const IDLE_OPTIONS: &[(&str, &str)] = &[
    ("MacPrefix", "it is for Windows nodes; others pass over it"),
    (
        "Name",
        "it is for Windows nodes; others call the device flannel.<VNI>",
    ),
    (
        "ShutdownCommand",
        "flannel's samples have it and nobody runs it",
    ),
];

/// An object's keys as they stand there, in their order.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<(String, Value)>);

impl Keys {
    /// Those of a document; none when it is no object.
    pub(super) fn read(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }

    /// Those of an object inside, which cannot tell duplicates any more.
    fn of(value: Option<&Value>) -> Self {
        let map = value.and_then(Value::as_object).into_iter().flatten();
        Self(
            map.map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        )
    }

    /// The last of that name is the one that is read.
    fn get(&self, name: &str) -> Option<&Value> {
        let mut from_last = self.0.iter().rev();
        let found = from_last.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Keys;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some(entry) = map.next_entry()? {
            keys.push(entry);
        }
        Ok(Keys(keys))
    }
}

/// What is said of the keys of a document with this backend.
pub(super) fn warnings(keys: &Keys, backend: &str) -> Vec<String> {
    let mut warnings = judge(keys, "", TOP, IDLE, "a network configuration");
    let known = OPTIONS.iter().find(|(name, _)| *name == backend);
    if let Some((name, known)) = known {
        let options = Keys::of(keys.get("Backend"));
        let known = [&["Type"], *known].concat();
        let of = format!("the backend {name}");
        warnings.extend(judge(&options, "Backend.", &known, IDLE_OPTIONS, &of));
    }
    warnings
}

fn judge(
    keys: &Keys,
    prefix: &str,
    known: &[&str],
    idle: &[(&str, &str)],
    of: &str,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (n, (key, _)) in keys.0.iter().enumerate() {
        let is_key = |name: &str| name.eq_ignore_ascii_case(key);
        if keys.0[n + 1..].iter().any(|(later, _)| is_key(later)) {
            warnings.push(format!(
                "{prefix}{key}: it stands there again below, and the last one is read"
            ));
        }
        if known.iter().any(|name| is_key(name)) || key.starts_with('_') || key == "comment" {
            continue;
        }
        if let Some((_, why)) = idle.iter().find(|(name, _)| is_key(name)) {
            warnings.push(format!("{prefix}{key}: {why}"));
            continue;
        }
        let elsewhere = OPTIONS
            .iter()
            .find(|(_, options)| !prefix.is_empty() && options.iter().any(|name| is_key(name)));
        warnings.push(match (likely(key, known), elsewhere) {
            (Some(meant), None) => {
                format!("{prefix}{key}: {of} has no such key; is {meant} meant?")
            }
            (_, Some((other, _))) => {
                format!("{prefix}{key}: {of} has no such key, {other} has; it is passed over")
            }
            (None, None) => format!("{prefix}{key}: {of} has no such key; it is passed over"),
        });
    }
    warnings
}

/// The known key that is nearest, unless it is another word.
fn likely<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = key.to_ascii_lowercase();
    let far = |name: &&str| strsim::osa_distance(&lower, &name.to_ascii_lowercase());
    let nearest = known.iter().copied().min_by_key(far)?;
    (far(&nearest) <= (key.len() / 3).clamp(1, 3)).then_some(nearest)
}

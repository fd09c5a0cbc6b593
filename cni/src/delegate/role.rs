//! Who may be delegated to.

use crate::{Error, Plugin, Role, code};

/// What the plugins of the reference and of flannel are for. One that is executed is judged by
/// its name alone, and only by these: an interface plugin that is called for an address would
/// call itself for one, and so on.
const KNOWN: [(&str, Role); 19] = [
    ("bandwidth", Role::Chained),
    ("bridge", Role::Interface),
    ("dhcp", Role::Ipam),
    ("dummy", Role::Interface),
    ("firewall", Role::Chained),
    ("flannel", Role::Meta),
    ("host-device", Role::Interface),
    ("host-local", Role::Ipam),
    ("ipvlan", Role::Interface),
    ("loopback", Role::Interface),
    ("macvlan", Role::Interface),
    ("portmap", Role::Chained),
    ("ptp", Role::Interface),
    ("sbr", Role::Chained),
    ("static", Role::Ipam),
    ("tap", Role::Interface),
    ("tuning", Role::Chained),
    ("vlan", Role::Interface),
    ("vrf", Role::Chained),
];

/// Refuses a plugin that is known to have another role than `wanted`.
///
/// # Errors
/// Code 7.
pub(super) fn require(
    plugin_type: &str,
    wanted: Role,
    registry: &[&dyn Plugin],
) -> Result<(), Error> {
    match role_of(plugin_type, registry) {
        Some(role) if role != wanted => {
            let msg = format!(
                "plugin \"{plugin_type}\" is {}: {} is wanted in its place",
                description(role),
                description(wanted)
            );
            Err(Error::new(code::INVALID_CONFIG, msg))
        }
        _ => Ok(()),
    }
}

fn role_of(plugin_type: &str, registry: &[&dyn Plugin]) -> Option<Role> {
    let ours = registry.iter().find(|plugin| plugin.name() == plugin_type);
    ours.map(|plugin| plugin.role()).or_else(|| {
        let known = KNOWN.iter().find(|(name, _)| *name == plugin_type);
        known.map(|(_, role)| *role)
    })
}

fn description(role: Role) -> &'static str {
    match role {
        Role::Interface => "an interface plugin",
        Role::Ipam => "an IPAM plugin",
        Role::Chained => "a chained plugin",
        Role::Meta => "a plugin that delegates to an interface plugin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_plugin_serves_in_its_role_only() {
        for (name, wanted, problem) in [
            ("host-local", Role::Ipam, None),
            ("bridge", Role::Interface, None),
            ("my-own", Role::Ipam, None),
            ("my-own", Role::Interface, None),
            (
                "bridge",
                Role::Ipam,
                Some(
                    "plugin \"bridge\" is an interface plugin: an IPAM plugin is wanted in its place",
                ),
            ),
            (
                "flannel",
                Role::Interface,
                Some(
                    "plugin \"flannel\" is a plugin that delegates to an interface plugin: \
                     an interface plugin is wanted in its place",
                ),
            ),
        ] {
            let error = require(name, wanted, &[]).err();
            let expected = problem.map(|text| (code::INVALID_CONFIG, text));
            let seen = error.as_ref().map(|error| (error.code, error.msg.as_str()));
            assert_eq!(seen, expected, "{name} as {wanted:?}");
        }
    }
}

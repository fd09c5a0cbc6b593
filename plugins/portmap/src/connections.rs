//! UDP connections that the kernel remembers from before a mapping came or went: their packets would
//! keep to the old way.

use kernel::{Conntrack, conntrack::Selection};

use crate::mapping::{Mapping, Protocol};

/// Has the kernel forget UDP connections to the mapped ports, of the mapped addresses alone. A failure is
/// told in the log: such connections end by themselves when they are silent for a while.
pub(crate) fn forget<'a>(mappings: impl IntoIterator<Item = &'a Mapping>) {
    let selections: Vec<Selection> = mappings
        .into_iter()
        .filter(|mapping| mapping.protocol == Protocol::Udp)
        .map(|mapping| Selection {
            protocol: mapping.protocol.number(),
            port: mapping.host_port,
            address: mapping.on.address(),
        })
        .collect();
    if selections.is_empty() {
        return;
    }
    let forgotten = Conntrack::open().and_then(|mut conntrack| {
        selections
            .iter()
            .try_for_each(|selection| conntrack.delete_connections(selection).map(drop))
    });
    if let Err(error) = forgotten {
        tracing::warn!(
            %error,
            cause = %error.source,
            "connections to mapped UDP ports may keep to their old way"
        );
    }
}

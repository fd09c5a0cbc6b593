//! The flags of `lab up`, and what they and a file say together.

use manifest::{Complaint, Path as Field};

use super::{ClusterFile, LeaseTtl, Nodes};
use crate::cli::UpArgs;
use crate::state::Name;

/// What the flags say.
pub(super) fn read(args: &UpArgs, lab: Option<&Name>) -> ClusterFile {
    ClusterFile {
        name: args.name.clone().or_else(|| lab.cloned()),
        nodes: args.nodes.map(Nodes::Number),
        backend: args.backend,
        store: args.store,
        lease_ttl: args.lease_ttl.map(|ttl| LeaseTtl(ttl.as_secs())),
        probe_interval: args.probe_interval.map(Into::into),
        conflist: args.conflist.clone(),
        plugin_dirs: args.plugin_dir.clone(),
        ..ClusterFile::default()
    }
}

/// What a file and the flags say together. A name on the command line counts.
///
/// # Errors
/// They say different things of the same, but for the name: what.
pub(super) fn joined(
    file: ClusterFile,
    flags: &ClusterFile,
) -> Result<ClusterFile, Vec<Complaint>> {
    let mut contradictions = Contradictions::default();
    let joined = ClusterFile {
        // One file serves for several labs.
        name: flags.name.clone().or(file.name),
        nodes: contradictions.one("nodes", "--nodes", file.nodes, &flags.nodes),
        backend: contradictions.one("backend", "--backend", file.backend, &flags.backend),
        store: contradictions.one("store", "--store", file.store, &flags.store),
        lease_ttl: contradictions.one("leaseTTL", "--lease-ttl", file.lease_ttl, &flags.lease_ttl),
        probe_interval: contradictions.one(
            "probeInterval",
            "--probe-interval",
            file.probe_interval,
            &flags.probe_interval,
        ),
        conflist: contradictions.one("conflist", "--conflist", file.conflist, &flags.conflist),
        plugin_dirs: contradictions
            .one(
                "pluginDirs",
                "--plugin-dir",
                some(file.plugin_dirs),
                &some(flags.plugin_dirs.clone()),
            )
            .unwrap_or_default(),
        underlays: file.underlays,
        routers: file.routers,
        direct_routing: file.direct_routing,
        pod_network: file.pod_network,
        networks: file.networks,
    };
    if contradictions.0.is_empty() {
        Ok(joined)
    } else {
        Err(contradictions.0)
    }
}

/// A list that was given.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

#[derive(Default)]
struct Contradictions(Vec<Complaint>);

impl Contradictions {
    fn one<T: PartialEq + Clone>(
        &mut self,
        field: &str,
        flag: &str,
        in_file: Option<T>,
        given: &Option<T>,
    ) -> Option<T> {
        if let (Some(in_file), Some(given)) = (&in_file, given)
            && in_file != given
        {
            self.0.push(Complaint {
                field: Field::default().field(field),
                message: format!("{flag} says something else: leave one of them out"),
            });
        }
        in_file.or_else(|| given.clone())
    }
}

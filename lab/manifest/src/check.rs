//! What contradicts itself in an object, or cannot be carried out: rules that types cannot say.
//!
//! They are those of Kubernetes' validation for the fields that the lab has, and a few of the lab's own, each
//! said so at its place.

mod container;
mod name;
mod probe;
mod resources;
mod security;
mod volume;

use std::collections::{BTreeMap, BTreeSet};

use crate::path::Path;
use crate::problem::Complaint;
use crate::{Annotations, Container, Metadata, Pod, PodSpec, network};

pub use name::{key as wrong_with_key, value as wrong_with_value};
pub use resources::LEAST_MEMORY;

/// What was found so far.
#[derive(Default)]
struct Complaints(Vec<Complaint>);

impl Complaints {
    fn add(&mut self, field: Path, message: impl Into<String>) {
        self.0.push(Complaint {
            field,
            message: message.into(),
        });
    }

    /// Adds one when there is a reason.
    fn add_some(&mut self, field: Path, message: Option<String>) {
        if let Some(message) = message {
            self.add(field, message);
        }
    }

    /// One name twice in a list is a fault of the later one.
    fn unique<'a>(&mut self, all: impl IntoIterator<Item = (Path, &'a str)>) {
        let mut seen = BTreeSet::new();
        for (field, name) in all {
            if !seen.insert(name) {
                self.add(field, format!("{name:?} is there already"));
            }
        }
    }
}

/// What is wrong with a pod; `config_maps` are those that there are.
pub(crate) fn pod(pod: &Pod, config_maps: &BTreeSet<&str>) -> Vec<Complaint> {
    let mut complaints = Complaints::default();
    let root = Path::default();
    metadata(&mut complaints, &pod.metadata, name::label);
    of_the_lab(&mut complaints, &pod.metadata);
    complaints
        .0
        .extend(network::check(&pod.metadata, pod.spec.host_network));
    let place = root.field("spec");
    spec(&mut complaints, &place, &pod.spec);
    volume::all(
        &mut complaints,
        &place.field("volumes"),
        &pod.spec.volumes,
        config_maps,
    );
    containers(&mut complaints, &place, &pod.spec);
    if let Some(settings) = &pod.spec.security_context {
        security::of_pod(
            &mut complaints,
            &place.field("securityContext"),
            settings,
            &pod.spec,
        );
    }
    complaints.0
}

/// What is wrong with a ConfigMap.
pub(crate) fn config_map(about: &Metadata, data: &BTreeMap<String, String>) -> Vec<Complaint> {
    let mut complaints = Complaints::default();
    metadata(&mut complaints, about, name::domain);
    let place = Path::default().field("data");
    for key in data.keys() {
        complaints.add_some(place.field(key), name::of_file(key));
    }
    complaints.0
}

fn metadata(
    complaints: &mut Complaints,
    metadata: &Metadata,
    no_name: impl Fn(&str) -> Option<String>,
) {
    let place = Path::default().field("metadata");
    complaints.add_some(place.field("name"), no_name(&metadata.name));
    labels(complaints, &place.field("labels"), &metadata.labels);
    annotations(
        complaints,
        &place.field("annotations"),
        &metadata.annotations,
    );
    if metadata
        .namespace
        .as_ref()
        .is_some_and(|name| name != "default")
    {
        let message = "the lab has one namespace: give \"default\", or leave this out";
        complaints.add(place.field("namespace"), message);
    }
}

fn labels(complaints: &mut Complaints, place: &Path, labels: &BTreeMap<String, String>) {
    for (key, value) in labels {
        complaints.add_some(
            place.field(key),
            name::key(key).or_else(|| name::value(value)),
        );
    }
}

fn annotations(complaints: &mut Complaints, place: &Path, annotations: &BTreeMap<String, String>) {
    /// Bytes of all keys and values.
    const MOST: usize = 256 << 10;
    for key in annotations.keys() {
        // Unlike labels', Kubernetes takes a domain of theirs in capitals.
        let wrong = name::key(&key.to_ascii_lowercase()).is_some();
        complaints.add_some(place.field(key), wrong.then(|| name::key(key)).flatten());
    }
    let bytes: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > MOST {
        let message = format!("all annotations together have {bytes} bytes: give {MOST} at most");
        complaints.add(place.clone(), message);
    }
}

fn of_the_lab(complaints: &mut Complaints, metadata: &Metadata) {
    let place = Path::default().field("metadata").field("annotations");
    if let Err(wrong) = Annotations::of(&metadata.annotations) {
        for (name, message) in wrong {
            complaints.add(place.field(name), message);
        }
    }
}

fn spec(complaints: &mut Complaints, place: &Path, spec: &PodSpec) {
    for (field, value) in [("nodeName", &spec.node_name), ("hostname", &spec.hostname)] {
        if let Some(value) = value {
            complaints.add_some(place.field(field), name::label(value));
        }
    }
    if spec.share_process_namespace && spec.host_pid {
        let message = "a pod with hostPID has no PID namespace to share: leave one of them out";
        complaints.add(place.field("shareProcessNamespace"), message);
    }
    if spec.has_own_users() {
        for (field, is_the_nodes) in [
            ("hostNetwork", spec.host_network),
            ("hostPID", spec.host_pid),
            ("hostIPC", spec.host_ipc),
        ] {
            if is_the_nodes {
                let message = "users of the pod's own have no rights in what is the node's: leave this or `hostUsers: false` out";
                complaints.add(place.field(field), message);
            }
        }
    }
    for (index, alias) in spec.host_aliases.iter().enumerate() {
        let place = place.field("hostAliases").element(index).field("hostnames");
        if alias.hostnames.is_empty() {
            complaints.add(place.clone(), "at least one is needed");
        }
        for (index, hostname) in alias.hostnames.iter().enumerate() {
            complaints.add_some(place.element(index), name::domain(hostname));
        }
    }
}

fn containers(complaints: &mut Complaints, place: &Path, spec: &PodSpec) {
    let (init, main) = (place.field("initContainers"), place.field("containers"));
    if spec.containers.is_empty() {
        complaints.add(main.clone(), "at least one is needed");
    }
    let places = |place: Path, containers: &'_ [Container]| -> Vec<Path> {
        (0..containers.len())
            .map(|index| place.element(index))
            .collect()
    };
    let places = [
        places(init, &spec.init_containers),
        places(main, &spec.containers),
    ]
    .concat();
    let all = || {
        places
            .iter()
            .zip(spec.init_containers.iter().chain(&spec.containers))
    };
    complaints.unique(all().map(|(place, each)| (place.field("name"), each.name.as_str())));
    for (number, (place, each)) in all().enumerate() {
        let kind = container::Kind::of(each, number < spec.init_containers.len());
        container::check(complaints, place, each, kind, spec);
    }
}

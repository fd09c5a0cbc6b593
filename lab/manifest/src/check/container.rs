//! Containers.

use super::{Complaints, name, probe, resources, security, volume};
use crate::path::Path;
use crate::{Container, ContainerPort, PodSpec};

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It ends before the others start.
    Init,
    /// It runs beside the others, from before their start to after their end.
    Sidecar,
    /// It is what the pod is for.
    Main,
}

impl Kind {
    pub(super) fn of(container: &Container, among_init_containers: bool) -> Self {
        match (among_init_containers, container.is_sidecar()) {
            (true, true) => Self::Sidecar,
            (true, false) => Self::Init,
            (false, _) => Self::Main,
        }
    }
}

pub(super) fn check(
    complaints: &mut Complaints,
    place: &Path,
    container: &Container,
    kind: Kind,
    spec: &PodSpec,
) {
    complaints.add_some(place.field("name"), name::label(&container.name));
    if container.image.as_ref().is_some_and(String::is_empty) {
        complaints.add(
            place.field("image"),
            "this is empty: name an image, or leave it out",
        );
    }
    if kind == Kind::Main && container.restart_policy.is_some() {
        let message = "only init containers have a policy of their own; others have the pod's";
        complaints.add(place.field("restartPolicy"), message);
    }
    program(complaints, place, container);
    environment(complaints, place, container);
    ports(complaints, &place.field("ports"), &container.ports);
    resources::check(complaints, &place.field("resources"), &container.resources);
    volume::mounts(
        complaints,
        &place.field("volumeMounts"),
        &container.volume_mounts,
        spec,
    );
    if kind == Kind::Init {
        not_of_init_containers(complaints, place, container);
    } else {
        probe::all(complaints, place, container, spec);
    }
    if let Some(settings) = &container.security_context {
        let place = place.field("securityContext");
        security::of_container(complaints, &place, settings, spec);
    }
}

fn program(complaints: &mut Complaints, place: &Path, container: &Container) {
    for (field, words) in [("command", &container.command), ("args", &container.args)] {
        for (index, word) in words.iter().enumerate() {
            complaints.add_some(place.field(field).element(index), name::no_end_in(word));
        }
    }
    let program = container.command.first();
    if program.is_some_and(String::is_empty) {
        complaints.add(
            place.field("command").element(0),
            "this is empty: name a program",
        );
    }
    // Kubernetes' API would take both; its runtimes would not.
    if container.image.is_none() && container.command.is_empty() {
        let message = "a container without an image needs a command: there is no entry point";
        complaints.add(place.field("command"), message);
    }
    if let Some(directory) = &container.working_dir {
        complaints.add_some(place.field("workingDir"), name::absolute(directory));
    }
}

fn environment(complaints: &mut Complaints, place: &Path, container: &Container) {
    for (index, variable) in container.env.iter().enumerate() {
        let place = place.field("env").element(index);
        complaints.add_some(place.field("name"), name::variable(&variable.name));
        complaints.add_some(place.field("value"), name::no_end_in(&variable.value));
    }
}

fn ports(complaints: &mut Complaints, place: &Path, ports: &[ContainerPort]) {
    let named = || {
        let all = ports.iter().enumerate();
        all.filter_map(|(index, port)| {
            Some((place.element(index).field("name"), port.name.as_deref()?))
        })
    };
    for (place, text) in named() {
        complaints.add_some(place, name::port(text));
    }
    complaints.unique(named());
    for (index, port) in ports.iter().enumerate() {
        if port.container_port == 0 {
            let place = place.element(index).field("containerPort");
            complaints.add(place, "give a number from 1 to 65535");
        }
    }
}

/// They end before anybody could look at them.
fn not_of_init_containers(complaints: &mut Complaints, place: &Path, container: &Container) {
    for (field, is_there) in [
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
    ] {
        if is_there {
            let message = "an init container has none, unless its restartPolicy is Always";
            complaints.add(place.field(field), message);
        }
    }
}

//! Probes and lifecycle hooks.

use super::{Complaints, name};
use crate::path::Path;
use crate::{Container, Handler, HttpGet, PodSpec, Port, Probe};

/// Of a pod that does not say, in seconds.
const GRACE_PERIOD: u32 = 30;

/// The probes and hooks of a container.
pub(super) fn all(
    complaints: &mut Complaints,
    place: &Path,
    container: &Container,
    spec: &PodSpec,
) {
    for (field, probe, is_readiness) in [
        ("livenessProbe", &container.liveness_probe, false),
        ("readinessProbe", &container.readiness_probe, true),
        ("startupProbe", &container.startup_probe, false),
    ] {
        if let Some(probe) = probe {
            let place = place.field(field);
            handler(complaints, &place, &probe.handler, container);
            numbers(complaints, &place, probe, is_readiness);
        }
    }
    let Some(lifecycle) = &container.lifecycle else {
        return;
    };
    for (field, hook) in [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ] {
        if let Some(hook) = hook {
            let place = place.field("lifecycle").field(field);
            handler(complaints, &place, hook, container);
            only_for_hooks(complaints, &place, hook, spec);
        }
    }
}

fn numbers(complaints: &mut Complaints, place: &Path, probe: &Probe, is_readiness: bool) {
    for (field, number) in [
        ("periodSeconds", probe.period_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
        (
            "terminationGracePeriodSeconds",
            probe.termination_grace_period_seconds.unwrap_or(1),
        ),
    ] {
        if number == 0 {
            complaints.add(place.field(field), "give 1 or more");
        }
    }
    if !is_readiness && probe.success_threshold > 1 {
        complaints.add(
            place.field("successThreshold"),
            "only a readinessProbe has more than 1",
        );
    }
    if is_readiness && probe.termination_grace_period_seconds.is_some() {
        let message = "a readinessProbe ends no container, so it has no grace period";
        complaints.add(place.field("terminationGracePeriodSeconds"), message);
    }
}

fn handler(complaints: &mut Complaints, place: &Path, handler: &Handler, of: &Container) {
    match handler {
        Handler::Exec(exec) => {
            let place = place.field("exec").field("command");
            if exec.command.first().is_none_or(String::is_empty) {
                complaints.add(place.clone(), "this is empty: name a program");
            }
            for (index, word) in exec.command.iter().enumerate() {
                complaints.add_some(place.element(index), name::no_end_in(word));
            }
        }
        Handler::HttpGet(get) => {
            let place = place.field("httpGet");
            http(complaints, &place, get);
            complaints.add_some(place.field("port"), port(&get.port, of));
        }
        Handler::TcpSocket(socket) => {
            complaints.add_some(
                place.field("tcpSocket").field("port"),
                port(&socket.port, of),
            );
        }
        Handler::Sleep(_) => {}
    }
}

fn http(complaints: &mut Complaints, place: &Path, get: &HttpGet) {
    let has_controls = |text: &str| text.contains(char::is_control);
    if get
        .path
        .as_ref()
        .is_some_and(|path| !path.starts_with('/') || has_controls(path))
    {
        complaints.add(
            place.field("path"),
            "give a path of one line that begins with '/'",
        );
    }
    for (index, header) in get.http_headers.iter().enumerate() {
        let place = place.field("httpHeaders").element(index);
        complaints.add_some(place.field("name"), name::header(&header.name));
        if has_controls(&header.value) {
            complaints.add(place.field("value"), "give text of one line");
        }
    }
}

fn port(port: &Port, of: &Container) -> Option<String> {
    match port {
        Port::Number(0) => Some("give a number from 1 to 65535".to_owned()),
        Port::Number(_) => None,
        Port::Name(wanted) => {
            let names = || of.ports.iter().filter_map(|port| port.name.as_deref());
            (!names().any(|name| name == wanted)).then(|| {
                let there: Vec<&str> = names().collect();
                let there = if there.is_empty() {
                    "none with a name".to_owned()
                } else {
                    there.join(", ")
                };
                format!(
                    "{wanted:?} is no port of container {:?}: it has {there}",
                    of.name
                )
            })
        }
    }
}

fn only_for_hooks(complaints: &mut Complaints, place: &Path, hook: &Handler, spec: &PodSpec) {
    match hook {
        // Kubernetes' API takes it for old manifests, and the hook then fails.
        Handler::TcpSocket(_) => {
            complaints.add(place.field("tcpSocket"), "a hook is exec, httpGet or sleep");
        }
        Handler::Sleep(sleep) => {
            let grace = spec
                .termination_grace_period_seconds
                .unwrap_or(GRACE_PERIOD);
            if !(1..=grace).contains(&sleep.seconds) {
                let message = format!("give 1 to {grace}, the grace period of the pod");
                complaints.add(place.field("sleep").field("seconds"), message);
            }
        }
        Handler::Exec(_) | Handler::HttpGet(_) => {}
    }
}

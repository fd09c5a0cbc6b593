//! Containers: what runs in them, how they are doing, what they may use.

use std::collections::BTreeMap;

use manifest::{Container, Handler, Port, Probe, Quantity, VolumeMount};

use super::lines::{Lines, NONE};
use crate::pod::{ContainerState, ContainerStatus, Status};

pub(super) fn text(containers: &[Container], status: &Status) -> String {
    let mut text = String::new();
    for container in containers {
        text.push_str(&format!("  {}:\n", container.name));
        text.push_str(&one(container, status.container(&container.name)).text());
    }
    text
}

fn one(container: &Container, status: Option<&ContainerStatus>) -> Lines {
    let mut lines = Lines::default();
    program(&mut lines, container, status);
    if let Some(status) = status {
        how_it_is(&mut lines, status);
    }
    amounts(&mut lines, "Limits", &container.resources.limits);
    amounts(&mut lines, "Requests", &container.resources.requests);
    probes(&mut lines, container);
    environment(&mut lines, container);
    mounts(&mut lines, container);
    lines
}

fn program(lines: &mut Lines, container: &Container, status: Option<&ContainerStatus>) {
    lines.add(
        4,
        "Image",
        container.image.as_deref().unwrap_or("the machine's root"),
    );
    lines.add_some(
        4,
        "Image ID",
        status
            .map(|status| &status.image_id)
            .filter(|id| !id.is_empty()),
    );
    let ports = container.ports.iter();
    let ports: Vec<String> = ports
        .map(|port| format!("{}/{}", port.container_port, port.protocol.as_str()))
        .collect();
    lines.add(4, "Ports", some_or_none(ports.join(", ")));
    if !container.command.is_empty() {
        lines.add_all(4, "Command", &container.command);
    }
    if !container.args.is_empty() {
        lines.add_all(4, "Args", &container.args);
    }
}

fn how_it_is(lines: &mut Lines, status: &ContainerStatus) {
    state(lines, "State", &status.state);
    if let Some(last) = &status.last_state {
        state(lines, "Last State", last);
    }
    lines.add(4, "Ready", if status.ready { "True" } else { "False" });
    lines.add(4, "Restart Count", status.restart_count);
}

fn probes(lines: &mut Lines, container: &Container) {
    for (name, probe) in [
        ("Liveness", &container.liveness_probe),
        ("Readiness", &container.readiness_probe),
        ("Startup", &container.startup_probe),
    ] {
        lines.add_some(4, name, probe.as_ref().map(probe_in_words));
    }
}

fn environment(lines: &mut Lines, container: &Container) {
    let variables = container.env.iter();
    let variables: Vec<String> = variables
        .map(|variable| format!("{}={}", variable.name, variable.value))
        .collect();
    lines.add_all(4, "Environment", &variables);
}

fn mounts(lines: &mut Lines, container: &Container) {
    let mounts = container.volume_mounts.iter();
    let mounts: Vec<String> = mounts.map(mount_in_words).collect();
    lines.add_all(4, "Mounts", &mounts);
}

/// `/var/log from log (rw,path="web")`
fn mount_in_words(mount: &VolumeMount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    let path = mount.sub_path.as_ref();
    let path = path.map(|path| format!(",path={path:?}"));
    let path = path.unwrap_or_default();
    format!("{} from {} ({access}{path})", mount.mount_path, mount.name)
}

fn some_or_none(text: String) -> String {
    if text.is_empty() {
        NONE.to_owned()
    } else {
        text
    }
}

fn state(lines: &mut Lines, name: &str, state: &ContainerState) {
    match state {
        ContainerState::Waiting(waiting) => {
            lines.add(4, name, "Waiting");
            lines.add(6, "Reason", &waiting.reason);
            lines.add_some(6, "Message", waiting.message.as_ref());
        }
        ContainerState::Running(running) => {
            lines.add(4, name, "Running");
            lines.add(6, "Started", running.started_at);
        }
        ContainerState::Terminated(end) => {
            lines.add(4, name, "Terminated");
            lines.add(6, "Reason", end.reason.as_str());
            lines.add_some(6, "Message", end.message.as_ref());
            lines.add(6, "Exit Code", end.exit_code);
            lines.add_some(6, "Signal", end.signal);
            lines.add(6, "Started", end.started_at);
            lines.add(6, "Finished", end.finished_at);
        }
    }
}

fn amounts(lines: &mut Lines, name: &str, amounts: &BTreeMap<String, Quantity>) {
    if amounts.is_empty() {
        return;
    }
    lines.add(4, name, "");
    for (name, amount) in amounts {
        lines.add(6, name, amount);
    }
}

/// `http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`
fn probe_in_words(probe: &Probe) -> String {
    let what = match &probe.handler {
        Handler::Exec(exec) => format!("exec [{}]", exec.command.join(" ")),
        Handler::HttpGet(get) => format!(
            "http-get http://{}:{}{}",
            get.host.as_deref().unwrap_or_default(),
            port(&get.port),
            get.path.as_deref().unwrap_or("/")
        ),
        Handler::TcpSocket(socket) => format!(
            "tcp-socket {}:{}",
            socket.host.as_deref().unwrap_or_default(),
            port(&socket.port)
        ),
        Handler::Sleep(sleep) => format!("sleep {}s", sleep.seconds),
    };
    format!(
        "{what} delay={}s timeout={}s period={}s #success={} #failure={}",
        probe.initial_delay_seconds,
        probe.timeout_seconds,
        probe.period_seconds,
        probe.success_threshold,
        probe.failure_threshold
    )
}

fn port(port: &Port) -> String {
    match port {
        Port::Number(number) => number.to_string(),
        Port::Name(name) => name.clone(),
    }
}

//! A pod: where it is, its containers, conditions, volumes and events.

use std::fmt::Write;

use anyhow::Result;
use manifest::Container;

use super::containers;
use super::lines::{Lines, NONE, pairs};
use super::volumes;
use crate::kubectl::{age, object};
use crate::output::{Table, escaped};
use crate::pod::{Event, Pod, Status};
use crate::state::LabDir;

/// # Errors
/// A state file cannot be read.
pub(super) fn text(dir: &LabDir, pod: &Pod) -> Result<String> {
    let status = pod.status(dir)?;
    let mut text = head(dir, pod, &status)?.text();
    let spec = pod.spec();
    if !spec.init_containers.is_empty() {
        text.push_str("Init Containers:\n");
        text.push_str(&containers::text(&spec.init_containers, &status));
    }
    text.push_str("Containers:\n");
    text.push_str(&containers::text(&spec.containers, &status));
    let ephemeral = pod.ephemeral(dir)?.into_iter();
    let ephemeral: Vec<Container> = ephemeral.map(|each| each.container).collect();
    if !ephemeral.is_empty() {
        text.push_str("Ephemeral Containers:\n");
        text.push_str(&containers::text(&ephemeral, &status));
    }
    text.push_str("Conditions:\n");
    text.push_str(&indented(&conditions(&status).to_string()));
    text.push_str(&volumes::text(&spec.volumes));
    if status.events.is_empty() {
        let _ = writeln!(text, "Events:  {NONE}");
    } else {
        text.push_str("Events:\n");
        text.push_str(&indented(&events(&status.events).to_string()));
    }
    Ok(text)
}

fn head(dir: &LabDir, pod: &Pod, status: &Status) -> Result<Lines> {
    let metadata = &pod.workload.pod.metadata;
    let mut lines = Lines::default();
    lines.add(0, "Name", &pod.name);
    lines.add(0, "Namespace", "default");
    let address = status.host_ip.map(|address| format!("/{address}"));
    lines.add(
        0,
        "Node",
        format!("{}{}", pod.node, address.unwrap_or_default()),
    );
    lines.add(0, "Start Time", status.start_time);
    lines.add_all(0, "Labels", &pairs(&metadata.labels, "="));
    lines.add_all(0, "Annotations", &pairs(&object::annotations(pod), ": "));
    match pod.deletion(dir)? {
        Some(deletion) => {
            let since = age::human(deletion.deletion_timestamp.age());
            lines.add(0, "Status", format!("Terminating (lasts {since})"));
            let grace = format!("{}s", deletion.deletion_grace_period_seconds);
            lines.add(0, "Termination Grace Period", grace);
        }
        None => lines.add(0, "Status", status.phase),
    }
    lines.add_some(0, "Reason", status.reason.as_ref());
    lines.add_some(0, "Message", status.message.as_ref());
    let addresses: Vec<String> = status
        .pod_ips
        .iter()
        .map(|each| each.ip.to_string())
        .collect();
    lines.add_all(0, "IP", &addresses);
    Ok(lines)
}

fn conditions(status: &Status) -> Table {
    let mut table = Table::new(&["Type", "Status"]);
    for condition in &status.conditions {
        let word = if condition.status { "True" } else { "False" };
        table.row([format!("{:?}", condition.r#type), word.to_owned()]);
    }
    table
}

fn events(events: &[Event]) -> Table {
    let mut table = Table::new(&["Type", "Reason", "Age", "Message"]);
    let rule = ["Type", "Reason", "Age", "Message"].map(|heading| "-".repeat(heading.len()));
    table.row(rule);
    for event in events {
        table.row([
            event.r#type.as_str().to_owned(),
            escaped(&event.reason),
            age::of_event(event),
            escaped(&event.message),
        ]);
    }
    table
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

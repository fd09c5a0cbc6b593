//! What a container may use.

use std::collections::BTreeMap;

use super::Complaints;
use crate::path::Path;
use crate::{Quantity, Resources};

/// The least memory, in bytes, that a container starts and runs a small program with: the tables of its mounts
/// are counted, in the pages of any machine.
pub const LEAST_MEMORY: u64 = 6 << 20;
/// Thousandths of a processor: the kernel's quota of 1 ms in 100 ms.
const LEAST_CPU: u64 = 10;
/// Bytes: more than any machine has.
const MOST_MEMORY: u64 = 1 << 50;
/// Thousandths of a processor: more than Linux knows how to have.
const MOST_CPU: u64 = 10_000 * 1000;

pub(super) fn check(complaints: &mut Complaints, place: &Path, resources: &Resources) {
    let (limits, requests) = (place.field("limits"), place.field("requests"));
    for (place, amounts) in [
        (&limits, &resources.limits),
        (&requests, &resources.requests),
    ] {
        for name in amounts.keys() {
            complaints.add_some(place.field(name), other_than_both(name));
        }
        most(complaints, place, amounts);
    }
    least(complaints, &limits, &resources.limits);
    for (name, request) in &resources.requests {
        let limit = resources.limits.get(name);
        if let Some(limit) = limit.filter(|limit| limit.thousandths() < request.thousandths()) {
            complaints.add(
                requests.field(name),
                format!("{request} is more than the limit, {limit}"),
            );
        }
    }
}

fn other_than_both(name: &str) -> Option<String> {
    let why = match name {
        "cpu" | "memory" => return None,
        "ephemeral-storage" => "the lab cannot limit what a container writes to disk",
        _ if name.starts_with("hugepages-") => "the lab reserves no huge pages",
        _ => "a node of the lab has no such resource",
    };
    Some(format!("{why}; give cpu and memory"))
}

fn most(complaints: &mut Complaints, place: &Path, amounts: &BTreeMap<String, Quantity>) {
    let has =
        |name: &str, more: &dyn Fn(&Quantity) -> bool| amounts.get(name).filter(|has| more(has));
    if let Some(memory) = has("memory", &|memory| memory.whole() > MOST_MEMORY) {
        let message = format!("{memory} is more than any machine has: give 1Pi or less");
        complaints.add(place.field("memory"), message);
    }
    if let Some(cpu) = has("cpu", &|cpu| cpu.thousandths() > MOST_CPU) {
        let most = MOST_CPU / 1000;
        let message = format!("{cpu} is more than any machine has: give {most} or less");
        complaints.add(place.field("cpu"), message);
    }
}

fn least(complaints: &mut Complaints, place: &Path, limits: &BTreeMap<String, Quantity>) {
    if let Some(memory) = limits
        .get("memory")
        .filter(|memory| memory.whole() < LEAST_MEMORY)
    {
        let least = LEAST_MEMORY >> 20;
        let message =
            format!("{memory} is too little for a container to start: give {least}Mi or more");
        complaints.add(place.field("memory"), message);
    }
    if let Some(cpu) = limits
        .get("cpu")
        .filter(|cpu| cpu.thousandths() < LEAST_CPU)
    {
        let message = format!("{cpu} is less than the kernel can tell: give {LEAST_CPU}m or more");
        complaints.add(place.field("cpu"), message);
    }
}

//! `lab describe`: all about a pod or a node, as kubectl lays it out.

mod containers;
mod lines;
mod node;
mod pod;
mod volumes;

use anyhow::Result;

use super::args::DescribeArgs;
use super::get::{Found, select};
use super::print;
use super::selection::{Kind, Selection};
use crate::failures::all_or_failures;
use crate::node::Node;
use crate::output::warn;
use crate::pod::Pod;
use crate::state::LabDir;

/// # Errors
/// As [`super::run()`]; what else was asked for is printed all the same.
pub(super) fn describe(dir: &LabDir, args: &DescribeArgs) -> Result<()> {
    let selection = Selection::parse(&args.what)?;
    let selector = args.selector.as_ref();
    selection.require_one_way(selector)?;
    dir.lab()?;
    let mut found = Found::default();
    for group in &selection.groups {
        let names = &group.names;
        found.join(match group.kind {
            Kind::Pod => select::<Pod>(dir, names, selector)?.map(|pod| pod::text(dir, pod)),
            Kind::Node => select::<Node>(dir, names, selector)?.map(|node| node::text(dir, node)),
        });
    }
    let Found { objects, failures } = found;
    if objects.is_empty() && failures.is_empty() {
        warn("No resources found");
    }
    print(&objects.join("\n\n"))?;
    all_or_failures(failures, "\n")
}

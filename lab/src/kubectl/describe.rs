//! `lab describe`: all about a pod or a node, as kubectl lays it out.

mod containers;
mod lines;
mod node;
mod pod;
mod volumes;

use anyhow::{Result, bail};

use super::args::DescribeArgs;
use super::get::{nodes, select};
use super::print;
use super::selection::{Kind, NotACommandLine, Selection};
use crate::state::LabDir;

/// # Errors
/// As [`super::run()`].
pub(super) fn describe(dir: &LabDir, args: &DescribeArgs) -> Result<()> {
    let selection = Selection::parse(&args.what)?;
    dir.lab()?;
    if args.selector.is_some() && !selection.names.is_empty() {
        bail!(NotACommandLine::names_and_labels());
    }
    let selector = args.selector.as_ref();
    let texts: Vec<String> = match selection.kind {
        Kind::Pod => {
            let pods = select(dir, &selection.names, selector)?;
            let texts = pods.iter().map(|pod| pod::text(dir, pod));
            texts.collect::<Result<_>>()?
        }
        Kind::Node => {
            let nodes = nodes(dir, &selection.names, selector)?;
            let texts = nodes.iter().map(|node| node::text(dir, node));
            texts.collect::<Result<_>>()?
        }
    };
    if texts.is_empty() {
        eprintln!("No resources found");
    }
    print(&texts.join("\n\n"))
}

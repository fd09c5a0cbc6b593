//! `lab describe`: all about a pod or a node, as kubectl lays it out.

mod containers;
mod lines;
mod pod;
mod volumes;

use anyhow::{Result, bail};

use super::args::DescribeArgs;
use super::get::select;
use super::print;
use super::selection::{Kind, NotACommandLine, Selection};
use crate::state::LabDir;

/// # Errors
/// As [`super::run`].
pub(super) fn describe(dir: &LabDir, args: &DescribeArgs) -> Result<()> {
    let selection = Selection::parse(&args.what)?;
    dir.lab()?;
    if selection.kind != Kind::Pod {
        bail!(NotACommandLine(
            "this works on pods; `lab get nodes -o yaml` tells of nodes".to_owned()
        ));
    }
    let pods = select(dir, &selection.names)?;
    if pods.is_empty() {
        eprintln!("No resources found");
    }
    for (number, pod) in pods.iter().enumerate() {
        if number > 0 {
            print("\n\n")?;
        }
        print(&pod::text(dir, pod)?)?;
    }
    Ok(())
}

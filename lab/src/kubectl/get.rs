//! `lab get`: pods and nodes, as a table or as objects.

mod nodes;
mod pods;

use anyhow::{Context, Result};
use serde_json::Value;

use super::args::{Format, GetArgs};
use super::selection::{Kind, Selection};
use super::{object, print};
use crate::keeper;
use crate::output::Table;
use crate::state::LabDir;

pub(super) use pods::select;

/// # Errors
/// As [`super::run`].
pub(super) fn get(dir: &LabDir, args: &GetArgs) -> Result<()> {
    let selection = Selection::parse(&args.what)?;
    dir.lab()?;
    match selection.kind {
        Kind::Pod => {
            let pods = pods::select(dir, &selection.names)?;
            let show = Show {
                selection: &selection,
                names: pods.iter().map(|pod| pod.name.as_str()).collect(),
                object: |number: usize| object::pod(dir, &pods[number]),
                table: |is_wide| pods::table(dir, &pods, is_wide),
            };
            show.print(args.output)?;
        }
        Kind::Node => {
            let nodes = nodes::select(dir, &selection.names)?;
            let show = Show {
                selection: &selection,
                names: nodes.iter().map(|node| node.name.as_str()).collect(),
                object: |number: usize| object::node(dir, &nodes[number]),
                table: |is_wide| nodes::table(dir, &nodes, is_wide),
            };
            show.print(args.output)?;
        }
    }
    keeper::warn_if_stopped(dir)
}

/// Objects of one kind, to be shown in some form.
struct Show<'a, O, T> {
    selection: &'a Selection,
    names: Vec<&'a str>,
    object: O,
    table: T,
}

impl<O, T> Show<'_, O, T>
where
    O: Fn(usize) -> Result<Value>,
    T: Fn(bool) -> Result<Table>,
{
    fn print(&self, format: Option<Format>) -> Result<()> {
        match format {
            None if self.names.is_empty() => {
                eprintln!("No resources found");
                Ok(())
            }
            None => print(&(self.table)(false)?.to_string()),
            Some(Format::Wide) => print(&(self.table)(true)?.to_string()),
            Some(Format::Name) => {
                let kind = self.selection.kind.as_str();
                let names = self.names.iter().map(|name| format!("{kind}/{name}\n"));
                print(&names.collect::<String>())
            }
            Some(Format::Json) => {
                let text = serde_json::to_string_pretty(&self.objects()?)?;
                print(&(text + "\n"))
            }
            Some(Format::Yaml) => {
                let text = serde_saphyr::to_string(&self.objects()?).context("write YAML")?;
                print(&text)
            }
        }
    }

    /// The one object that is named, or a list of several.
    fn objects(&self) -> Result<Value> {
        if self.selection.names.len() == 1 {
            return (self.object)(0);
        }
        let objects = (0..self.names.len()).map(&self.object);
        Ok(object::list(objects.collect::<Result<_>>()?))
    }
}

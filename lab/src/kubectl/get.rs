//! `lab get`: pods and nodes, as a table or as objects, once or as they change.

mod nodes;
mod pods;
mod watch;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use sandbox::Interrupt;
use serde_json::Value;

use super::args::{EventsArgs, Format, GetArgs};
use super::selection::{Kind, NotACommandLine, Selection};
use super::{events, object, print};
use crate::cli::Output;
use crate::keeper;
use crate::output::Table;
use crate::state::LabDir;

pub(super) use nodes::nodes;
pub(super) use pods::{marked, select};

/// What is listed.
#[derive(Clone)]
struct Item {
    name: String,
    labels: BTreeMap<String, String>,
    /// Of all columns.
    cells: Vec<String>,
    object: Value,
}

/// A kind's columns: those that are always there, and further ones of `-o wide`.
struct Columns {
    always: &'static [&'static str],
    wide: &'static [&'static str],
}

/// # Errors
/// As [`super::run()`].
pub(super) fn get(dir: &LabDir, args: &GetArgs, interrupt: Interrupt) -> Result<()> {
    if matches!(
        args.what.first().map(String::as_str),
        Some("events" | "event" | "ev")
    ) {
        return events::events(dir, &events_args(args)?, interrupt);
    }
    let selection = Selection::parse(&args.what)?;
    if args.selector.is_some() && !selection.names.is_empty() {
        bail!(NotACommandLine::names_and_labels());
    }
    dir.lab()?;
    let list = |missing| items(dir, &selection, args, missing);
    let show = Show {
        kind: selection.kind,
        is_list: selection.names.len() != 1,
        has_names: !selection.names.is_empty(),
        args,
    };
    match args.watch {
        false => show.all(&list(Missing::IsWrong)?)?,
        true => watch::watch(&show, list, interrupt)?,
    }
    keeper::warn_if_stopped(dir)
}

/// What it means that an object that is named is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Nobody has heard of it.
    IsWrong,
    /// It was there.
    IsGone,
}

/// `lab get events` is `lab events`.
fn events_args(args: &GetArgs) -> Result<EventsArgs> {
    let output = match &args.output {
        None | Some(Format::Wide) => Output::Table,
        Some(Format::Json) => Output::Json,
        Some(_) => bail!(NotACommandLine(
            "events are a table, or with -o json".to_owned()
        )),
    };
    if args.what.len() > 1 || args.selector.is_some() {
        bail!(NotACommandLine(
            "events have neither names nor labels: `lab get events` lists all, `lab describe pod NAME` those of a pod"
                .to_owned()
        ));
    }
    Ok(EventsArgs {
        watch: args.watch,
        output,
    })
}

/// Those that are named, or all whose labels are asked for.
fn items(
    dir: &LabDir,
    selection: &Selection,
    args: &GetArgs,
    missing: Missing,
) -> Result<Vec<Item>> {
    let selector = args.selector.as_ref();
    if selection.kind == Kind::Node {
        return nodes::items(dir, &selection.names, selector);
    }
    let pods = match missing {
        Missing::IsWrong => select(dir, &selection.names, selector)?,
        Missing::IsGone => {
            let mut pods = select(dir, &[], selector)?;
            let names = &selection.names;
            pods.retain(|pod| names.is_empty() || names.contains(&pod.name));
            pods
        }
    };
    pods.iter().map(|pod| pods::item(dir, pod)).collect()
}

/// Objects of one kind, to be shown in some form.
struct Show<'a> {
    kind: Kind,
    /// Not one object by its name.
    is_list: bool,
    has_names: bool,
    args: &'a GetArgs,
}

impl Show<'_> {
    fn all(&self, items: &[Item]) -> Result<()> {
        match &self.args.output {
            None | Some(Format::Wide) if items.is_empty() => {
                eprintln!("No resources found");
                Ok(())
            }
            None | Some(Format::Wide) => {
                let mut table = self.table();
                for item in items {
                    table.row(self.row(item));
                }
                print(&table.to_string())
            }
            Some(Format::Name) => items.iter().try_for_each(|item| self.name(item)),
            Some(Format::Json) => {
                print(&(serde_json::to_string_pretty(&self.objects(items))? + "\n"))
            }
            Some(Format::Yaml) => print(&yaml(&self.objects(items))?),
            Some(Format::JsonPath(template)) => print(&template.text(&self.objects(items))?),
        }
    }

    /// An object that has changed, where rows are below the table.
    fn one(&self, item: &Item, above: &Table) -> Result<()> {
        match &self.args.output {
            None | Some(Format::Wide) => print(&above.further(&self.row(item))),
            Some(Format::Name) => self.name(item),
            Some(Format::Json) => print(&(serde_json::to_string(&item.object)? + "\n")),
            Some(Format::Yaml) => print(&format!("---\n{}", yaml(&item.object)?)),
            Some(Format::JsonPath(template)) => print(&template.text(&item.object)?),
        }
    }

    fn is_table(&self) -> bool {
        matches!(self.args.output, None | Some(Format::Wide))
    }

    /// With its headings.
    fn table(&self) -> Table {
        let columns = self.columns();
        let mut headings = columns.always.to_vec();
        if self.args.output == Some(Format::Wide) {
            headings.extend(columns.wide);
        }
        if self.args.show_labels {
            headings.push("LABELS");
        }
        match self.args.no_headers {
            true => Table::default(),
            false => Table::new(&headings),
        }
    }

    fn row(&self, item: &Item) -> Vec<String> {
        let columns = self.columns();
        let wide = match self.args.output {
            Some(Format::Wide) => columns.wide.len(),
            _ => 0,
        };
        let mut row = item.cells[..columns.always.len() + wide].to_vec();
        if self.args.show_labels {
            let labels = item
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            row.push(some_or_none(labels.collect::<Vec<_>>()));
        }
        row
    }

    fn columns(&self) -> Columns {
        match self.kind {
            Kind::Pod => pods::COLUMNS,
            Kind::Node => nodes::COLUMNS,
        }
    }

    fn name(&self, item: &Item) -> Result<()> {
        print(&format!("{}/{}\n", self.kind.as_str(), item.name))
    }

    /// The one object that is named, or a list of several.
    fn objects(&self, items: &[Item]) -> Value {
        match items {
            [one] if !self.is_list => one.object.clone(),
            several => object::list(several.iter().map(|each| each.object.clone()).collect()),
        }
    }
}

fn yaml(object: &Value) -> Result<String> {
    serde_saphyr::to_string(object).context("write YAML")
}

fn some_or_none<T: ToString>(values: Vec<T>) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    match values.is_empty() {
        true => "<none>".to_owned(),
        false => values.join(","),
    }
}

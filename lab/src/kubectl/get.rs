//! `lab get`: pods and nodes, as a table or as objects, once or as they change.

mod nodes;
mod pods;
mod select;
mod watch;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use sandbox::Interrupt;
use serde_json::Value;

use super::args::{EventsArgs, Format, GetArgs};
use super::labels::Selector;
use super::selection::{Group, Kind, NotACommandLine, Selection};
use super::{events, object, print};
use crate::cli::Output;
use crate::failures::all_or_failures;
use crate::keeper;
use crate::node::Node;
use crate::output::{Table, warn, yaml};
use crate::pod::Pod;
use crate::state::{LabDir, Name};

pub(super) use select::{Found, marked, marked_names, select};

/// What is listed.
#[derive(Clone)]
struct Item {
    kind: Kind,
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
/// As [`super::run()`]; what else was asked for is printed all the same.
pub(super) fn get(dir: &LabDir, args: &GetArgs, interrupt: Interrupt) -> Result<()> {
    if matches!(
        args.what.first().map(String::as_str),
        Some("events" | "event" | "ev")
    ) {
        return events::events(dir, &events_args(args)?, interrupt);
    }
    let selection = Selection::parse(&args.what)?;
    selection.require_one_way(args.selector.as_ref())?;
    if args.watch && selection.groups.len() > 1 {
        bail!(NotACommandLine(
            "--watch follows objects of one kind: give pods or nodes".to_owned()
        ));
    }
    dir.lab()?;
    // A lab that is taken down ends a watch, too.
    let list = |missing| {
        let items = items(dir, &selection, args.selector.as_ref(), missing);
        if args.watch {
            dir.require_lasting()?;
        }
        items
    };
    let show = Show {
        is_list: selection.names() != 1,
        has_names: selection.names() > 0,
        with_kind: selection.is_mixed,
        args,
    };
    let failures = match args.watch {
        false => show.found(list(Missing::IsWrong)?)?,
        true => {
            watch::watch(&show, list, interrupt)?;
            Vec::new()
        }
    };
    keeper::warn_if_stopped(dir)?;
    all_or_failures(failures, "\n")
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
        Some(Format::Yaml) => Output::Yaml,
        Some(_) => bail!(NotACommandLine(
            "events are a table, or with -o json or yaml".to_owned()
        )),
    };
    if args.what.len() > 1 || args.selector.is_some() {
        bail!(NotACommandLine(
            "events have neither names nor labels: `lab get events` lists all, `lab events --for pod/NAME` those of a pod"
                .to_owned()
        ));
    }
    Ok(EventsArgs {
        pod: None,
        watch: args.watch,
        output,
    })
}

/// Those that are named, or all whose labels are asked for.
fn items(
    dir: &LabDir,
    selection: &Selection,
    selector: Option<&Selector>,
    missing: Missing,
) -> Result<Found<Item>> {
    let mut found = Found::default();
    for Group { kind, names } in &selection.groups {
        found.join(match kind {
            Kind::Pod => {
                let pods = match missing {
                    Missing::IsWrong => select(dir, names, selector)?,
                    Missing::IsGone => still_there(dir, names, selector)?,
                };
                pods.map(|pod| pods::item(dir, pod))
            }
            // Nodes stay as long as the lab does.
            Kind::Node => nodes::items(dir, select::<Node>(dir, names, selector)?)?,
        });
    }
    Ok(found)
}

fn still_there(dir: &LabDir, names: &[Name], selector: Option<&Selector>) -> Result<Found<Pod>> {
    let mut pods: Found<Pod> = select(dir, &[], selector)?;
    let is_meant = |pod: &Pod| names.is_empty() || names.contains(&pod.name);
    pods.objects.retain(is_meant);
    Ok(pods)
}

/// Objects, to be shown in some form.
struct Show<'a> {
    /// Not one object by its name.
    is_list: bool,
    has_names: bool,
    /// Names in tables are told with their kind.
    with_kind: bool,
    args: &'a GetArgs,
}

impl Show<'_> {
    /// All that there are; what is wrong with others.
    fn found(&self, found: Found<Item>) -> Result<Vec<anyhow::Error>> {
        let Found { objects, failures } = found;
        match objects.is_empty() {
            true if self.is_table() && failures.is_empty() => warn("No resources found"),
            true if self.is_table() || !self.is_list => {}
            _ => self.all(&objects)?,
        }
        Ok(failures)
    }

    fn all(&self, items: &[Item]) -> Result<()> {
        match &self.args.output {
            None | Some(Format::Wide) => print(&self.tables(items)),
            Some(Format::Name) => items.iter().try_for_each(|item| self.name(item)),
            Some(Format::Json) => {
                print(&(serde_json::to_string_pretty(&self.objects(items))? + "\n"))
            }
            Some(Format::Yaml) => print(&yaml(&self.objects(items))?),
            Some(Format::JsonPath(template)) => print(&template.text(&self.objects(items))?),
        }
    }

    /// One for each kind, in the order of the items.
    fn tables(&self, items: &[Item]) -> String {
        let of_kind = items.chunk_by(|one, next| one.kind == next.kind);
        let tables = of_kind.map(|items| self.table(items).to_string());
        let between = match self.args.no_headers {
            true => "",
            false => "\n",
        };
        tables.collect::<Vec<_>>().join(between)
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

    /// Of items of one kind.
    fn table(&self, items: &[Item]) -> Table {
        let mut table = match items.first() {
            Some(first) if !self.args.no_headers => Table::new(&self.headings(first.kind)),
            _ => Table::default(),
        };
        items.iter().for_each(|item| table.row(self.row(item)));
        table
    }

    fn headings(&self, kind: Kind) -> Vec<&'static str> {
        let columns = columns(kind);
        let mut headings = columns.always.to_vec();
        if self.args.output == Some(Format::Wide) {
            headings.extend(columns.wide);
        }
        if self.args.show_labels {
            headings.push("LABELS");
        }
        headings
    }

    fn row(&self, item: &Item) -> Vec<String> {
        let columns = columns(item.kind);
        let wide = match self.args.output {
            Some(Format::Wide) => columns.wide.len(),
            _ => 0,
        };
        let mut row = item.cells[..columns.always.len() + wide].to_vec();
        if self.with_kind {
            row[0] = item.full_name();
        }
        if self.args.show_labels {
            let labels = item
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            row.push(some_or_none(labels.collect::<Vec<_>>()));
        }
        row
    }

    fn name(&self, item: &Item) -> Result<()> {
        print(&(item.full_name() + "\n"))
    }

    /// The one object that is named, or a list of several.
    fn objects(&self, items: &[Item]) -> Value {
        match items {
            [one] if !self.is_list => one.object.clone(),
            several => object::list(several.iter().map(|each| each.object.clone()).collect()),
        }
    }
}

impl Item {
    /// As in `pod/web`.
    fn full_name(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }
}

fn columns(kind: Kind) -> Columns {
    match kind {
        Kind::Pod => pods::COLUMNS,
        Kind::Node => nodes::COLUMNS,
    }
}

fn some_or_none<T: ToString>(values: Vec<T>) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    match values.is_empty() {
        true => "<none>".to_owned(),
        false => values.join(","),
    }
}

//! `lab get -w`: objects as they change.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use sandbox::Interrupt;

use super::pods::STATUS;
use super::{Found, Item, Missing, Show};
use crate::interrupt::sleep;
use crate::kubectl::print;
use crate::output::Table;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// Prints all there are, and each again that has changed, until a signal comes or all that are named have gone.
///
/// # Errors
/// What is named is not there at the begin; the lab has gone, or is taken down.
pub(super) fn watch(
    show: &Show<'_>,
    list: impl Fn(Missing) -> Result<Found<Item>>,
    interrupt: Interrupt,
) -> Result<()> {
    let mut seen = BTreeMap::new();
    let mut above: Option<Table> = None;
    let mut items = list(Missing::IsWrong)?.all()?;
    loop {
        let is_over = show.has_names && items.is_empty();
        let changed = changes(&mut seen, items);
        match &above {
            None if changed.is_empty() => {}
            None => above = Some(begin(show, &changed)?),
            Some(above) => changed.iter().try_for_each(|item| show.one(item, above))?,
        }
        if is_over {
            return Ok(());
        }
        sleep(interrupt, INTERVAL);
        if interrupt.received().is_some() {
            return Ok(());
        }
        items = list(Missing::IsGone)?.all()?;
    }
}

/// The table that further rows stand below.
fn begin(show: &Show<'_>, items: &[Item]) -> Result<Table> {
    let table = show.table(items);
    match show.is_table() {
        true => print(&table.to_string())?,
        false => items.iter().try_for_each(|item| show.one(item, &table))?,
    }
    Ok(table)
}

/// What is new or has changed, and what has gone: it was last seen as it ended.
fn changes(seen: &mut BTreeMap<String, Item>, items: Vec<Item>) -> Vec<Item> {
    let mut before = std::mem::take(seen);
    let mut changed = Vec::new();
    for item in items {
        let known = before.remove(&item.name);
        if known.is_none_or(|known| known.object != item.object) {
            changed.push(item.clone());
        }
        seen.insert(item.name.clone(), item);
    }
    changed.extend(before.into_values().map(|mut gone| {
        gone.cells[STATUS] = "Terminating".to_owned();
        gone
    }));
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubectl::selection::Kind;

    #[test]
    fn an_object_is_shown_again_when_it_changes_and_when_it_goes() {
        let item = |name: &str, phase: &str| Item {
            kind: Kind::Pod,
            name: name.to_owned(),
            labels: BTreeMap::new(),
            cells: [name, "1/1", phase].map(str::to_owned).to_vec(),
            object: json!({ "status": { "phase": phase } }),
        };
        let mut seen = BTreeMap::new();
        let mut shown = |items: &[Item]| -> Vec<String> {
            let changed = changes(&mut seen, items.to_vec());
            changed.iter().map(|item| item.cells.join(" ")).collect()
        };
        let [a, b] = [item("a", "Running"), item("b", "Pending")];
        assert_eq!(shown(std::slice::from_ref(&a)), ["a 1/1 Running"]);
        assert_eq!(shown(&[a.clone(), b]), ["b 1/1 Pending"]);
        let later = item("b", "Running");
        assert_eq!(shown(&[a.clone(), later.clone()]), ["b 1/1 Running"]);
        assert_eq!(shown(&[a, later.clone()]), [""; 0]);
        assert_eq!(shown(&[later]), ["a 1/1 Terminating"]);
    }
}

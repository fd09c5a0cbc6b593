//! What the user made of the view: which list has the keys, orders, filters, what is selected. Keys change
//! it; nothing is drawn here.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::watch::{NodeRow, PodRow, Rate, Snapshot};

/// The state of the view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) focus: Focus,
    pub(super) nodes: List,
    pub(super) pods: List,
    /// A filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
}

/// Which list has the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Focus {
    #[default]
    Pods,
    Nodes,
}

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    order: usize,
    /// Rows that do not have it in one of their words are left out.
    pub(super) filter: String,
    /// By name, so that it stays the same row when rows move. The first when absent or gone.
    selected: Option<String>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Quit,
}

/// How many rows PageUp and PageDown go.
const PAGE: isize = 10;

impl View {
    /// Takes a key.
    pub(super) fn press(&mut self, key: KeyEvent, snapshot: &Snapshot) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Next::Quit,
                _ => Next::Stay,
            };
        }
        if self.typing {
            self.edit_filter(key.code);
        } else if self.help {
            // Whatever key: it goes away, so that nobody is stuck in it.
            self.help = false;
        } else {
            return self.command(key.code, snapshot);
        }
        Next::Stay
    }

    fn command(&mut self, key: KeyCode, snapshot: &Snapshot) -> Next {
        match key {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.list_mut().filter.clear(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Pods => Focus::Nodes,
                    Focus::Nodes => Focus::Pods,
                }
            }
            KeyCode::Char('s') => self.list_mut().order += 1,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, snapshot),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, snapshot),
            KeyCode::PageUp => self.step(-PAGE, snapshot),
            KeyCode::PageDown => self.step(PAGE, snapshot),
            KeyCode::Home => self.step(isize::MIN, snapshot),
            KeyCode::End => self.step(isize::MAX, snapshot),
            _ => {}
        }
        Next::Stay
    }

    fn edit_filter(&mut self, key: KeyCode) {
        let filter = &mut self.list_mut().filter;
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                filter.clear();
                self.typing = false;
            }
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Char(character) => filter.push(character),
            _ => {}
        }
    }

    fn step(&mut self, by: isize, snapshot: &Snapshot) {
        let names: Vec<&str> = match self.focus {
            Focus::Pods => names(&self.pods.shown(&snapshot.pods)),
            Focus::Nodes => names(&self.nodes.shown(&snapshot.nodes)),
        };
        let Some(last) = names.len().checked_sub(1) else {
            return;
        };
        let now = self.list().place(names.iter().copied());
        let next = now.saturating_add_signed(by).min(last);
        let selected = names.get(next).map(|&name| name.to_owned());
        self.list_mut().selected = selected;
    }

    /// The list that has the keys.
    pub(super) fn list(&self) -> &List {
        match self.focus {
            Focus::Pods => &self.pods,
            Focus::Nodes => &self.nodes,
        }
    }

    fn list_mut(&mut self) -> &mut List {
        match self.focus {
            Focus::Pods => &mut self.pods,
            Focus::Nodes => &mut self.nodes,
        }
    }
}

/// What an order is called, and which of two rows comes first in it.
type Order<R> = (&'static str, fn(&R, &R) -> Ordering);

/// What is in a list.
pub(super) trait Row: Sized + 'static {
    /// The orders there are, by what they are called.
    const ORDERS: &'static [Order<Self>];

    fn name(&self) -> &str;

    /// The words a filter looks at.
    fn words(&self) -> Vec<String>;
}

impl List {
    /// What its order is called.
    pub(super) fn order<R: Row>(&self) -> &'static str {
        R::ORDERS[self.order % R::ORDERS.len()].0
    }

    /// The rows that the filter leaves, in order.
    pub(super) fn shown<'a, R: Row>(&self, rows: &'a [R]) -> Vec<&'a R> {
        let wanted = self.filter.to_lowercase();
        let has = |row: &&R| {
            let words = row.words();
            words
                .iter()
                .any(|word| word.to_lowercase().contains(&wanted))
        };
        let mut shown: Vec<&R> = rows.iter().filter(has).collect();
        let compare = R::ORDERS[self.order % R::ORDERS.len()].1;
        // Stable: what is alike stays in the order of the names.
        shown.sort_by(|one, other| compare(one, other));
        shown
    }

    /// Where the selected row is.
    pub(super) fn place<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> usize {
        let selected = self.selected.as_deref();
        names.position(|name| Some(name) == selected).unwrap_or(0)
    }
}

fn names<'a, R: Row>(rows: &[&'a R]) -> Vec<&'a str> {
    rows.iter().map(|row| row.name()).collect()
}

/// The greatest first, what is not known last.
fn down<T: PartialOrd>(one: Option<T>, other: Option<T>) -> Ordering {
    other.partial_cmp(&one).unwrap_or(Ordering::Equal)
}

impl Row for PodRow {
    const ORDERS: &'static [Order<Self>] = &[
        ("name", |_, _| Ordering::Equal),
        ("cpu", |one, other| down(one.cpu_cores, other.cpu_cores)),
        ("memory", |one, other| {
            down(one.memory_bytes, other.memory_bytes)
        }),
        ("traffic", |one, other| {
            let total = |row: &Self| row.traffic.map(Rate::total);
            down(total(one), total(other))
        }),
        ("restarts", |one, other| other.restarts.cmp(&one.restarts)),
        ("node", |one, other| {
            let key = |row: &Self| (row.node.len(), row.node.clone());
            key(one).cmp(&key(other))
        }),
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![self.name.clone(), self.node.clone(), self.status.clone()];
        words.extend(self.addresses.iter().map(ToString::to_string));
        words
    }
}

impl Row for NodeRow {
    const ORDERS: &'static [Order<Self>] = &[
        ("name", |_, _| Ordering::Equal),
        ("pods", |one, other| other.pods.all.cmp(&one.pods.all)),
        ("traffic", |one, other| {
            let total = |row: &Self| row.cable.map(Rate::total);
            down(total(one), total(other))
        }),
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![self.name.clone(), self.netd.as_str().to_owned()];
        words.extend(self.addresses.iter().map(ToString::to_string));
        words.extend(self.subnets.iter().map(ToString::to_string));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{busy, press};
    use super::*;

    fn shown(view: &View, snapshot: &Snapshot) -> Vec<String> {
        let rows = view.pods.shown(&snapshot.pods);
        rows.iter().map(|row| row.name.clone()).collect()
    }

    fn selected(view: &View, snapshot: &Snapshot) -> String {
        let names = match view.focus {
            Focus::Pods => names(&view.pods.shown(&snapshot.pods)),
            Focus::Nodes => names(&view.nodes.shown(&snapshot.nodes)),
        };
        names[view.list().place(names.iter().copied())].to_owned()
    }

    #[test]
    fn only_q_and_ctrl_c_quit_and_while_typing_only_ctrl_c() {
        let snapshot = busy();
        let quits = |before: &str, key: KeyEvent| {
            let mut view = View::default();
            press(&mut view, &snapshot, before);
            view.press(key, &snapshot) == Next::Quit
        };
        let q = KeyEvent::from(KeyCode::Char('q'));
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(quits("", q) && quits("", ctrl_c) && quits("/", ctrl_c) && quits("?", ctrl_c));
        assert!(!quits("/", q) && !quits("?", q));
        for other in ['c', 'x', 's', 'j'] {
            assert!(!quits("", KeyEvent::from(KeyCode::Char(other))), "{other}");
        }
    }

    #[test]
    fn the_selection_stays_in_the_list_and_with_its_row() {
        let snapshot = busy();
        for (keys, expected) in [
            ("", "cache-0"),
            ("k", "cache-0"),
            ("j", "client"),
            ("jjk", "client"),
            ("jjjjjjjjj", "web-1"),
            ("jjjjjjjjjk", "web-0"),
            // Another order moves the row, not the selection.
            ("js", "client"),
            ("jsss", "client"),
            ("\t", "n1"),
            ("\tj", "n2"),
            ("\tjjjjj", "n3"),
            ("\t\tj", "client"),
            // What the filter takes away is not selected.
            ("j/web\n", "web-0"),
        ] {
            let mut view = View::default();
            press(&mut view, &snapshot, keys);
            assert_eq!(selected(&view, &snapshot), expected, "{keys:?}");
        }
        let mut view = View::default();
        press(&mut view, &Snapshot::default(), "jk\tj");
        for (key, expected) in [
            (KeyCode::End, "web-1"),
            (KeyCode::Up, "web-0"),
            (KeyCode::PageUp, "cache-0"),
            (KeyCode::PageDown, "web-1"),
            (KeyCode::Home, "cache-0"),
        ] {
            view.focus = Focus::Pods;
            view.press(key.into(), &snapshot);
            assert_eq!(selected(&view, &snapshot), expected, "{key:?}");
        }
    }

    #[test]
    fn orders_follow_each_other_and_filters_look_at_every_word() {
        let snapshot = busy();
        for (keys, expected) in [
            ("", "cache-0 client job web-0 web-1"),
            ("s", "client web-0 cache-0 web-1 job"),
            ("ss", "cache-0 web-0 client web-1 job"),
            ("sss", "client web-0 cache-0 web-1 job"),
            ("ssss", "web-1 cache-0 client job web-0"),
            ("sssss", "web-0 cache-0 web-1 client job"),
            ("ssssss", "cache-0 client job web-0 web-1"),
            ("/WEB", "web-0 web-1"),
            ("/n3\n", "client job"),
            ("/crash\n", "web-1"),
            ("/10.244.2.\n", "cache-0 web-1"),
            ("/wex\u{8}b\n", "web-0 web-1"),
            ("/web\u{1b}", "cache-0 client job web-0 web-1"),
            ("/web\n\u{1b}", "cache-0 client job web-0 web-1"),
            ("/nothing\n", ""),
        ] {
            let mut view = View::default();
            press(&mut view, &snapshot, keys);
            assert_eq!(shown(&view, &snapshot).join(" "), expected, "{keys:?}");
        }
    }
}

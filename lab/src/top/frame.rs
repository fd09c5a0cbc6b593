//! The picture: a pure function of what there is to see and of what the user made of the view.

mod help;
mod lists;
mod notes;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::cells::{Fitted, cut, time, width};
use super::view::{Focus, Row, View};
use crate::output::counted;
use crate::watch::{Mood, Snapshot};

/// How it is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) colours: bool,
    /// Since the snapshot was taken, when that is long ago.
    pub(super) stale: Option<Duration>,
}

/// Below this height one list is shown at a time.
const BOTH: u16 = 14;

impl Look {
    pub(super) fn of(self, mood: Mood) -> Style {
        let style = Style::new();
        match (mood, self.colours) {
            (Mood::Good, true) => style.fg(Color::Green),
            (Mood::Waiting, true) => style.fg(Color::Yellow),
            (Mood::Bad, true) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Mood::Bad, false) => style.add_modifier(Modifier::BOLD),
            (_, false) => style,
        }
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, view: &View, look: Look) {
    let area = frame.area();
    let mut canvas = Canvas { frame, area };
    title(&mut canvas, snapshot, look);
    if view.help {
        help::draw(&mut canvas);
        return;
    }
    let footer = canvas.take_last();
    body(&mut canvas, snapshot, view, look);
    self::footer(&mut canvas, footer, snapshot, view);
}

/// A part of the terminal that is filled from its top.
struct Canvas<'a, 'b> {
    frame: &'a mut Frame<'b>,
    area: Rect,
}

impl Canvas<'_, '_> {
    fn width(&self) -> usize {
        self.area.width.into()
    }

    /// The next line; what is beyond the last is not there.
    fn line(&mut self, line: impl Into<Line<'static>>) {
        self.styled(line, Style::new());
    }

    /// A line whose style goes on to the right edge.
    fn styled(&mut self, line: impl Into<Line<'static>>, style: Style) {
        if self.area.height == 0 {
            return;
        }
        let row = Rect {
            height: 1,
            ..self.area
        };
        self.put(row, line, style);
        self.skip(1);
    }

    fn put(&mut self, row: Rect, line: impl Into<Line<'static>>, style: Style) {
        let buffer = self.frame.buffer_mut();
        // A terminal may have no line at all.
        if row.intersection(buffer.area).is_empty() {
            return;
        }
        buffer.set_line(row.x, row.y, &line.into(), row.width);
        buffer.set_style(row, style);
    }

    fn skip(&mut self, lines: u16) {
        let lines = lines.min(self.area.height);
        self.area.y += lines;
        self.area.height -= lines;
    }

    /// The last line, which is then no longer in it.
    fn take_last(&mut self) -> Rect {
        let height = self.area.height.min(1);
        self.area.height -= height;
        Rect {
            y: self.area.bottom(),
            height,
            ..self.area
        }
    }
}

fn heading_style() -> Style {
    Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
}

fn title(canvas: &mut Canvas<'_, '_>, snapshot: &Snapshot, look: Look) {
    let ready = snapshot.pods.iter().filter(|pod| pod.is_ready).count();
    let bad = snapshot.problems.iter();
    let bad = bad.filter(|problem| problem.mood == Mood::Bad).count();
    let problems = (bad > 0).then(|| (counted(bad, "problem"), Mood::Bad));
    let age = look
        .stale
        .map(|age| (format!("{} OLD", time(age.as_secs())), Mood::Bad));
    let good = |text: String| Some((text, Mood::Good));
    // What is at the end is cut where the line is short.
    let parts = [
        age,
        good(format!("lab {}", snapshot.lab)),
        problems,
        good(counted(snapshot.nodes.len(), "node")),
        good(format!("{ready}/{} pods ready", snapshot.pods.len())),
        good(format!("{}, {}", snapshot.backend, snapshot.store)),
    ];
    let mut spans = Vec::new();
    for (text, mood) in parts.into_iter().flatten() {
        // Good news in a title is no news.
        let style = match mood {
            Mood::Bad => look.of(mood),
            _ => Style::new(),
        };
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::styled(text, style));
    }
    canvas.line(spans);
}

fn body(canvas: &mut Canvas<'_, '_>, snapshot: &Snapshot, view: &View, look: Look) {
    let notes = notes::lines(snapshot, look);
    if canvas.area.height + 2 < BOTH {
        let worst = notes.first().filter(|_| !snapshot.problems.is_empty());
        let reserved = u16::from(worst.is_some());
        let rows = canvas.area.height.saturating_sub(reserved);
        match view.focus {
            Focus::Pods => lists::pods(canvas, rows, snapshot, view, look),
            Focus::Nodes => lists::nodes(canvas, rows, snapshot, view, look),
        }
        if let Some(worst) = worst {
            canvas.line(worst.clone());
        }
        return;
    }
    // A blank line below each list, and the line of what is selected.
    let room = canvas.area.height.saturating_sub(3);
    let needs = [
        snapshot.nodes.len() + 1,
        snapshot.pods.len() + 1,
        notes.len() + 1,
    ];
    let [nodes, pods, notes_rows] = shares(room, needs);
    lists::nodes(canvas, nodes, snapshot, view, look);
    canvas.skip(1);
    lists::pods(canvas, pods, snapshot, view, look);
    canvas.skip(1);
    let selected = lists::selected(snapshot, view);
    let selected = cut(&selected, canvas.width());
    notes::draw(canvas, notes_rows, snapshot, notes);
    canvas.line(selected);
}

/// How many lines nodes, pods and notes get. Pods have the rest of the room, and at least half of it where they
/// need that much.
fn shares(room: u16, needs: [usize; 3]) -> [u16; 3] {
    const FEWEST: u16 = 3;
    let [nodes, pods, notes] = needs.map(|need| u16::try_from(need).unwrap_or(u16::MAX));
    let most_nodes = FEWEST.max(room / 4);
    let most_notes = FEWEST.max(room / 4);
    let mut shares = [nodes.min(most_nodes), 0, notes.min(most_notes)];
    // What pods do not need, the others get.
    let mut spare = room
        .saturating_sub(shares[0] + shares[2])
        .saturating_sub(pods);
    for (at, need) in [(0, nodes), (2, notes)] {
        let more = need.saturating_sub(shares[at]).min(spare);
        shares[at] += more;
        spare -= more;
    }
    shares[1] = room.saturating_sub(shares[0] + shares[2]);
    shares
}

fn footer(canvas: &mut Canvas<'_, '_>, row: Rect, snapshot: &Snapshot, view: &View) {
    let list = view.list();
    if view.typing {
        let room = canvas.width().saturating_sub(2);
        let text = format!("/{}_", tail(&list.filter, room));
        canvas.put(row, text, Style::new());
        return;
    }
    let mut text = match view.focus {
        Focus::Pods => place("pod", list.shown(&snapshot.pods).as_slice(), view),
        Focus::Nodes => place("node", list.shown(&snapshot.nodes).as_slice(), view),
    };
    if !list.filter.is_empty() {
        text.push_str(&format!(", with {:?}", list.filter));
    }
    let other = match view.focus {
        Focus::Pods => "Tab nodes",
        Focus::Nodes => "Tab pods",
    };
    for hint in ["q quit", "? help", other, "s order", "/ filter"] {
        if width(&text) + 2 + width(hint) <= canvas.width() {
            text.push_str("  ");
            text.push_str(hint);
        }
    }
    canvas.put(row, text, Style::new().add_modifier(Modifier::REVERSED));
}

fn place<R: Row>(what: &str, rows: &[&R], view: &View) -> String {
    let list = view.list();
    let names = rows.iter().map(|row| row.name());
    let at = (list.place(names) + 1).min(rows.len());
    format!("{what} {at}/{} by {}", rows.len(), list.order::<R>())
}

/// The end of a text that is being typed.
fn tail(text: &str, room: usize) -> String {
    let surplus = text.chars().count().saturating_sub(room);
    text.chars().skip(surplus).collect()
}

/// A list's headings and the rows around the selected one.
fn table(canvas: &mut Canvas<'_, '_>, rows: u16, table: &Fitted, count: usize, at: Option<usize>) {
    if rows == 0 {
        return;
    }
    canvas.styled(table.heading(), heading_style());
    let room = usize::from(rows - 1);
    let first = at.map_or(0, |at| (at + 1).saturating_sub(room));
    for row in first..count.min(first + room) {
        let style = match at == Some(row) {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        canvas.styled(table.row(row), style);
    }
    let shown = count.min(first + room) - first.min(count);
    canvas.skip(u16::try_from(room - shown).unwrap_or(0));
}

#[cfg(test)]
mod tests;

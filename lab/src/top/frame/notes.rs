//! What is wrong, and what netd put back.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::cells::{cut, time};
use super::{Canvas, Look, heading_style};
use crate::watch::{Mood, Snapshot};

/// Problems first.
pub(super) fn lines(snapshot: &Snapshot, look: Look) -> Vec<Line<'static>> {
    let problems = snapshot.problems.iter().map(|problem| {
        let style = look.of(problem.mood);
        Line::from(vec![
            Span::styled(format!("{}: ", problem.of), style),
            Span::styled(problem.what.clone(), style),
        ])
    });
    let repairs = snapshot.repairs.iter().map(|repair| {
        let times = match repair.count {
            1 => String::new(),
            count => format!(" {count} times"),
        };
        let ago = time(repair.seconds);
        let text = format!(
            "{}: put back{times}, {ago} ago: {}",
            repair.node, repair.object
        );
        Line::styled(text, look.of(Mood::Waiting))
    });
    problems.chain(repairs).collect()
}

pub(super) fn draw(
    canvas: &mut Canvas<'_, '_>,
    rows: u16,
    snapshot: &Snapshot,
    lines: Vec<Line<'static>>,
) {
    if rows == 0 {
        return;
    }
    let heading = match (snapshot.problems.len(), snapshot.repairs.len()) {
        (0, 0) => "NO PROBLEMS, NOTHING PUT BACK LATELY".to_owned(),
        (problems, repairs) => format!("PROBLEMS {problems}, PUT BACK BY NETD {repairs}"),
    };
    let room = canvas.width();
    canvas.styled(cut(&heading, room), heading_style());
    let room = usize::from(rows - 1);
    let count = lines.len();
    let fits = if count > room {
        room.saturating_sub(1)
    } else {
        count
    };
    for line in lines.into_iter().take(fits) {
        canvas.line(line);
    }
    if count > fits && room > 0 {
        canvas.styled(format!("{} more", count - fits), Style::new());
    }
    let used = fits + usize::from(count > fits);
    canvas.skip(u16::try_from(room.saturating_sub(used)).unwrap_or(0));
}

//! What the keys do.

use super::{Canvas, heading_style};

const KEYS: &[(&str, &str)] = &[
    ("q, Ctrl-C", "quit"),
    ("Tab", "to the nodes, to the pods"),
    ("up, k", "the row above"),
    ("down, j", "the row below"),
    ("s", "another order"),
    ("/", "show only what has a text"),
    ("Esc", "show all again"),
    ("any key", "leave this page"),
];

pub(super) fn draw(canvas: &mut Canvas<'_, '_>) {
    canvas.styled("KEYS", heading_style());
    for (key, what) in KEYS {
        canvas.line(format!("{key:10} {what}"));
    }
    canvas.skip(1);
    for line in [
        "RX and TX are bytes per second, received and sent: at a pod's eth0, at a node's",
        "eth0 (UNDERLAY) and at its tunnel (TUNNEL). CPU is in processors. MEMORY is the",
        "working set and the limit. RS is how often containers were started again.",
        "LEASE is the time that netd's lease has left; netd renews it before.",
    ] {
        canvas.line(line);
    }
}

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::super::samples::{busy, crowded, press};
use super::*;

fn buffer(size: (u16, u16), snapshot: &Snapshot, keys: &str, look: Look) -> Buffer {
    let mut view = View::default();
    press(&mut view, snapshot, keys);
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal
        .draw(|frame| draw(frame, snapshot, &view, look))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The lines, without blanks at their ends.
fn picture(size: (u16, u16), snapshot: &Snapshot, keys: &str) -> Vec<String> {
    let buffer = buffer(size, snapshot, keys, Look::default());
    let line = |y| {
        let cells = (0..size.0).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..size.1).map(line).collect()
}

#[test]
fn what_matters_is_in_the_picture_at_every_size() {
    let everywhere = ["lab lab", "3 nodes", "2 problems"];
    let pods = ["POD", "web-1", "1/2", "CrashLoopBackOff", "Completed"];
    let nodes = ["NODE", "NETD", "n3", "stopped", "degraded"];
    let figures = ["14", "1.50", "60M/64M", "1.9M"];
    let wide = ["10.244.2.3", "192.168.50.3", "10.244.3.0/24", "kept", "23h"];
    let notes = [
        "back-off 5m0s",
        "lab node start n3",
        "put back 3 times, 12s ago: route",
    ];
    let small: &[&[&str]] = &[&everywhere, &pods];
    let small_nodes: &[&[&str]] = &[&everywhere, &nodes];
    let middle: &[&[&str]] = &[&everywhere, &pods, &nodes, &notes, &figures];
    let large: &[&[&str]] = &[middle, &[&wide[..], &["PEERS", "2/2", "REPAIRS"][..]]].concat();
    for (size, keys, expected) in [
        ((40, 10), "", small),
        ((40, 10), "\t", small_nodes),
        ((80, 24), "", middle),
        ((80, 24), "\tj", middle),
        ((120, 40), "", large),
    ] {
        let picture = picture(size, &busy(), keys).join("\n");
        for word in expected.iter().flat_map(|words| words.iter()) {
            assert!(picture.contains(word), "{word:?} at {size:?}:\n{picture}");
        }
    }
}

#[test]
fn a_terminal_of_80_by_24() {
    let picture = picture((80, 24), &busy(), "jj");
    let expected = include_str!("80x24.txt");
    assert_eq!(picture.join("\n"), expected.trim_end_matches('\n'));
}

#[test]
fn no_size_and_no_state_is_too_much() {
    for snapshot in [Snapshot::default(), busy(), crowded()] {
        for keys in [
            "",
            "\t",
            "?",
            "/a-filter-that-is-longer-than-the-line-it-is-typed-into",
            "s",
        ] {
            for width in [0, 1, 2, 7, 40, 80, 120] {
                for height in [0, 1, 2, 3, 10, 11, 12, 13, 14, 24, 40] {
                    picture((width, height), &snapshot, keys);
                }
            }
        }
    }
}

#[test]
fn of_many_rows_the_selected_one_is_seen_and_the_others_lists_keep_their_room() {
    let snapshot = crowded();
    for size in [(40, 10), (80, 24), (120, 40)] {
        let selected = 250;
        let lines = picture(size, &snapshot, &"j".repeat(selected));
        let text = lines.join("\n");
        assert!(text.contains("pod 251/300"), "{text}");
        if size.0 > 40 {
            assert!(text.contains("-kind-250 on n64"), "{text}");
            assert!(text.contains("n2") && text.contains("more"), "{text}");
            let pods = lines
                .iter()
                .filter(|line| line.contains("Init:CrashLoopBackOff"));
            assert!(pods.count() >= usize::from(size.1) / 3, "{text}");
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let coloured = |look| {
        let buffer = buffer((80, 24), &busy(), "", look);
        buffer
            .content()
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(!coloured(Look::default()));
    assert!(coloured(Look {
        colours: true,
        stale: None
    }));
}

#[test]
fn what_was_seen_long_ago_says_so() {
    let stale = Some(Duration::from_secs(7));
    let look = Look {
        colours: false,
        stale,
    };
    let buffer = buffer((40, 10), &busy(), "", look);
    let first: String = (0..40).map(|x| buffer[(x, 0)].symbol()).collect();
    assert!(first.starts_with("7s OLD  lab lab"), "{first}");
}

//! What the demo shows: numbered steps, what happens in them, and how long they took.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Instant;

use crate::output::{Paint, Table};

/// Standard output, coloured and live on a terminal, plain elsewhere.
pub(super) struct Screen {
    paint: Paint,
    terminal: bool,
    step: u32,
    failures: u32,
    step_start: Instant,
    start: Instant,
}

const INDENT: &str = "     ";

impl Screen {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            paint: Paint::for_stdout(),
            terminal: std::io::stdout().is_terminal(),
            step: 0,
            failures: 0,
            step_start: now,
            start: now,
        }
    }

    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn title(&self, text: impl Display) {
        self.line(self.paint.heading(text));
    }

    /// Begins a step.
    pub(super) fn step(&mut self, text: impl Display) {
        self.step += 1;
        self.step_start = Instant::now();
        self.line("");
        self.line(self.paint.heading(format_args!("{:2}   {text}", self.step)));
    }

    /// Ends a step.
    pub(super) fn done(&self) {
        let seconds = self.step_start.elapsed().as_secs_f64();
        self.line(self.paint.dim(format_args!("{INDENT}({seconds:.1} s)")));
    }

    /// What happens, until the next line takes its place; on a terminal only.
    pub(super) fn live(&self, text: impl Display) {
        if self.terminal {
            self.put(format_args!(
                "\r\u{1b}[K{}",
                self.paint.dim(format_args!("{INDENT}{text} ..."))
            ));
        }
    }

    pub(super) fn note(&self, text: impl Display) {
        self.line(format_args!("{INDENT}{text}"));
    }

    pub(super) fn row(&self, text: impl Display) {
        let text = format!("{INDENT}{text}");
        self.line(text.trim_end());
    }

    pub(super) fn good(&self, text: impl Display) {
        self.line(self.paint.good(format_args!("{INDENT}{text}")));
    }

    /// Shows and counts a failure.
    pub(super) fn failed(&mut self, text: impl Display) {
        self.failures += 1;
        self.line(self.paint.bad(format_args!("{INDENT}FAILED: {text}")));
    }

    pub(super) fn table(&self, table: &Table) {
        for line in table.to_string().lines() {
            self.note(line);
        }
    }

    pub(super) fn summary(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.line("");
        if self.failures == 0 {
            self.line(self.paint.heading(format_args!("done in {seconds:.1} s")));
        } else {
            let failures = self.failures;
            self.line(
                self.paint
                    .bad(format_args!("{failures} failed, in {seconds:.1} s")),
            );
        }
    }

    fn line(&self, text: impl Display) {
        let clear = if self.terminal { "\r\u{1b}[K" } else { "" };
        self.put(format_args!("{clear}{text}\n"));
    }

    fn put(&self, text: impl Display) {
        let mut stdout = std::io::stdout();
        // A reader that has gone away must not keep the lab from being taken down.
        let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
    }
}

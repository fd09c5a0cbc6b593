//! `netd status --watch`: the status again and again, until Ctrl-C.
//!
//! On a terminal the screen is drawn anew each second. Elsewhere the status is printed when it has
//! changed, ages left aside: one block for people, or one line of JSON for programs.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::time::Duration;

use crate::pages::{self, Look};
use crate::query;
use crate::status::State;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Cursor home, and nothing below it (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Why watching ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The runtime or its signals.
    #[error("the status cannot be watched")]
    Runtime(#[source] io::Error),
    /// Nobody takes what is printed.
    #[error("the status cannot be printed")]
    Print(#[source] io::Error),
}

/// Prints until SIGINT or SIGTERM comes, or until nobody reads any more. A netd that does not
/// answer is waited for.
///
/// # Errors
/// The output cannot be written, other than to a pipe that was closed.
pub fn run(socket: &Path, json: bool, look: Look) -> Result<(), WatchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WatchError::Runtime)?;
    match runtime.block_on(watch(socket, json, look)) {
        Err(WatchError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}

async fn watch(socket: &Path, json: bool, look: Look) -> Result<(), WatchError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WatchError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(WatchError::Runtime)?;
    let terminal = io::stdout().is_terminal() && !json;
    let mut last = None;
    loop {
        let seen = query::ask(socket).map_err(|error| crate::chain(&error));
        let still = seen.clone().map(still);
        if terminal || last.as_ref() != Some(&still) {
            let text = drawn(&seen, json, terminal, look);
            print(&text).map_err(WatchError::Print)?;
            last = Some(still);
        }
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

fn drawn(seen: &Result<State, String>, json: bool, terminal: bool, look: Look) -> String {
    let text = match (seen, json) {
        (Ok(state), true) => return pages::json_line(state),
        (Err(error), true) => return serde_json::json!({ "error": error }).to_string() + "\n",
        (Ok(state), false) => pages::text(state, look),
        (Err(error), false) => format!("{error}\n"),
    };
    match terminal {
        true => format!("{CLEAR}{text}"),
        false => format!("{text}\n"),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A state without what changes by itself.
fn still(mut state: State) -> State {
    state.uptime = 0;
    state.lease.expires_in = state.lease.expires_in.map(|_| 0);
    state.lease.expires_at = None;
    state.datapath.passes = 0;
    state.datapath.last_pass_us = 0;
    state
        .problems
        .iter_mut()
        .for_each(|problem| problem.seconds = 0);
    state
        .peers
        .nodes
        .iter_mut()
        .for_each(|node| node.seconds = 0);
    state
        .repaired
        .iter_mut()
        .for_each(|repair| repair.seconds = 0);
    state
}

/// Whether the standard output takes colours: a terminal, and nobody said no (no-color.org).
pub fn takes_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

//! `lab logs`: what a container printed.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sandbox::Interrupt;

use super::args::LogsArgs;
use super::{print, say_which_container};
use crate::interrupt;
use crate::pod::{self, ContainerState, ContainerStatus, Pod};
use crate::state::LabDir;

/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(50);

/// # Errors
/// There is no such pod, container or log; Ctrl-C.
pub(super) fn logs(dir: &LabDir, args: &LogsArgs, interrupt: Interrupt) -> Result<()> {
    let pod = Pod::find(dir, &args.pod)?;
    let container = args.container.as_deref();
    say_which_container(&pod, container);
    let path = pod::log_path(dir, &pod, container, args.previous)?;
    let mut log = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)
        .with_context(|| format!("read {}", path.display()))?;
    print(last_lines(&text, args.tail))?;
    if args.follow && !args.previous {
        follow(dir, &pod, container, (&path, log), interrupt)?;
    }
    Ok(())
}

/// Prints what comes, until this start of the container has ended.
fn follow(
    dir: &LabDir,
    pod: &Pod,
    container: Option<&str>,
    (path, mut log): (&Path, File),
    interrupt: Interrupt,
) -> Result<()> {
    loop {
        // Asked first: what it printed last is there then.
        let has_ended = has_ended(dir, pod, container, path)?;
        let mut text = Vec::new();
        log.read_to_end(&mut text).context("read the log")?;
        print(&text)?;
        if has_ended && text.is_empty() {
            return Ok(());
        }
        interrupt::pause(interrupt, PAUSE)?;
    }
}

/// Whether the container that wrote this log does not run any more. The log is there before the program runs.
fn has_ended(dir: &LabDir, pod: &Pod, container: Option<&str>, log: &Path) -> Result<bool> {
    let name = &pod.container(container)?.name;
    let status = pod.status(dir)?;
    let goes_on = status.container(name).is_some_and(runs_or_starts);
    Ok(!goes_on
        || status.has_ended()
        || pod::log_path(dir, pod, container, false).map_or(true, |newest| newest != log))
}

fn runs_or_starts(container: &ContainerStatus) -> bool {
    match &container.state {
        ContainerState::Running(_) => true,
        // For the first time; between later starts it waits for a while, and has written all of this log.
        ContainerState::Waiting(_) => container.last_state.is_none(),
        // Its next start is on the way.
        ended @ ContainerState::Terminated(_) => container.last_state.as_ref() == Some(ended),
    }
}

/// So many lines from the end; all without a number.
fn last_lines(text: &[u8], number: Option<usize>) -> &[u8] {
    let Some(number) = number else {
        return text;
    };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    match number
        .checked_sub(1)
        .map(|skipped| ends.map(|(at, _)| at).nth(skipped))
    {
        None => &[],
        Some(None) => text,
        Some(Some(at)) => &text[at + 1..],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_goes_on_before_its_program_runs() {
        let waiting = json!({ "waiting": { "reason": "ContainerCreating" } });
        let time = "2026-01-01T00:00:00Z";
        let ended = json!({ "terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time,
        } });
        for (state, last_state, expected) in [
            (&waiting, None, true),
            (&waiting, Some(&ended), false),
            (&ended, None, false),
            (&ended, Some(&ended), true),
        ] {
            let mut status = json!({
                "name": "main", "state": state, "ready": false, "started": false, "restartCount": 0, "image": "",
                "imageID": "",
            });
            if let Some(last_state) = last_state {
                status["lastState"] = last_state.clone();
            }
            let status: ContainerStatus = serde_json::from_value(status).unwrap();
            assert_eq!(runs_or_starts(&status), expected, "{state} {last_state:?}");
        }
    }

    #[test]
    fn the_end_of_a_log() {
        for (text, number, expected) in [
            ("a\nb\nc\n", None, "a\nb\nc\n"),
            ("a\nb\nc\n", Some(0), ""),
            ("a\nb\nc\n", Some(1), "c\n"),
            ("a\nb\nc", Some(2), "b\nc"),
            ("a\nb\nc\n", Some(3), "a\nb\nc\n"),
            ("a\nb\nc\n", Some(9), "a\nb\nc\n"),
            ("a\n\n", Some(1), "\n"),
            ("", Some(1), ""),
        ] {
            let last = last_lines(text.as_bytes(), number);
            assert_eq!(last, expected.as_bytes(), "{text:?} {number:?}");
        }
    }
}

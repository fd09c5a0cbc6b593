//! `lab logs`: what a container printed.

use std::time::Duration;

use anyhow::{Result, bail};
use sandbox::Interrupt;

use super::args::LogsArgs;
use super::get::select;
use super::selection::{NotACommandLine, pod_name};
use super::{print, say_which_container};
use crate::interrupt;
use crate::pod::{ContainerState, ContainerStatus, Log, LogReader, Pod};
use crate::state::{LabDir, Name};

/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(50);

/// # Errors
/// There is no such pod, container or log; Ctrl-C.
pub(super) fn logs(dir: &LabDir, args: &LogsArgs, interrupt: Interrupt) -> Result<()> {
    match &args.selector {
        None => of_one(dir, &Pod::find(dir, &one(&args.pod)?)?, args, interrupt),
        Some(_) if !args.pod.is_empty() => bail!(NotACommandLine::names_and_labels()),
        Some(selector) => {
            dir.lab()?;
            let pods = select(dir, &[], Some(selector))?;
            if pods.is_empty() {
                eprintln!("No resources found");
            }
            if args.follow && pods.len() > 1 {
                let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
                bail!(
                    "one pod is followed at a time: choose one of {}",
                    names.join(", ")
                );
            }
            let mut pods = pods.iter();
            pods.try_for_each(|pod| of_one(dir, pod, args, interrupt))
        }
    }
}

/// `web`, `pod/web` or `pod web`.
fn one(words: &[String]) -> Result<Name> {
    match words {
        [word] => pod_name(word),
        [kind, name] if pod_name(&format!("{kind}/{name}")).is_ok() => {
            pod_name(&format!("{kind}/{name}"))
        }
        [pod, container, ..] => bail!(NotACommandLine(format!(
            "logs are those of one pod: `lab logs {pod}`; of its container {container}: `lab logs {pod} -c {container}`"
        ))),
        [] => bail!(NotACommandLine("name a pod, or give --selector".to_owned())),
    }
}

fn of_one(dir: &LabDir, pod: &Pod, args: &LogsArgs, interrupt: Interrupt) -> Result<()> {
    let container = args.container.as_deref();
    say_which_container(pod, container);
    let log = Log::find(dir, pod, container, args.previous)?;
    let mut reader = LogReader::open(log.clone(), args.tail)?;
    print_log(&mut reader)?;
    if args.follow && !args.previous {
        follow(dir, pod, container, (&log, reader), interrupt)?;
    }
    Ok(())
}

/// Prints what a log has now, however much comes meanwhile; how many bytes.
///
/// # Errors
/// It cannot be read; [`ReaderGone`](crate::output::ReaderGone).
pub fn print_log(reader: &mut LogReader) -> Result<u64> {
    let ahead = reader.ahead()?;
    let mut bytes = vec![0; 64 << 10];
    let mut left = ahead;
    while left > 0 {
        let most = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let length = reader.read(&mut bytes[..most])?;
        if length == 0 {
            break;
        }
        print(&bytes[..length])?;
        left -= length as u64;
    }
    Ok(ahead)
}

/// Prints what comes, until this start of the container has ended.
fn follow(
    dir: &LabDir,
    pod: &Pod,
    container: Option<&str>,
    (log, mut reader): (&Log, LogReader),
    interrupt: Interrupt,
) -> Result<()> {
    loop {
        // Asked first: what it printed last is there then.
        let has_ended = has_ended(dir, pod, container, log)?;
        let printed = print_log(&mut reader)?;
        if has_ended && printed == 0 {
            return Ok(());
        }
        interrupt::pause(interrupt, PAUSE)?;
    }
}

/// Whether the container that wrote this log does not run any more. The log is there before the program runs.
fn has_ended(dir: &LabDir, pod: &Pod, container: Option<&str>, log: &Log) -> Result<bool> {
    let name = &pod.container(container)?.name;
    let status = pod.status(dir)?;
    let goes_on = status.container(name).is_some_and(runs_or_starts);
    Ok(!goes_on
        || status.has_ended()
        || Log::find(dir, pod, container, false).map_or(true, |newest| newest != *log))
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
    fn whose_logs_are_meant() {
        let one = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            one(&words)
        };
        for words in ["web", "pod/web", "pod web", "po web"] {
            assert_eq!(one(words).unwrap().as_str(), "web", "{words}");
        }
        for (words, said) in [
            ("web main", "of its container main: `lab logs web -c main`"),
            ("", "name a pod"),
            ("nodes/n1", "this works on pods"),
        ] {
            let error = one(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}

//! `lab logs`: what a container printed.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use sandbox::Interrupt;

use super::args::LogsArgs;
use super::get::marked;
use super::selection::{NotACommandLine, pod_name};
use super::{print, say_which_container};
use crate::failures::all_or_failures;
use crate::interrupt;
use crate::output::warn;
use crate::pod::{ContainerState, ContainerStatus, Entry, Log, LogReader, Pod, time_text};
use crate::state::{LabDir, Name};

/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(50);
/// Of each pod that is chosen by labels, unless a number is given (kubectl-logs(1), `--tail`).
const LINES_OF_SEVERAL: usize = 10;

/// # Errors
/// There is no such pod, container or log: the others are printed before; Ctrl-C.
pub(super) fn logs(dir: &LabDir, args: &LogsArgs, interrupt: Interrupt) -> Result<()> {
    let pods = pods(dir, args)?;
    let mut failures = Vec::new();
    let mut sources = Vec::new();
    let of_pod = |pod| {
        containers(pod, args)
            .into_iter()
            .map(move |each| (pod, each))
    };
    let wanted: Vec<(&Pod, Option<&str>)> = pods.iter().flat_map(of_pod).collect();
    let follows = args.follow && !args.previous;
    for (pod, container) in &wanted {
        match Source::open(dir, pod, *container, args) {
            Err(error) => failures.push(error),
            Ok(mut source) => {
                source.form.is_among_others = wanted.len() > 1;
                source.print()?;
                match follows {
                    true => sources.push(source),
                    false => source.end()?,
                }
            }
        }
    }
    if follows {
        follow(dir, sources, interrupt)?;
    }
    all_or_failures(failures, "\n")
}

fn pods(dir: &LabDir, args: &LogsArgs) -> Result<Vec<Pod>> {
    let Some(selector) = &args.selector else {
        return Ok(vec![Pod::find(dir, &one(&args.pod)?)?]);
    };
    if !args.pod.is_empty() {
        bail!(NotACommandLine::names_and_labels());
    }
    dir.lab()?;
    let pods: Vec<Pod> = marked(dir, Some(selector))?;
    if pods.is_empty() {
        warn("No resources found");
    }
    Ok(pods)
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

/// The containers of a pod whose logs are asked for.
fn containers<'a>(pod: &'a Pod, args: &'a LogsArgs) -> Vec<Option<&'a str>> {
    if args.all_containers {
        return pod.containers().map(|each| Some(&*each.name)).collect();
    }
    let container = args.container.as_deref();
    say_which_container(pod, container);
    vec![container]
}

/// The log of one container, as far as it is printed.
struct Source {
    pod: Pod,
    container: String,
    log: Log,
    reader: LogReader,
    form: Form,
}

impl Source {
    fn open(dir: &LabDir, pod: &Pod, container: Option<&str>, args: &LogsArgs) -> Result<Self> {
        let log = Log::find(dir, pod, container, args.previous)?;
        let container = pod.container(container)?.name.clone();
        Ok(Self {
            reader: LogReader::open(log.clone(), tail(args))?,
            form: Form {
                prefix: match args.prefix {
                    true => format!("[pod/{}/{container}] ", pod.name),
                    false => String::new(),
                },
                timestamps: args.timestamps,
                since: since(args).map(time_text),
                is_among_others: false,
                begun: Vec::new(),
                goes_on: false,
            },
            pod: pod.clone(),
            container,
            log,
        })
    }

    /// Prints what the log has now, however much comes meanwhile. Whether there was something.
    fn print(&mut self) -> Result<bool> {
        /// Bytes that are printed at once.
        const MUCH: usize = 64 << 10;
        let mut text = Vec::new();
        let form = &mut self.form;
        let read = self.reader.read(&mut |entry| {
            form.add(&mut text, entry);
            if text.len() >= MUCH {
                print(&text)?;
                text.clear();
            }
            Ok(())
        })?;
        if !text.is_empty() {
            print(&text)?;
        }
        Ok(read > 0)
    }

    /// Prints what came. Whether more can come.
    fn goes_on(&mut self, dir: &LabDir) -> Result<bool> {
        // Asked first: what it printed last is there then.
        let has_ended = self.has_ended(dir)?;
        let goes_on = self.print()? || !has_ended;
        if !goes_on {
            self.end()?;
        }
        Ok(goes_on)
    }

    /// Prints what is held back, when no more comes.
    fn end(&mut self) -> Result<()> {
        let mut text = Vec::new();
        self.form.end(&mut text);
        match text.is_empty() {
            true => Ok(()),
            false => print(&text),
        }
    }

    /// Whether the container that wrote this log does not run any more. The log is there before the program runs.
    fn has_ended(&self, dir: &LabDir) -> Result<bool> {
        let status = self.pod.status(dir)?;
        let goes_on = status
            .container(&self.container)
            .is_some_and(runs_or_starts);
        let newest = || Log::find(dir, &self.pod, Some(&self.container), false);
        Ok(!goes_on || status.has_ended() || newest().map_or(true, |newest| newest != self.log))
    }
}

/// How many lines of its end are asked for; all without a number.
fn tail(args: &LogsArgs) -> Option<usize> {
    match args.tail {
        None => args.selector.as_ref().map(|_| LINES_OF_SEVERAL),
        Some(lines) => usize::try_from(lines).ok(),
    }
}

fn since(args: &LogsArgs) -> Option<SystemTime> {
    let before_now = |ago| {
        let then = SystemTime::now().checked_sub(ago);
        then.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    args.since_time.or_else(|| args.since.map(before_now))
}

/// How a log is printed.
struct Form {
    /// Before each line.
    prefix: String,
    /// Before each line, its time.
    timestamps: bool,
    /// What came before it is left out.
    since: Option<String>,
    /// Lines of others may come between: one is printed when it is whole.
    is_among_others: bool,
    /// The part of it that is there.
    begun: Vec<u8>,
    /// Whether a line was begun.
    goes_on: bool,
}

impl Form {
    fn add(&mut self, text: &mut Vec<u8>, entry: Entry<'_>) {
        /// A longer line is printed in parts.
        const LONG: usize = 64 << 10;
        let from = text.len();
        self.add_part(text, entry);
        if self.is_among_others {
            self.begun.extend(text.drain(from..));
            if !self.goes_on || self.begun.len() >= LONG {
                text.append(&mut self.begun);
            }
        }
    }

    /// The part of a line that has no more, with an end that keeps it apart from those of others.
    fn end(&mut self, text: &mut Vec<u8>) {
        text.append(&mut self.begun);
        text.extend((self.is_among_others && self.goes_on).then_some(b'\n'));
    }

    fn add_part(&mut self, text: &mut Vec<u8>, entry: Entry<'_>) {
        let since = self.since.as_ref();
        if since.is_some_and(|since| entry.time < since.as_bytes()) {
            return;
        }
        if !self.goes_on {
            text.extend_from_slice(self.prefix.as_bytes());
            if self.timestamps {
                text.extend_from_slice(entry.time);
                text.push(b' ');
            }
        }
        text.extend_from_slice(entry.text);
        text.extend(entry.ends.then_some(b'\n'));
        self.goes_on = !entry.ends;
    }
}

/// Prints what comes, until all these starts of containers have ended.
fn follow(dir: &LabDir, mut sources: Vec<Source>, interrupt: Interrupt) -> Result<()> {
    loop {
        let mut left = Vec::new();
        for mut source in sources {
            if source.goes_on(dir)? {
                left.push(source);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        sources = left;
        interrupt::pause(interrupt, PAUSE)?;
    }
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

    fn entry<'a>((time, text, ends): (&'a str, &'a str, bool)) -> Entry<'a> {
        Entry {
            time: time.as_bytes(),
            text: text.as_bytes(),
            ends,
        }
    }

    #[test]
    fn how_lines_are_printed() {
        let entries = [
            ("2026-01-01T00:00:01.000000000Z", "one", true),
            ("2026-01-01T00:00:02.000000000Z", "tw", false),
            ("2026-01-01T00:00:03.000000000Z", "o", true),
            ("2026-01-01T00:00:04.000000000Z", "$ ", false),
        ];
        let form = |prefix: &str, timestamps, since: Option<&str>| Form {
            prefix: prefix.to_owned(),
            timestamps,
            since: since.map(str::to_owned),
            is_among_others: false,
            begun: Vec::new(),
            goes_on: false,
        };
        let printed = |prefix: &str, timestamps, since: Option<&str>| {
            let mut form = form(prefix, timestamps, since);
            let mut text = Vec::new();
            for each in entries {
                form.add(&mut text, entry(each));
            }
            String::from_utf8(text).unwrap()
        };
        assert_eq!(printed("", false, None), "one\ntwo\n$ ");
        assert_eq!(
            printed("[pod/web/main] ", false, None),
            "[pod/web/main] one\n[pod/web/main] two\n[pod/web/main] $ "
        );
        assert_eq!(
            printed("> ", true, Some("2026-01-01T00:00:02.000000000Z")),
            "> 2026-01-01T00:00:02.000000000Z two\n> 2026-01-01T00:00:04.000000000Z $ "
        );
        assert_eq!(
            printed("", false, Some("2026-01-01T00:00:04.000000001Z")),
            ""
        );
        // Among others line by line, also the last, but not one without end.
        let mut form = form("> ", false, None);
        form.is_among_others = true;
        let long = "x".repeat(64 << 10);
        let long = [("", &*long, false), ("", "y", false)];
        let expected = [
            "> one\n",
            "",
            "> two\n",
            "",
            &format!("> $ {}", long[0].1),
            "",
        ];
        for (each, expected) in entries.into_iter().chain(long).zip(expected) {
            let mut text = Vec::new();
            form.add(&mut text, entry(each));
            assert!(text == expected.as_bytes(), "{}", text.len());
        }
        let mut text = Vec::new();
        form.end(&mut text);
        assert_eq!(text, b"y\n");
    }

    #[test]
    fn how_many_lines_and_since_when() {
        use clap::Parser;
        #[derive(Parser)]
        struct Called {
            #[command(flatten)]
            args: LogsArgs,
        }
        let called = |words: &str| {
            let words = ["logs"].into_iter().chain(words.split_whitespace());
            Called::try_parse_from(words).map(|called| called.args)
        };
        for (words, lines) in [
            ("web", None),
            ("web --tail -1", None),
            ("web --tail=0", Some(0)),
            ("web --tail 7", Some(7)),
            ("-l app=web", Some(10)),
            ("-l app=web --tail -1", None),
            ("-l app=web --tail 7", Some(7)),
        ] {
            assert_eq!(tail(&called(words).unwrap()), lines, "{words}");
        }
        for words in [
            "web --tail -2",
            "web --since 5",
            "web --since-time yesterday",
            "web --since 5s --since-time 2026-01-01T00:00:00Z",
            "web -c main --all-containers",
        ] {
            assert!(called(words).is_err(), "{words}");
        }
        for (text, time) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000000Z"),
            (
                "2026-01-01T01:30:00.5+02:00",
                "2025-12-31T23:30:00.500000000Z",
            ),
            (
                "2026-01-01T00:00:00-00:30",
                "2026-01-01T00:30:00.000000000Z",
            ),
        ] {
            let args = called(&format!("web --since-time {text}")).unwrap();
            assert_eq!(since(&args).map(time_text).unwrap(), time, "{text}");
        }
        assert_eq!(since(&called("web").unwrap()), None);
        let args = called("web --since 1h30m").unwrap();
        let age = since(&args).unwrap().elapsed().unwrap().as_secs();
        assert!((5400..5460).contains(&age), "{age}");
        // Longer than clocks count.
        let args = called("web --since 90000y").unwrap();
        assert!(time_text(since(&args).unwrap()) <= time_text(SystemTime::UNIX_EPOCH));
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

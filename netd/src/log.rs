//! The daemon's log on standard error: a line an event, for people or (`-log-format json`) as a JSON
//! object: `time` (RFC 3339, UTC), `level` (`error`, `warn`, `info`, `debug` or `trace`), `message`, and
//! `fields`, an object of what the event says besides.

use std::fmt;
use std::io::IsTerminal as _;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Writes events from now on. `verbosity` is that of the flag `-v`.
pub fn start(format: LogFormat, verbosity: u32) {
    let level = match verbosity {
        0 | 1 => LevelFilter::INFO,
        2 | 3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init(),
        LogFormat::Json => lines.event_format(Json).init(),
    }
}

/// Half a daemon is worse than none: a panic in any task or thread ends netd, and whoever runs it
/// starts it again.
pub fn end_on_panic(format: LogFormat) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        match format {
            LogFormat::Text => report(panic),
            LogFormat::Json => tracing::error!(%panic, "netd ends: this is a fault of netd's"),
        }
        std::process::abort();
    }));
}

struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut said = Said::default();
        event.record(&mut said);
        let line = Line {
            time,
            level: word(*event.metadata().level()),
            message: said.message,
            fields: said.fields,
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

#[derive(Serialize)]
struct Line {
    time: String,
    level: &'static str,
    message: String,
    fields: Map<String, Value>,
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.add(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.add(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_an_object_in_a_line() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Json)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let word = "a \"quoted\"\nword";
            tracing::info!(
                level = "mine",
                number = 7,
                small = -1_i64,
                yes = true,
                word,
                "is {}",
                1
            );
            tracing::warn!(error = %fmt::Error);
        });
        let text = kept
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let text = String::from_utf8(text).expect("UTF-8");
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        for line in &mut lines {
            let time = line["time"].take();
            let time = time.as_str().expect("text");
            assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        }
        let expected = [
            json!({
                "time": null,
                "level": "info",
                "message": "is 1",
                "fields": {
                    "level": "mine",
                    "number": 7,
                    "small": -1,
                    "yes": true,
                    "word": "a \"quoted\"\nword",
                },
            }),
            json!({
                "time": null,
                "level": "warn",
                "message": "",
                "fields": { "error": fmt::Error.to_string() },
            }),
        ];
        assert_eq!(lines, expected);
    }
}

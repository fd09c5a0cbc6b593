//! How daemons log: a line an event, for people or (`-log-format json`) as a JSON object: `time` (RFC 3339,
//! UTC), `level` (`error`, `warn`, `info`, `debug` or `trace`), `message`, and `fields`, an object of what
//! the event says besides. What a line for people looks like is the daemon's own.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A word that is no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give text or json")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// An event that happens now, as a JSON object without the end of the line.
///
/// # Errors
/// None that the types allow to happen.
pub fn json(event: &Event<'_>) -> serde_json::Result<String> {
    let mut said = Said::default();
    event.record(&mut said);
    line(*event.metadata().level(), said.message, said.fields)
}

/// The same object of an error that is told now, whatever the log tells: what a daemon ends with.
///
/// # Errors
/// None that the types allow to happen.
pub fn last_words(message: impl Into<String>) -> serde_json::Result<String> {
    line(Level::ERROR, message.into(), Map::new())
}

fn line(level: Level, message: String, fields: Map<String, Value>) -> serde_json::Result<String> {
    serde_json::to_string(&Line {
        time: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        level: word(level),
        message,
        fields,
    })
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
    use std::sync::Mutex;

    use serde_json::json;
    use tracing::{Metadata, Subscriber, span};

    use super::*;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// Keeps what is said.
    struct Kept;

    impl Subscriber for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            SAID.lock().unwrap().push(super::json(event).unwrap());
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn an_event_is_an_object() {
        tracing::subscriber::with_default(Kept, || {
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
        let said = std::mem::take(&mut *SAID.lock().unwrap());
        assert!(said.iter().all(|line| !line.contains('\n')), "{said:?}");
        let mut lines: Vec<Value> = said
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &mut lines {
            let time = line["time"].take();
            assert!(
                humantime::parse_rfc3339(time.as_str().unwrap()).is_ok(),
                "{time}"
            );
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

    #[test]
    fn a_format_is_one_of_two_words() {
        assert_eq!("text".parse(), Ok(Format::Text));
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("JSON".parse::<Format>(), Err(UnknownFormat));
    }
}

//! Logging to standard error, one line an event: `podwire: WARN message field=value`, or what a daemon is
//! asked for (see [`logline`]). Written by hand, because a plugin lives for a millisecond: what an event costs
//! while nobody looks counts.
use std::{
    env,
    fmt::{self, Write as _},
    io::{self, Write as _},
};

use logline::Format;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Which events are printed: `off`, `error`, `warn` (the default of plugins), `info` (that of daemons), `debug`, `trace`.
const LEVEL: &str = "PODWIRE_LOG";

/// The call's variables that say which attachment an event is about.
const CALL: [(&str, &str); 3] = [
    ("command", "CNI_COMMAND"),
    ("container", "CNI_CONTAINERID"),
    ("ifname", "CNI_IFNAME"),
];

struct Stderr {
    level: LevelFilter,
    format: Format,
}

/// Prints events from now on: those of level `usual`, unless the environment says otherwise.
pub(crate) fn start(usual: LevelFilter, format: Format) {
    let text = env::var(LEVEL).ok();
    let level = text.as_deref().map(str::parse);
    let unknown = matches!(level, Some(Err(_)));
    let level = level.and_then(Result::ok).unwrap_or(usual);
    // It is the only one of this process, so it cannot have been set before.
    let _ = tracing::subscriber::set_global_default(Stderr { level, format });
    if unknown {
        let wanted = "off, error, warn, info, debug or trace";
        tracing::warn!(value = text, wanted, "{LEVEL} is no level");
    }
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // One call is one span: its fields are printed with every event.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let line = match self.format {
            Format::Text => line_of(event),
            Format::Json => object_of(event),
        };
        // Where standard error is closed, nobody wants to know.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What cannot be said in JSON is said in the other words.
fn object_of(event: &Event<'_>) -> String {
    logline::json(event).map_or_else(|_| line_of(event), |line| line + "\n")
}

fn line_of(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let level: &Level = event.metadata().level();
    let mut line = format!("podwire: {level} {}{}", fields.message, fields.others);
    for (name, variable) in CALL {
        if let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) {
            // Writing into a text cannot fail.
            let _ = write!(line, " {name}={}", value.display());
        }
    }
    line + "\n"
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
    }
}

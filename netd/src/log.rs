//! The daemon's log on standard error: a line an event, for people or (`-log-format json`) for programs, as
//! [`logline`] writes it.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

pub use logline::Format as LogFormat;

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
        let line = logline::json(event).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

//! `netd`: see `netd --help`.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use forwarder::ForwarderError;
use netd::daemon::{self, DaemonError};
use netd::options::{self, Command, Options};
use netd::pages::Look;
use netd::{check_config, cleanup, commands, describe, doctor, log, query, watch};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match options::parse(&arguments, &|name| std::env::var(name).ok()) {
        Ok(Command::Run(options)) => run(*options),
        Ok(Command::Status(status)) => show_status(&status),
        Ok(Command::CheckConfig(asked)) => check_config(&asked),
        Ok(Command::Cleanup(asked)) => clean_up(&asked),
        Ok(Command::Doctor(asked)) => see_doctor(&asked),
        Ok(Command::Forward) => forward(),
        Ok(Command::HelpOf(text)) => print(Ok::<_, query::QueryError>(text)),
        Ok(Command::Help) => print(Ok::<_, query::QueryError>(describe::overview())),
        Ok(Command::Version) => {
            eprintln!("netd {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("netd: {error}; see `netd --help`");
            ExitCode::from(error.exit_code())
        }
    }
}

fn check_config(asked: &commands::CheckConfig) -> ExitCode {
    let text = match check_config::read(&asked.file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("netd: {}", netd::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let report = check_config::check(&text, asked.allocation);
    let usable = report.is_usable();
    let printed = print(Ok::<_, query::QueryError>(report.to_string()));
    match usable {
        true => printed,
        false => ExitCode::FAILURE,
    }
}

fn clean_up(asked: &commands::Cleanup) -> ExitCode {
    match cleanup::run(asked) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(stay) => {
            eprintln!("netd: {stay} things stay; call netd cleanup again when they can go");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("netd: {}", netd::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn see_doctor(asked: &commands::Doctor) -> ExitCode {
    let report = match doctor::run(asked) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("netd: {}", netd::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let text = match asked.json {
        true => report.json(),
        false => report.text(asked.verbose),
    };
    match report.ok {
        true => print(Ok::<_, query::QueryError>(text)),
        false => {
            print(Ok::<_, query::QueryError>(text));
            ExitCode::FAILURE
        }
    }
}

/// A part that fails ends the process, and netd starts it again.
fn forward() -> ExitCode {
    log::end_on_panic(log::LogFormat::Text);
    // What it is called is for people; it works under any name.
    let _ = std::fs::write("/proc/self/comm", commands::FORWARDER);
    let standard_input = std::io::stdin().as_fd().try_clone_to_owned();
    let outcome = standard_input
        .map_err(ForwarderError::Start)
        .and_then(|socket| forwarder::run(socket.into()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ForwarderError::Start(_)) => {
            eprintln!("netd: {}", netd::chain(&error));
            ExitCode::FAILURE
        }
        // The netd that started it has been told, and logs it.
        Err(_) => ExitCode::FAILURE,
    }
}

fn show_status(asked: &commands::Status) -> ExitCode {
    let look = Look {
        colour: watch::takes_colours(),
        all_peers: asked.all_peers,
    };
    if !asked.watch {
        return print(query::status(&asked.socket, asked.json, look));
    }
    match watch::run(&asked.socket, asked.json, look) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netd: {}", netd::chain(&error));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the text was asked for")]
fn print(text: Result<String, query::QueryError>) -> ExitCode {
    match text {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("netd: {}", netd::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> ExitCode {
    log::end_on_panic(options.log_format);
    log::start(options.log_format, options.verbosity);
    kernel::memory::return_large_pieces();
    match on_runtime(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %netd::chain(&error), "netd ends");
            ExitCode::from(error.exit_code())
        }
    }
}

/// One thread: the work is small, and so stays its memory.
fn on_runtime(options: Options) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(DaemonError::Runtime)?;
    let ended = runtime.block_on(daemon::run(options));
    // What still blocks a thread (a program that does not end) does not hold up the stop.
    runtime.shutdown_background();
    ended
}

//! `dhcp daemon`: asks servers for leases on behalf of the plugin, and keeps them.
//!
//! One thread, one task a lease. A task that waits for its lease's next time holds neither a
//! socket nor the pod's namespace open. What was leased lies in files as well, so that a daemon
//! that starts anew goes on where the last one ended.

mod flags;
mod keeper;
mod listener;
mod pidfile;
mod place;
mod record;
mod registry;
mod serve;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use cni::Outcome;
use cni::error::one_line;
use logline::Format;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use flags::{Command, Flags, FlagsError};
use listener::Listener;
use pidfile::Pidfile;
use registry::Registry;

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
enum DaemonError {
    /// The first text is the reference's.
    #[error("Error writing pidfile {path:?}: {problem}")]
    Pidfile { path: PathBuf, problem: String },
    #[error("Error getting listener: {0}")]
    Listener(#[from] listener::ListenerError),
    #[error("cannot keep leases in {}", path.display())]
    Leases { path: PathBuf, source: io::Error },
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

/// Runs the daemon until SIGTERM or SIGINT. `arguments`: what stands behind `dhcp daemon`. `start_log` has
/// events written from then on.
///
/// Exit status 0 after a signal, and for `-h`; 1: it could not start; 2: a command line that
/// cannot be understood.
pub fn run(arguments: &[OsString], start_log: impl FnOnce(Format)) -> Outcome {
    let flags = match flags::parse(arguments) {
        Ok(Command::Run(flags)) => flags,
        Ok(Command::Help) => return ended(0, flags::usage()),
        Err(error) => return ended(2, misread(&error)),
    };
    let format = flags.log;
    start_log(format);
    match start(*flags) {
        Ok(()) => ended(0, String::new()),
        Err(error) => ended(1, last_words(format, &error)),
    }
}

fn ended(code: i32, stderr: String) -> Outcome {
    Outcome {
        stderr,
        code,
        ..Outcome::default()
    }
}

/// For standard error, also where the log tells nothing.
fn last_words(format: Format, error: &DaemonError) -> String {
    let text = one_line(error);
    let line = match format {
        Format::Text => text,
        Format::Json => logline::last_words(text.as_str()).unwrap_or(text),
    };
    line + "\n"
}

fn misread(error: &FlagsError) -> String {
    format!("{error}\n{}", flags::usage())
}

fn start(flags: Flags) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DaemonError::Runtime)?;
    LocalSet::new().block_on(&runtime, work(flags))
}

/// Leases of a former daemon's are taken up before anybody can ask for them.
async fn work(flags: Flags) -> Result<(), DaemonError> {
    let catch = |kind| signal(kind).map_err(DaemonError::Signals);
    let terminate = catch(SignalKind::terminate())?;
    let interrupt = catch(SignalKind::interrupt())?;
    // The socket first: where another daemon serves it, the file may hold that one's number.
    let listener = Listener::open(&flags.socket)?;
    let pidfile = flags.pidfile.as_deref().map(Pidfile::write).transpose()?;
    let leases = flags.leases_of(listener.path());
    let registry = Registry::open(leases.clone(), &flags).map_err(|source| {
        let path = leases;
        DaemonError::Leases { path, source }
    })?;
    tracing::info!(socket = %listener.path().display(), "listening");
    tokio::select! {
        () = serve::serve(&listener, &registry) => {}
        () = either(terminate, interrupt) => {}
    }
    tracing::info!("stopping; leases stay");
    drop((listener, pidfile));
    Ok(())
}

async fn either(mut one: Signal, mut other: Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

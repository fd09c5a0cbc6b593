//! `lab top`: a live view of a lab in the terminal.
//!
//! [`crate::watch`] looks at the lab in a thread of its own, so that nothing that does not answer keeps keys from being
//! obeyed; [`frame`] draws what it saw; [`view`] is what the user made of the picture.

mod cells;
mod frame;
#[cfg(test)]
mod samples;
mod screen;
mod view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use kernel::wait::until_gone;
use ratatui::crossterm::event::{self, Event};
use sandbox::Interrupt;

use crate::interrupt;
use crate::keeper;
use crate::output::colours_are_refused;
use crate::program::Programs;
use crate::size::parse_interval;
use crate::state::LabDir;
use crate::watch::{Gatherer, Mood, Problem, Snapshot};
use frame::Look;
use screen::Screen;
use view::{Next, View};

/// `lab top`
#[derive(Debug, Args)]
#[command(after_help = KEYS)]
pub struct TopArgs {
    /// Look anew every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = parse_interval)]
    pub interval: u32,
    /// Directory with the netd and podwire executables [default: where lab lies]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<std::path::PathBuf>,
}

const KEYS: &str = "\
Keys: q or Ctrl-C quits; Tab goes from the pods to the nodes and back; up, down, j, k, PageUp, PageDown, Home and
End select; s takes another order, / filters, Esc shows all again; ? explains keys and columns. NO_COLOR=1 and
TERM=dumb: no colours. For scripts there is `lab stats`.

Example: lab top --interval 2";

/// SIGHUP, the signal of a closed terminal.
const HANGUP: i32 = 1;

/// How long a signal, the end of the lab and new figures may wait; keys do not.
const TICK: Duration = Duration::from_millis(100);

/// Shows the lab until the user has enough of it.
///
/// # Errors
/// Standard output is no terminal; there is no such lab, or it ends meanwhile; a signal came.
pub fn run(dir: &LabDir, args: &TopArgs, interrupt: Interrupt) -> Result<()> {
    if !io::stdout().is_terminal() {
        bail!(
            "`lab top` draws on a terminal, which standard output is not: `lab stats` prints the same \
             figures, with --watch again and again"
        );
    }
    dir.lab()?;
    keeper::require(dir)?;
    let mut gatherer = Gatherer::new(dir.clone(), Programs::find(args.bin_dir.as_deref())?);
    // What is wrong from the start is said below the command line.
    let first = gatherer.look()?;
    let interval = Duration::from_secs(args.interval.into());
    let seen = watch(gatherer, interval)?;
    let mut top = Top {
        dir,
        interval,
        snapshot: first,
        taken: Instant::now(),
        view: View::default(),
    };
    end_with_terminal()?;
    let mut screen = Screen::open()?;
    top.show(&mut screen, &seen, interrupt)
}

/// Ends the process when the terminal is closed. crossterm reads such a terminal for ever, where no signal is heeded,
/// and nothing is left to be given back.
fn end_with_terminal() -> Result<()> {
    let end = || {
        if until_gone(&io::stdout()).is_ok() {
            std::process::exit(interrupt::Interrupted(HANGUP).status());
        }
    };
    std::thread::Builder::new().spawn(end)?;
    Ok(())
}

/// Looks again and again, until nobody wants to know any more.
fn watch(mut gatherer: Gatherer, interval: Duration) -> Result<Receiver<Result<Snapshot>>> {
    let (tell, seen) = mpsc::sync_channel(1);
    let mut watch = move |tell: SyncSender<_>| {
        loop {
            std::thread::sleep(interval);
            if tell.send(gatherer.look()).is_err() {
                return;
            }
        }
    };
    // It ends with the process: what it waits for must not keep that from ending.
    std::thread::Builder::new().spawn(move || watch(tell))?;
    Ok(seen)
}

struct Top<'a> {
    dir: &'a LabDir,
    interval: Duration,
    snapshot: Snapshot,
    taken: Instant,
    view: View,
}

impl Top<'_> {
    fn show(
        &mut self,
        screen: &mut Screen,
        seen: &Receiver<Result<Snapshot>>,
        interrupt: Interrupt,
    ) -> Result<()> {
        self.draw(screen)?;
        loop {
            interrupt::check(interrupt)?;
            let mut changed = self.take(seen)? || self.stale().is_some();
            if event::poll(TICK)? {
                match event::read()? {
                    Event::Key(key) if !key.is_release() => {
                        if self.view.press(key, &self.snapshot) == Next::Quit {
                            return Ok(());
                        }
                        changed = true;
                    }
                    Event::Resize(..) => changed = true,
                    _ => {}
                }
            }
            if changed {
                self.draw(screen)?;
            }
        }
    }

    /// Whether there is something new to see.
    fn take(&mut self, seen: &Receiver<Result<Snapshot>>) -> Result<bool> {
        let looked = match seen.try_recv() {
            Ok(looked) => looked,
            Err(TryRecvError::Empty) => return self.require_lab().map(|()| false),
            Err(TryRecvError::Disconnected) => bail!("the thread that looks at the lab has ended"),
        };
        self.require_lab()?;
        match looked {
            Ok(snapshot) => {
                self.snapshot = snapshot;
                self.taken = Instant::now();
            }
            // A file may go between its name and its content; the next look will tell.
            Err(error) => self.complain(&error),
        }
        Ok(true)
    }

    fn complain(&mut self, error: &anyhow::Error) {
        let problem = Problem {
            of: "lab top".to_owned(),
            what: format!("{error:#}"),
            mood: Mood::Bad,
        };
        if !self.snapshot.problems.contains(&problem) {
            self.snapshot.problems.insert(0, problem);
        }
    }

    /// # Errors
    /// The lab has ended, or is being taken down.
    fn require_lab(&self) -> Result<()> {
        if keeper::find(self.dir)?.is_some() {
            return Ok(());
        }
        bail!(
            "lab {name} has ended: it has been taken down, or its first process, the keeper, was killed; \
             `lab down --lab {name}` takes away what may be left",
            name = self.dir.name()
        )
    }

    /// Since when nothing new was seen, when that is longer than it should be.
    fn stale(&self) -> Option<Duration> {
        const PATIENCE: Duration = Duration::from_secs(3);
        Some(self.taken.elapsed()).filter(|age| *age > self.interval + PATIENCE)
    }

    fn draw(&self, screen: &mut Screen) -> Result<()> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = Look {
            colours: !colours_are_refused() && !dumb,
            stale: self.stale(),
        };
        screen.draw(|frame| frame::draw(frame, &self.snapshot, &self.view, look))
    }
}

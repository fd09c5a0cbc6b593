//! The process: it takes its descriptors, gives up every right, and carries packets until it is told to
//! end or its device is gone. It goes on when its netd ends; the next one takes over what it has.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use kernel::{DatagramSocket, TunQueue, handover};

use crate::incoming::Incoming;
use crate::kit::{Kit, KitError};
use crate::outgoing::Outgoing;
use crate::table::Table;
use crate::talk::{self, Answer, Order};
use crate::worker::Shared;

/// Why a forwarder ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum ForwarderError {
    /// It was not started by netd.
    #[error("netd alone starts this, with a socket as its standard input")]
    Start(#[source] io::Error),
    /// netd has more of them than this process may have.
    #[error("its descriptors do not come")]
    Kit(#[source] KitError),
    /// The kernel gives nothing to be known by.
    #[error("it cannot be told from others")]
    Token(#[source] kernel::Error),
    /// It would have more rights than it needs.
    #[error("cannot give up all capabilities")]
    Capabilities(#[source] kernel::Error),
    /// There is no thread, or no descriptor, to work with.
    #[error("cannot begin")]
    Begin(#[source] io::Error),
    /// A thread cannot go on.
    #[error("packets {direction} cannot be carried any more")]
    Carry {
        /// Of which packets.
        direction: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the threads tell the first one.
enum Event {
    Ended(Result<(), ForwarderError>),
    AskedToEnd,
}

/// What the first order begins.
struct Work {
    kit: Kit,
    /// Tells this process from others.
    token: u64,
    /// Set when all threads are there, which wait for it.
    shared: Arc<OnceLock<Shared>>,
    events: Sender<Event>,
}

/// Runs until it is told to end by whoever is at the other end of `control`, or by a later netd.
///
/// # Errors
/// See [`ForwarderError`]; the other side is told, too.
pub fn run(control: UnixStream) -> Result<(), ForwarderError> {
    let kit = match Kit::receive(&control) {
        Err(error) if !error.is_incomplete() => {
            return Err(ForwarderError::Start(io::Error::other(error)));
        }
        kit => kit.map_err(ForwarderError::Kit),
    };
    let outcome = kit.and_then(|kit| serve(kit, &control));
    if let Err(error) = &outcome {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            text = format!("{text}: {cause}");
        }
        // Whoever is not there any more need not know.
        let _ = talk::send(&control, &Answer::Failed(text));
    }
    outcome
}

fn serve(kit: Kit, control: &UnixStream) -> Result<(), ForwarderError> {
    kernel::capability::drop_all().map_err(ForwarderError::Capabilities)?;
    let (events, told) = channel();
    let work = Arc::new(Work {
        kit,
        token: kernel::random::token().map_err(ForwarderError::Token)?,
        shared: Arc::default(),
        events,
    });
    let first = control.try_clone().map_err(ForwarderError::Begin)?;
    Work::obey_in_thread(&work, first);
    Work::await_successors(&work);
    work.until_the_end(&told)
}

impl Work {
    /// Another thread does what `control` says.
    fn obey_in_thread(work: &Arc<Self>, control: UnixStream) {
        let work = Arc::clone(work);
        thread::spawn(move || {
            // A netd that ended, or talks nonsense, is not obeyed any more; the next one is.
            let _ = work.obey(&control);
        });
    }

    fn obey(&self, control: &UnixStream) -> io::Result<()> {
        let mut orders = BufReader::new(control);
        while let Some(order) = talk::receive(&mut orders)? {
            match order {
                Order::Routes(routes) => {
                    let count = routes.peers.len();
                    if self.route(routes.into()) {
                        talk::send(control, &Answer::Ready(count))?;
                    }
                }
                Order::Count => {
                    let counts = self.shared.get().map(|shared| shared.counters.read());
                    talk::send(control, &Answer::Counts(counts.unwrap_or_default()))?;
                }
                Order::Who => talk::send(control, &Answer::Process(self.token))?,
                Order::End => {
                    // As below.
                    let _ = self.events.send(Event::AskedToEnd);
                }
            }
        }
        Ok(())
    }

    /// The first table begins the work. Whether it did; if not, the process ends.
    fn route(&self, table: Table) -> bool {
        if let Some(shared) = self.shared.get() {
            shared.set_table(table);
            return true;
        }
        let begun = self.begin(table).map_err(ForwarderError::Begin);
        let has_begun = begun.is_ok();
        if begun.is_err() {
            // The first thread is there to hear it until the process ends.
            let _ = self.events.send(Event::Ended(begun));
        }
        has_begun
    }

    /// Nothing is read before everything is there: who cannot begin takes no packet from who carries them.
    fn begin(&self, table: Table) -> io::Result<()> {
        let shared = Shared::new(table)?;
        let pairs = self.pairs()?;
        for (outgoing, incoming) in pairs {
            self.carry("to other nodes", |shared| outgoing.run(shared))?;
            self.carry("from other nodes", |shared| incoming.run(shared))?;
        }
        // Two netds that begin at once do not happen: a later one finds work that goes on.
        let _ = self.shared.set(shared);
        Ok(())
    }

    fn pairs(&self) -> io::Result<Vec<(Outgoing, Incoming)>> {
        let both = self.kit.queues.iter().zip(&self.kit.sockets);
        let pair = |(queue, socket): (&TunQueue, &DatagramSocket)| {
            let port = socket.local().map_err(io::Error::other)?.port();
            let outgoing = Outgoing::new(queue.try_clone()?, socket.try_clone()?, port);
            let incoming = Incoming::new(socket.try_clone()?, queue.try_clone()?);
            Ok((outgoing, incoming))
        };
        both.map(pair).collect()
    }

    /// In a thread, from the beginning of the work on.
    fn carry(
        &self,
        direction: &'static str,
        run: impl FnOnce(&Shared) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
        thread::Builder::new().spawn(move || {
            let ended = run(shared.wait());
            let ended = ended.map_err(|source| ForwarderError::Carry { direction, source });
            // As above.
            let _ = events.send(Event::Ended(ended));
        })?;
        Ok(())
    }

    /// A netd that comes later is given all descriptors, and obeyed.
    fn await_successors(work: &Arc<Self>) {
        let work = Arc::clone(work);
        thread::spawn(move || {
            for stream in work.kit.listener.incoming().flatten() {
                let is_netd = handover::is_of_this_user(&stream).unwrap_or(false);
                if is_netd && work.kit.send(&stream).is_ok() {
                    Self::obey_in_thread(&work, stream);
                }
            }
        });
    }

    /// Threads that are told to end first send what they have read.
    fn until_the_end(&self, told: &Receiver<Event>) -> Result<(), ForwarderError> {
        let threads = 2 * self.kit.queues.len();
        let mut ended = 0;
        for event in told {
            match event {
                Event::Ended(Err(error)) => return Err(error),
                Event::Ended(Ok(())) => ended += 1,
                Event::AskedToEnd => match self.shared.get() {
                    Some(shared) => shared.end(),
                    None => return Ok(()),
                },
            }
            if ended == threads {
                break;
            }
        }
        Ok(())
    }
}

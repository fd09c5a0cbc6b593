//! What all threads share, and how each waits.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::counters::Counters;
use crate::table::Table;

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct Shared {
    table: RwLock<Arc<Table>>,
    pub(crate) counters: Counters,
    ending: AtomicBool,
    /// A pipe, of which this end is closed when they are to end.
    stopper: Mutex<Option<io::PipeWriter>>,
    stop: io::PipeReader,
}

impl Shared {
    pub(crate) fn new(table: Table) -> io::Result<Self> {
        let (stop, stopper) = io::pipe()?;
        Ok(Self {
            table: RwLock::new(Arc::new(table)),
            counters: Counters::default(),
            ending: AtomicBool::new(false),
            stopper: Mutex::new(Some(stopper)),
            stop,
        })
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_table(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Tells the threads to end: those that wait, too.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        let stopper = &self.stopper;
        drop(
            stopper
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Waits until there is something to read; `false` when it is time to end.
    pub(crate) fn wait(&self, descriptor: &impl AsFd) -> io::Result<bool> {
        kernel::wait::until_readable(descriptor, &self.stop)
    }
}

/// What was read, or nothing where there is nothing now. Errors of a socket are about datagrams that
/// were sent before, and no matter here.
pub(crate) fn unless_waiting<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_gone(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// EBADFD, "file descriptor in bad state", is what the kernel says of a queue whose device is gone.
const BAD_STATE: i32 = 77;

/// Whether the device is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(BAD_STATE)
}

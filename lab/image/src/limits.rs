//! How much one image may be, counted while it is read.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::ControlFlow;

/// The layers that overlayfs puts over each other (`OVL_MAX_STACK` of fs/overlayfs/params.h).
pub(crate) const MOST_LAYERS: usize = 500;

/// What one image may take; an image that takes more is refused as soon as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its layers, unpacked, with what archives put around files.
    pub bytes: u64,
    /// Files, directories and links in all its layers.
    pub entries: u64,
    /// Owners that there are not, devices, and attributes that root alone may set are left out, and counted in
    /// [`Progress::left_out`]: who unpacks is root of a user namespace.
    pub without_root: bool,
}

/// What of an image could not be had without root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Files whose owner or group is root's instead of its own.
    pub owners: u64,
    /// Devices, which are not there at all.
    pub devices: u64,
    /// Extended attributes.
    pub attributes: u64,
}

impl Default for Limits {
    /// 16 GiB, and four million entries.
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            entries: 4_000_000,
            without_root: false,
        }
    }
}

/// How far a load has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The layer that is read, from 1.
    pub layer: usize,
    /// How many there are.
    pub layers: usize,
    /// Bytes that were unpacked.
    pub bytes: u64,
    /// Nothing, unless [`Limits::without_root`].
    pub left_out: LeftOut,
}

/// Who is told of the progress, and may end it.
pub(crate) type Watcher<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Counts what one image takes.
pub(crate) struct Meter<'a> {
    limits: Limits,
    entries: Cell<u64>,
    progress: Cell<Progress>,
    watcher: RefCell<&'a mut Watcher<'a>>,
}

/// A limit that an image went beyond.
#[derive(Debug, thiserror::Error)]
enum Beyond {
    #[error("the image is larger than {0} bytes, the limit for what it unpacks to")]
    Bytes(u64),
    #[error("the image has more than {0} files, directories and links, the limit")]
    Entries(u64),
}

/// Whoever watched wanted no more.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

impl<'a> Meter<'a> {
    pub(crate) fn new(limits: Limits, watcher: &'a mut Watcher<'a>) -> Self {
        Self {
            limits,
            entries: Cell::default(),
            progress: Cell::default(),
            watcher: RefCell::new(watcher),
        }
    }

    /// Layer `layer` of `layers` is next.
    pub(crate) fn begin_layer(&self, layer: usize, layers: usize) {
        self.progress.set(Progress {
            layer,
            layers,
            ..self.progress.get()
        });
    }

    /// Counts bytes from nothing again.
    pub(crate) fn restart(&self) {
        self.progress.set(Progress::default());
    }

    /// Tells of the whole.
    ///
    /// # Errors
    /// The watcher ends it.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.ask()
    }

    /// Counts what is left out, if that is allowed; whether it is.
    pub(crate) fn leave_out(&self, count: impl FnOnce(&mut LeftOut)) -> bool {
        if self.limits.without_root {
            let mut progress = self.progress.get();
            count(&mut progress.left_out);
            self.progress.set(progress);
        }
        self.limits.without_root
    }

    /// # Errors
    /// These bytes are too many; the watcher ends it.
    pub(crate) fn take_bytes(&self, bytes: u64) -> io::Result<()> {
        let mut progress = self.progress.get();
        progress.bytes = progress.bytes.saturating_add(bytes);
        self.progress.set(progress);
        if progress.bytes > self.limits.bytes {
            return Err(io::Error::other(Beyond::Bytes(self.limits.bytes)));
        }
        self.ask()
    }

    /// Whether to go on: also where much is done with few bytes.
    ///
    /// # Errors
    /// The watcher ends it.
    pub(crate) fn ask(&self) -> io::Result<()> {
        match (*self.watcher.borrow_mut())(self.progress.get()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(io::Error::other(Interrupted)),
        }
    }

    /// # Errors
    /// These entries are too many; the watcher ends it.
    pub(crate) fn take_entries(&self, entries: u64) -> io::Result<()> {
        let entries = self.entries.get().saturating_add(entries);
        self.entries.set(entries);
        match entries > self.limits.entries {
            true => Err(io::Error::other(Beyond::Entries(self.limits.entries))),
            false => self.ask(),
        }
    }
}

/// Counts what passes through it.
pub(crate) struct Metered<'m, 'w, R> {
    input: R,
    meter: &'m Meter<'w>,
}

impl<'m, 'w, R> Metered<'m, 'w, R> {
    pub(crate) fn new(input: R, meter: &'m Meter<'w>) -> Self {
        Self { input, meter }
    }
}

impl<R: io::Read> io::Read for Metered<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.meter.take_bytes(read as u64)?;
        Ok(read)
    }
}

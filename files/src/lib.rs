//! Files that other programs write too, or that must outlive a crash: only regular ones are read,
//! and not for ever; what is written is there whole or not at all; a lock is not waited for without
//! an end.

#![warn(missing_docs)]

mod atomic;
mod lock;
mod regular;

pub use atomic::{
    Modes, WriteError, half_written, rename_to_free, replace, write_atomically,
    write_atomically_by, write_volatile,
};
pub use lock::{Lock, LockError, PATIENCE};
pub use regular::{LIMIT, Links, Unfit, is_shortage, is_unfit, open, read, read_to_string};

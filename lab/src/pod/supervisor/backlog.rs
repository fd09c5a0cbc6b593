//! What a container prints and who looks has not taken yet.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that wait: while there are as many, the container waits, too.
const MOST: usize = 1 << 20;

/// Between who reads what is printed and who passes it on to the one who looks.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// The container has ended: what it left is little, and nobody waits for room.
    is_unbounded: bool,
    /// No more comes, or nobody wants it.
    is_over: bool,
}

impl Backlog {
    /// Adds some, when there is room.
    pub(super) fn add(&self, some: &[u8]) {
        let mut waiting = self.wait_while(|waiting| {
            waiting.bytes.len() >= MOST && !waiting.is_unbounded && !waiting.is_over
        });
        if !waiting.is_over {
            waiting.bytes.extend_from_slice(some);
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Waits for some; none at the end.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut waiting = self.wait_while(|waiting| waiting.bytes.is_empty() && !waiting.is_over);
        let some = std::mem::take(&mut waiting.bytes);
        drop(waiting);
        self.changed.notify_all();
        some
    }

    /// From now on nobody waits for room.
    pub(super) fn unbind(&self) {
        self.change(|waiting| waiting.is_unbounded = true);
    }

    /// No more comes, or nobody wants more.
    pub(super) fn end(&self) {
        self.change(|waiting| waiting.is_over = true);
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait_while(&self, is_so: impl Fn(&Waiting) -> bool) -> MutexGuard<'_, Waiting> {
        let waited = self
            .changed
            .wait_while(self.lock(), |waiting| is_so(waiting));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_container_waits_for_room_and_its_end_for_none() {
        let backlog = Backlog::default();
        let some = vec![b'x'; MOST];
        backlog.add(&some);
        thread::scope(|scope| {
            scope.spawn(|| {
                backlog.add(b"y");
                backlog.add(&some);
                // Only once it is unbound: nothing is taken any more.
                backlog.add(b"z");
                backlog.end();
                backlog.add(b"late");
            });
            assert_eq!(backlog.take().len(), MOST);
            backlog.unbind();
        });
        let rest = backlog.take();
        assert_eq!((rest.len(), rest.last()), (MOST + 2, Some(&b'z')));
        assert!(backlog.take().is_empty());
    }

    #[test]
    fn who_looks_no_longer_keeps_no_container() {
        let backlog = Backlog::default();
        backlog.add(&vec![b'x'; MOST]);
        thread::scope(|scope| {
            scope.spawn(|| backlog.add(b"y"));
            backlog.end();
        });
    }
}

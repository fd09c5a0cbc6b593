//! How long a container that ended again and again waits before it is started again, as kubelet has it.

use std::time::Duration;

/// Before the second restart; before the first one there is none.
const BASE: Duration = Duration::from_secs(10);
/// At most.
const MOST: Duration = Duration::from_secs(300);
/// A container that ran so long starts anew.
const WELL: Duration = Duration::from_secs(600);

/// The waits of one container.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// How long to wait before the next start, after a run that took so long.
    pub(super) fn after(&mut self, run: Duration) -> Duration {
        if run >= WELL {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = (wait * 2).clamp(BASE, MOST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_start_anew_after_ten() {
        let mut backoff = Backoff::default();
        let mut after = |seconds| backoff.after(Duration::from_secs(seconds)).as_secs();
        let waits: Vec<u64> = (0..8).map(|_| after(1)).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!([after(599), after(600), after(1)], [300, 0, 10]);
    }
}

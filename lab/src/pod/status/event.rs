//! What happened to a pod, as `kubectl describe` lists it.

use serde::{Deserialize, Serialize};

use super::{Status, Timestamp};

/// Something that happened to a pod, once or several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Whether somebody should look.
    pub r#type: Severity,
    /// In one word: `Created`, `Started`, `Killing`, `Unhealthy`, `BackOff`, `Failed`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The first time.
    pub first_timestamp: Timestamp,
    /// The last time.
    pub last_timestamp: Timestamp,
    /// How often.
    pub count: u32,
}

/// Whether somebody should look at an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// It is as it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Severity {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Older events are forgotten.
const MOST_EVENTS: usize = 64;

impl Event {
    /// One that happened for the first time; it is not counted yet.
    fn new(severity: Severity, reason: &str, message: String, now: Timestamp) -> Self {
        Self {
            r#type: severity,
            reason: reason.to_owned(),
            message,
            first_timestamp: now,
            last_timestamp: now,
            count: 0,
        }
    }

    /// One that happened once.
    pub(in crate::pod) fn once(
        severity: Severity,
        reason: &str,
        message: String,
        now: Timestamp,
    ) -> Self {
        Self {
            count: 1,
            ..Self::new(severity, reason, message, now)
        }
    }
}

impl Status {
    /// Notes an event; one that was there already is counted.
    pub(in crate::pod) fn event(
        &mut self,
        severity: Severity,
        reason: &str,
        message: String,
        now: Timestamp,
    ) {
        let same = |each: &Event| each.reason == reason && each.message == message;
        let mut event = match self.events.iter().position(same) {
            Some(at) => self.events.remove(at),
            None => Event::new(severity, reason, message, now),
        };
        event.count += 1;
        event.last_timestamp = now;
        self.events.push(event);
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_events_are_counted_and_old_ones_forgotten() {
        let now = Timestamp::now();
        let mut status = Status::new(&manifest::PodSpec::default(), now, |_| String::new());
        for _ in 0..3 {
            status.event(Severity::Warning, "BackOff", "again".to_owned(), now);
        }
        assert_eq!((status.events.len(), status.events[0].count), (1, 3));
        for number in 0..100 {
            status.event(Severity::Normal, "Started", number.to_string(), now);
        }
        assert_eq!(status.events.len(), MOST_EVENTS);
        assert_eq!(status.events[MOST_EVENTS - 1].message, "99");
    }
}

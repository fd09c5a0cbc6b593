//! The pod's status, written down whenever it changes.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use manifest::PodSpec;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::output::complain;
use crate::pod::Pod;
use crate::pod::status::{ContainerStatus, PodIp, Severity, Status, Timestamp};
use crate::state::{self as files, LabDir};

/// The pod's status, and where it is written.
#[derive(Debug)]
pub(super) struct Board {
    spec: PodSpec,
    path: PathBuf,
    status: RefCell<Status>,
    /// No container is started any more; some may run.
    starts_none: Cell<bool>,
    /// It could not be written down.
    is_behind: Cell<bool>,
    fell_behind: Notify,
}

impl Board {
    /// With the pod's first status.
    pub(super) fn new(
        dir: &LabDir,
        pod: &Pod,
        status: Status,
        host: IpAddr,
        address: Option<IpAddr>,
    ) -> Self {
        let own = pod.network.iter().flat_map(|network| &network.addresses);
        let mut addresses: Vec<IpAddr> = own.map(|address| address.ip()).collect();
        if addresses.is_empty() {
            addresses.extend(address);
        }
        let status = Status {
            host_ip: Some(host),
            pod_ip: addresses.first().copied(),
            pod_ips: addresses.into_iter().map(|ip| PodIp { ip }).collect(),
            ..status
        };
        Self {
            spec: pod.spec().clone(),
            path: dir.pod(&pod.name).join("status.json"),
            status: RefCell::new(status),
            starts_none: Cell::new(false),
            is_behind: Cell::new(false),
            fell_behind: Notify::new(),
        }
    }

    /// Changes it, settles what follows, and writes it down.
    pub(super) fn change(&self, change: impl FnOnce(&mut Status, Timestamp)) {
        let mut status = self.status.borrow_mut();
        let now = Timestamp::now();
        change(&mut status, now);
        status.settle(&self.spec, now, self.starts_none.get());
        if let Err(error) = self.write(&status) {
            // To the supervisor's log; the pod goes on.
            complain(format_args!("{error:#}"));
            self.fell_behind.notify_one();
        }
    }

    fn write(&self, status: &Status) -> Result<()> {
        let written = files::write(&self.path, status);
        self.is_behind.set(written.is_err());
        written
    }

    /// Writes down what could not be, as soon as it can: a disk that was full, say, is no longer.
    pub(super) async fn catch_up(&self) {
        const PAUSE: Duration = Duration::from_secs(1);
        loop {
            self.fell_behind.notified().await;
            while self.is_behind.get() {
                sleep(PAUSE).await;
                self.write_again();
            }
        }
    }

    fn write_again(&self) {
        if self.is_behind.get() {
            // It was told already.
            let _ = self.write(&self.status.borrow());
        }
    }

    /// Changes what is known of one container.
    pub(super) fn change_container(
        &self,
        name: &str,
        change: impl FnOnce(&mut ContainerStatus, Timestamp),
    ) {
        self.change(|status, now| {
            if let Some(container) = status.container_mut(name) {
                change(container, now);
            }
        });
    }

    /// Notes an event.
    pub(super) fn event(&self, severity: Severity, reason: &str, message: String) {
        self.change(|status, now| status.event(severity, reason, message, now));
    }

    /// No container is started any more: the pod's phase is its last one once all of them have ended.
    pub(super) fn end(&self) {
        self.starts_none.set(true);
        self.change(|_, _| {});
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pod/status.json");
        let board = Board {
            spec: PodSpec::default(),
            path: path.clone(),
            status: RefCell::new(serde_json::from_str(STATUS).unwrap()),
            starts_none: Cell::new(false),
            is_behind: Cell::new(false),
            fell_behind: Notify::new(),
        };
        board.event(Severity::Normal, "Started", "now".to_owned());
        board.write_again();
        assert!(!path.exists());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        board.write_again();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.contains("Started"), "{written}");
        assert!(!board.is_behind.get());
    }

    const STATUS: &str =
        r#"{ "phase": "Pending", "conditions": [], "startTime": "2026-01-01T00:00:00Z" }"#;
}

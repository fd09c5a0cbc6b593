//! The pod's status, written down whenever it changes.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::PathBuf;

use manifest::PodSpec;

use crate::output::warn;
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
        }
    }

    /// Changes it, settles what follows, and writes it down.
    pub(super) fn change(&self, change: impl FnOnce(&mut Status, Timestamp)) {
        let mut status = self.status.borrow_mut();
        let now = Timestamp::now();
        change(&mut status, now);
        status.settle(&self.spec, now, self.starts_none.get());
        if let Err(error) = files::write(&self.path, &*status) {
            // To the supervisor's log; the pod goes on.
            warn(format_args!("lab: {error:#}"));
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

//! Namespaces that the supervisor holds and does not enter: one thread alone can, which what it starts has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kernel::mount::Reach;
use sandbox::{Namespace, Namespaces, Process, Users};

use crate::pod::{Pod, images};

/// What containers are to enter.
#[derive(Debug)]
pub(in crate::pod) struct Held {
    /// Where the pod has users of its own.
    pub users: Option<Users>,
    /// The file of the time namespace, where the pod has one.
    pub time: Option<PathBuf>,
    _open: Option<Namespaces>,
}

impl Held {
    /// Opens what a pod's founder has made.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn of(pod: &Pod) -> Result<Self> {
        let Some(founder) = &pod.founder else {
            return Ok(Self {
                users: None,
                time: None,
                _open: None,
            });
        };
        let open = namespaces(founder, pod)?;
        let users = open.lasting_path(Namespace::User)?.zip(pod.users);
        Ok(Self {
            users: users.map(|(namespace, ids)| Users { namespace, ids }),
            time: open.lasting_path(Namespace::Time)?,
            _open: Some(open),
        })
    }

    /// Whether the containers' roots can be the pod's users' own.
    ///
    /// # Errors
    /// The file system of one cannot be mounted with other owners.
    pub(super) fn check_roots(&self, pod: &Pod) -> Result<()> {
        let Some(users) = &self.users else {
            return Ok(());
        };
        for (container, base) in &pod.bases {
            let layers = images::lower(base);
            layers
                .iter()
                .try_for_each(|layer| users.could_own(layer, Reach::Alone))
                .with_context(|| {
                    format!(
                        "container {container} of pod {} with `hostUsers: false`",
                        pod.name
                    )
                })?;
        }
        Ok(())
    }

    /// Whether a volume of the machine's can be.
    ///
    /// # Errors
    /// As [`Held::check_roots`].
    pub(super) fn check_volume(&self, path: &Path) -> Result<()> {
        match &self.users {
            Some(users) => Ok(users.could_own(path, Reach::Below)?),
            None => Ok(()),
        }
    }
}

fn namespaces(founder: &Process, pod: &Pod) -> Result<Namespaces> {
    let mut kinds = pod.lone_namespaces();
    kinds.retain(|kind| *kind != Namespace::Time);
    let open = Namespaces::of(founder, &kinds)?;
    // It made this one for its children, and has none.
    let path = format!("/proc/{}/ns/time_for_children", founder.pid);
    Ok(match pod.clocks() {
        Some(_) => open.with(Namespace::Time, path)?,
        None => open,
    })
}

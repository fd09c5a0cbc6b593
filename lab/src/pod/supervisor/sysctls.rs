//! Settings of the pod's network and IPC namespaces.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::pod::Pod;

/// Writes them, in the namespaces of this process.
///
/// # Errors
/// This kernel has no such setting, or refuses the value.
pub(super) fn set(pod: &Pod) -> Result<()> {
    let security = pod.spec().security_context.as_ref();
    for sysctl in security.iter().flat_map(|security| &security.sysctls) {
        let (name, value) = (&sysctl.name, &sysctl.value);
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let write = || fs::write(&path, value);
        let written = match pod.users {
            // The kernel lets their root alone write those of the IPC namespace, and who made it those of the network.
            Some(users) if !name.starts_with("net.") => users.run_as_root(write)?,
            _ => write(),
        };
        written.with_context(|| format!("set sysctl {name} of pod {} to {value:?}", pod.name))?;
    }
    Ok(())
}

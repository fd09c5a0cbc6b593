//! PID 1 of a PID namespace that a pod's containers share: the hidden subcommand `pod-init`. It inherits what
//! loses its parent, and does nothing else.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use sandbox::{
    Confinement, Identity, Init, Namespace, Namespaces, Process, Rights, leave_terminal, mount,
    unshare,
};

use super::Pod;
use super::talk::{Answer, tell};
use crate::state::{LabDir, Name};

/// The life of that process.
///
/// # Errors
/// The kernel refused something.
pub fn pod_init(dir: &LabDir, name: &Name) -> Result<()> {
    leave_terminal();
    let init = Init::new()?;
    // While /proc is the machine's.
    let process = Process::current()?;
    let users = users_of(&Pod::find(dir, name)?)?;
    leave_the_node()?;
    if let Some(users) = users {
        users.join()?;
    }
    // The containers see this process, and may not get at more through it than they have.
    Confinement::new(Rights::default())?.apply(&Identity::default())?;
    tell(&mut io::stdout(), &Answer::Born(process))?;
    match init.reap()? {}
}

fn users_of(pod: &Pod) -> Result<Option<Namespaces>> {
    let founder = pod.founder.filter(|_| pod.users.is_some());
    let users = founder.map(|founder| Namespaces::of(&founder, &[Namespace::User]));
    Ok(users.transpose()?)
}

/// Its root is empty: `/proc/1/root` leads nowhere.
fn leave_the_node() -> Result<()> {
    unshare(&[Namespace::Mount])?;
    let root = PathBuf::from("/tmp");
    mount::nothing(&root)?;
    mount::pivot_root(&root)?;
    Ok(())
}

//! Links of a pod that were in ADD's way: they have the name that the pod's link was to have. Neither they nor links
//! of the reference plugins say whose they are, and the DEL that follows has no result to tell them apart; so ADD
//! remembers the one that it met.
//!
//! A file for each attachment whose ADD was refused, until a reboot or until its namespace is gone.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use files::{Links, Modes};
use kernel::{IfName, Link, LinkIndex, NetNs, Netlink, netns::NetNsId};
use serde::{Deserialize, Serialize};

use crate::{Identity, identity, record};

/// Below what goes at a reboot.
const DIRECTORY: &str = "in-the-way";
const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};

/// One link. Indices are not given again while a namespace lives.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InTheWay {
    netns: PathBuf,
    id: NetNsId,
    link: u32,
}

/// Remembers the link that has the attachment's name in the container. Where that cannot be done the log tells: ADD
/// has failed for another reason.
pub(crate) fn remember(identity: Identity<'_>, container: &NetNs, there: &Netlink, name: &IfName) {
    let Ok(Some(link)) = there.link(name) else {
        return;
    };
    if identity::is_marked(&link) {
        return;
    }
    if let Err(error) = write(identity, container, link.index) {
        tracing::warn!(
            error,
            "cannot remember that interface {name} was there before: DEL takes it for the attachment's"
        );
    }
}

/// Whether ADD met the link there.
pub(crate) fn was(identity: Identity<'_>, container: &NetNs, link: &Link) -> bool {
    let place = Path::new(record::RUN)
        .join(DIRECTORY)
        .join(identity.hash_pair());
    let kept = read(&place);
    kept.is_some_and(|kept| {
        kept.link == link.index.0 && container.id().is_ok_and(|id| id == kept.id)
    })
}

fn write(
    identity: Identity<'_>,
    container: &NetNs,
    link: LinkIndex,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = record::make_run()?.join(DIRECTORY);
    forget_gone(&directory)?;
    let kept = InTheWay {
        netns: container.path().to_owned(),
        id: container.id()?,
        link: link.0,
    };
    let name = identity.hash_pair();
    let temporary = directory.join(format!(".{name}"));
    let content = serde_json::to_vec(&kept)?;
    Ok(files::write_volatile(
        &directory.join(name),
        &temporary,
        &content,
        MODES,
    )?)
}

/// Those whose namespace is gone.
fn forget_gone(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let lives = |kept: InTheWay| NetNsId::at(&kept.netns).is_ok_and(|id| id == kept.id);
        let is_half_written = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_half_written && !read(&entry.path()).is_some_and(lives) {
            // Another ADD may do the same.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Option<InTheWay> {
    serde_json::from_slice(&files::read(path, Links::Refuse).ok()?).ok()
}

//! Whether a daemon runs on this node.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What the kernel calls the processes of the daemons.
const DAEMONS: [&str; 2] = ["netd", "flanneld"];

/// Whether somebody answers on the status socket.
pub(super) fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// The daemon that runs in this network namespace, for people.
pub(super) fn who(socket: &Path) -> Option<String> {
    if answers(socket) {
        return Some(format!("a netd (it answers on {})", socket.display()));
    }
    let here = namespace(Path::new("/proc/self"))?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        (id != std::process::id()).then(|| (id, entry.path()))
    });
    numbered.find_map(|(id, path)| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let name = name.trim_end();
        let is_one = DAEMONS.contains(&name) && namespace(&path).as_ref() == Some(&here);
        (is_one && !is_command(&path)).then(|| format!("{name} (process {id})"))
    })
}

/// `net:[4026531840]`
fn namespace(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/net")).ok()
}

/// `netd status` and the like are no daemon.
fn is_command(process: &Path) -> bool {
    let Ok(line) = fs::read(process.join("cmdline")) else {
        return false;
    };
    let first = line.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    !first.is_empty() && !first.starts_with(b"-")
}

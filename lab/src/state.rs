//! What a lab is, on disk: `/run/podwire-lab/NAME/`; without root [`home::labs`] says where.
//!
//! | path | what |
//! |---|---|
//! | `lab.json` | [`Lab`]: how the lab was asked for |
//! | `keeper.json`, `keeper.log` | the process whose end is the lab's end |
//! | `bin/`, `net.d/` | the plugins and the network configuration, as every node sees them |
//! | `ipam/` | addresses of networks that are one for all nodes |
//! | `ending` | there once `lab down` is at it |
//! | `faults.json` | what `lab fault` did that lasts |
//! | `store/`, `etcd/` | what the nodes agree on |
//! | `nodes/NODE/` | `node.json`, `netd.json`, `netd.log` |
//! | `routers/ROUTER/` | `router.json` |
//! | `pods/POD/` | `pod.json`, `status.json`, `deletion.json`, `supervisor.log`, `logs/CONTAINER/START.PART.log`, `ephemeral/CONTAINER.json` |
//!
//! Every file is replaced whole. A command that changes the lab holds a lock on its directory; one that makes or
//! removes a pod shares that lock with others of its kind, and has the one on the pod's directory for itself. Losing
//! a file loses nothing else: all that lives in a lab ends with its keeper.

mod lock;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use sandbox::Interrupt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Held by a command that changes a lab or a pod; given back when dropped.
pub use files::Lock;

use crate::home;
use crate::interrupt;
pub use crate::name::Name;
use crate::network::{Network, NetworkPlan};
use crate::topology::Topology;

/// How a lab was asked for.
const LAB: &str = "lab.json";
/// In a lab that is taken down.
const ENDING: &str = "ending";
/// Of state files.
const MODE: u32 = 0o644;

/// How packets travel between nodes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// In UDP, by a VXLAN device on each node.
    Vxlan,
    /// Over plain routes: the nodes share a link.
    HostGw,
    /// In UDP, by a process on each node.
    Udp,
}

impl Backend {
    /// As in network configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::HostGw => "host-gw",
            Self::Udp => "udp",
        }
    }

    /// The type of the CNI plugin that attaches pods.
    pub fn plugin(self) -> &'static str {
        match self {
            Self::Udp => "flannel",
            _ => self.as_str(),
        }
    }
}

/// Where the nodes' leases live.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// A directory that all nodes see.
    Dir,
    /// An etcd server on the underlay.
    Etcd,
}

impl Store {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Etcd => "etcd",
        }
    }
}

/// A lab as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lab {
    /// Its name.
    pub name: Name,
    /// Its nodes, and what joins them.
    pub topology: Topology,
    /// How packets travel.
    pub backend: Backend,
    /// With the backend vxlan: nodes of one underlay need no tunnel to each other.
    pub direct_routing: bool,
    /// Where pods' addresses come from, for each family that pods have.
    pub pod_networks: Vec<PodNetwork>,
    /// Where leases live.
    pub store: Store,
    /// How long a lease lives without its netd, in seconds; netd's default when absent.
    pub lease_ttl: Option<u64>,
    /// From probe to probe of netds, in milliseconds; they send none when absent.
    pub probe_interval_ms: Option<u64>,
    /// What attaches pods.
    pub network: Network,
    /// What else they can ask for from the start, of which some may be gone by now.
    pub networks: Vec<NetworkPlan>,
}

#[cfg(test)]
impl Lab {
    /// Of one node, and usual beside that.
    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    pub(crate) fn of_a_test() -> Self {
        use crate::cluster_file::{ClusterFile, Nodes};
        let file = ClusterFile {
            nodes: Some(Nodes::Number(1)),
            ..ClusterFile::default()
        };
        // Nobody asks them anything.
        let nowhere = PathBuf::new();
        let programs = crate::program::Programs {
            lab: nowhere.clone(),
            netd: nowhere.clone(),
            podwire: nowhere,
        };
        file.lab(&programs).unwrap()
    }
}

/// The addresses of pods, of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNetwork {
    /// All of them.
    pub network: IpNetwork,
    /// The length of a node's subnet, in bits; netd's default when absent.
    pub subnet_len: Option<u8>,
}

/// The directory of one lab.
#[derive(Clone, Debug)]
pub struct LabDir {
    name: Name,
    path: PathBuf,
}

impl LabDir {
    /// Of the lab with this name, whether it exists or not.
    pub fn of(name: &Name) -> Self {
        Self {
            name: name.clone(),
            path: home::labs().join(name.as_str()),
        }
    }

    /// The lab's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// A path inside.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.path.join(inside)
    }

    /// The directory of a node.
    pub fn node(&self, node: &Name) -> PathBuf {
        self.path("nodes").join(node.as_str())
    }

    /// The directory of a pod.
    pub fn pod(&self, pod: &Name) -> PathBuf {
        self.path("pods").join(pod.as_str())
    }

    /// Where `host-local` notes addresses of networks that are one for all nodes, which all see it.
    pub fn shared_addresses(&self) -> PathBuf {
        self.path("ipam")
    }

    /// Makes the directory and locks it.
    ///
    /// # Errors
    /// A lab of this name exists.
    pub fn create(&self) -> Result<Lock> {
        match self.make() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "lab {name:?} exists already: take it down with `lab down --lab {name}`, or choose \
                 another name with `--name`",
                name = self.name.as_str()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("create {}", self.path.display()));
            }
        }
        self.lock()
    }

    /// The labs' directory may go with another lab between its making and its use.
    fn make(&self) -> io::Result<()> {
        const TRIES: u32 = 5;
        let mut outcome = fs::create_dir(&self.path);
        for _ in 0..TRIES {
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    home::make_labs()?;
                    outcome = fs::create_dir(&self.path);
                }
                _ => break,
            }
        }
        outcome
    }

    /// Locks the lab for a change; waits for a command that holds it, and tells which.
    ///
    /// # Errors
    /// There is no such lab.
    pub fn lock(&self) -> Result<Lock> {
        let directory = self.open()?;
        lock::lock(directory, false).with_context(|| format!("lock {}", self.path.display()))
    }

    /// Keeps the lab from being changed, with others who want the same.
    ///
    /// # Errors
    /// There is no such lab.
    pub fn lock_shared(&self) -> Result<Lock> {
        let directory = self.open()?;
        lock::lock(directory, true).with_context(|| format!("lock {}", self.path.display()))
    }

    /// Locks a pod's directory, if nobody has: who does makes the pod or removes it.
    ///
    /// # Errors
    /// The directory cannot be opened or locked.
    pub fn try_lock_pod(&self, pod: &Name) -> Result<PodLock> {
        let path = self.pod(pod);
        let what = || format!("lock {}", path.display());
        let directory = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PodLock::Gone),
            opened => opened.with_context(what)?,
        };
        let locked = directory.metadata().with_context(what)?;
        let Some(lock) = Lock::if_free(directory).with_context(what)? else {
            return Ok(PodLock::Taken);
        };
        // Who had it may have removed the directory, and somebody made another one.
        match fs::metadata(&path) {
            Ok(now) if (now.dev(), now.ino()) == (locked.dev(), locked.ino()) => {
                Ok(PodLock::Held(lock))
            }
            Ok(_) => Ok(PodLock::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PodLock::Gone),
            Err(error) => Err(error).with_context(what),
        }
    }

    /// Attempts what needs a pod's lock until it comes to something; who has the lock is told, in a second. An
    /// attempt that comes to nothing gives back what it has locked: whoever has the pod may want that.
    ///
    /// # Errors
    /// What an attempt says; [`Interrupted`](crate::interrupt::Interrupted), where the caller looks at signals.
    pub fn wait_for_pod<T>(
        &self,
        pod: &Name,
        interrupt: Option<Interrupt>,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        const PAUSE: Duration = Duration::from_millis(10);
        let mut waiting = None;
        loop {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
            waiting.get_or_insert_with(|| lock::waiting_for_lock(&self.pod(pod)));
            match interrupt {
                Some(interrupt) => interrupt::pause(interrupt, PAUSE)?,
                None => thread::sleep(PAUSE),
            }
        }
    }

    /// Removes a pod's directory, whose lock the caller holds. However that is cut short, the name is free: what is
    /// left has a name that no pod can have.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_pod(&self, pod: &Name) -> Result<()> {
        let path = self.pod(pod);
        let aside = self.path("pods").join(format!(".{pod}.gone"));
        remove_all(&aside)?;
        fs::rename(&path, &aside).with_context(|| format!("rename {}", path.display()))?;
        remove_all(&aside)
    }

    fn open(&self) -> Result<File> {
        match File::open(&self.path) {
            Ok(directory) => Ok(directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What an `up` leaves that was killed before its second step.
                let _ = fs::remove_dir(home::labs());
                let others: Vec<String> = labs()?.iter().map(ToString::to_string).collect();
                let others = if others.is_empty() {
                    "none".to_owned()
                } else {
                    others.join(", ")
                };
                bail!(
                    "there is no lab {name:?} (there are: {others}); start one with \
                     `lab up --name {name}`",
                    name = self.name.as_str()
                )
            }
            Err(error) => Err(error).with_context(|| format!("open {}", self.path.display())),
        }
    }

    /// How the lab was asked for.
    ///
    /// # Errors
    /// There is no such lab, or it was cut short before it had this file.
    pub fn lab(&self) -> Result<Lab> {
        self.open()?;
        read(&self.path(LAB))?.with_context(|| {
            format!(
                "lab {name:?} is not complete: `lab down --lab {name}`",
                name = self.name.as_str()
            )
        })
    }

    /// Notes that the lab is taken down: pods that end from now on are not lost.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_end(&self) -> Result<()> {
        write_text(&self.path(ENDING), b"")
    }

    /// For who watches the lab, after each look: what was seen is not the lab's doing when it is on its way out.
    ///
    /// # Errors
    /// There is no such lab, or it is taken down.
    pub fn require_lasting(&self) -> Result<()> {
        self.open()?;
        if self.path(ENDING).exists() || !self.path(LAB).exists() {
            bail!("lab {:?} is being taken down", self.name.as_str());
        }
        Ok(())
    }

    /// Removes the directory, and the labs' directory with the last one.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        // First: who watches the lab knows by it that the rest goes, too.
        match fs::remove_file(self.path(LAB)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", self.path(LAB).display()));
            }
            _ => {}
        }
        remove_all(&self.path)?;
        // Not empty while there are other labs.
        let _ = fs::remove_dir(home::labs());
        Ok(())
    }
}

/// What [`LabDir::try_lock_pod`] came to.
#[derive(Debug)]
pub enum PodLock {
    /// The pod's directory is this command's own.
    Held(Lock),
    /// It is another one's, for now.
    Taken,
    /// There is no such directory.
    Gone,
}

/// Removes a directory; one that is gone is fine.
fn remove_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Holds what all labs of the machine have together; waits for a command that does.
///
/// # Errors
/// There are no labs.
pub fn lock_labs() -> Result<Lock> {
    let labs = home::labs();
    let directory = File::open(labs).with_context(|| format!("open {}", labs.display()))?;
    lock::lock(directory, false).with_context(|| format!("lock {}", labs.display()))
}

/// The names of the labs there are, in order.
///
/// # Errors
/// Their directory cannot be read.
pub fn labs() -> Result<Vec<Name>> {
    names_in(home::labs())
}

/// The names of the directories in `directory`, in order; none when it is missing.
///
/// # Errors
/// It cannot be read.
pub fn names_in(directory: &Path) -> Result<Vec<Name>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", directory.display())),
    };
    let mut names: Vec<Name> = entries
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
        })
        .collect();
    names.sort_by(|one: &Name, other| by_number(one.as_str()).cmp(&by_number(other.as_str())));
    Ok(names)
}

/// What a name is sorted by: n2 before n10, and both before router1.
fn by_number(name: &str) -> (&str, usize, &str) {
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &name[word.len()..];
    (word, number.len(), number)
}

/// Reads a state file; `None` when it is missing.
///
/// # Errors
/// It cannot be read, or is not what it should be.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let value = serde_json::from_slice(&text);
    value
        .map(Some)
        .with_context(|| format!("read {}", path.display()))
}

/// When a state file was written; nothing when there is none.
///
/// # Errors
/// It cannot be looked at.
pub fn written_at(path: &Path) -> Result<Option<SystemTime>> {
    match fs::metadata(path).and_then(|found| found.modified()) {
        Ok(time) => Ok(Some(time)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("look at {}", path.display())),
    }
}

/// Writes a state file in one piece: a reader sees the old one or the new one.
///
/// # Errors
/// The directory is missing or cannot be written.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    write_text(path, &serde_json::to_vec_pretty(value)?)
}

/// The same, of what is text already.
///
/// # Errors
/// As [`write()`].
pub fn write_text(path: &Path, text: &[u8]) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    Ok(files::replace(path, Path::new(&beside), text, MODE)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_lab_on_its_way_out_is_not_one_that_lasts() {
        let directory = tempfile::tempdir().unwrap();
        let dir = LabDir {
            name: "x".parse().unwrap(),
            path: directory.path().to_owned(),
        };
        let said = || dir.require_lasting().unwrap_err().to_string();
        fs::write(dir.path(LAB), "").unwrap();
        dir.require_lasting().unwrap();
        dir.note_end().unwrap();
        assert_eq!(said(), "lab \"x\" is being taken down");
        // What is removed first leaves no moment between.
        fs::remove_file(dir.path(LAB)).unwrap();
        fs::remove_file(dir.path(ENDING)).unwrap();
        assert_eq!(said(), "lab \"x\" is being taken down");
    }

    #[test]
    fn names_are_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["right", "n10", "left", "n2", "middle", "n", "a-1-b"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let names = names_in(directory.path()).unwrap();
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        assert_eq!(
            names,
            ["a-1-b", "left", "middle", "n", "n2", "n10", "right"]
        );
    }
}

//! A lease as it lies in a file: what a daemon that starts anew must know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use files::{Links, Modes};
use kernel::{LinkIndex, NetNsId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::place::Place;
use crate::protocol::{ask::Client, lease::Lease};

const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};
const SUFFIX: &str = ".json";

/// Whose a lease is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) container: String,
    pub(super) network: String,
    pub(super) ifname: String,
}

impl Key {
    /// What servers know the client by, as the reference's daemon makes it.
    pub(super) fn identity(&self) -> String {
        format!("{}/{}/{}", self.container, self.network, self.ifname)
    }
}

/// A lease with all that keeping it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: Key,
    netns: PathBuf,
    device: u64,
    inode: u64,
    #[serde(default)]
    cookie: Option<u64>,
    link: u32,
    pub(super) client: Client,
    pub(super) lease: Lease,
    /// When it was asked for, in milliseconds since 1970.
    asked_ms: u64,
}

impl Record {
    pub(super) fn new(key: Key, place: &Place, client: Client, lease: Lease) -> Self {
        Self {
            key,
            netns: place.netns.clone(),
            device: place.id.device,
            inode: place.id.inode,
            cookie: place.cookie,
            link: place.link.0,
            client,
            lease,
            asked_ms: now_ms(),
        }
    }

    /// The same with another lease, of this age.
    pub(super) fn renewed(&self, lease: Lease, age: Duration) -> Self {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self {
            lease,
            asked_ms: now_ms().saturating_sub(age),
            ..self.clone()
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            netns: self.netns.clone(),
            id: NetNsId {
                device: self.device,
                inode: self.inode,
            },
            cookie: self.cookie,
            ifname: self.key.ifname.clone(),
            link: LinkIndex(self.link),
        }
    }

    /// How long ago the lease was asked for, by the wall clock.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.asked_ms))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// The directory with a daemon's leases, a file each.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

impl Records {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Every lease that can be read. What cannot is of no use to anybody, and goes.
    pub(super) fn all(&self) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            match read(&path).filter(|record| self.path(&record.key) == path) {
                Some(record) => found.push(record),
                None => discard(&path),
            }
        }
        Ok(found)
    }

    /// Written whole or not at all, for root alone.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record).map_err(io::Error::other)?;
        files::write_atomically(&self.path(&record.key), &text, MODES)
            .map_err(files::WriteError::into_source)
    }

    pub(super) fn remove(&self, key: &Key) {
        discard(&self.path(key));
    }

    /// Named by a hash: container IDs have no length.
    pub(super) fn path(&self, key: &Key) -> PathBuf {
        let hash = Sha256::digest(key.identity());
        let name: String = hash.iter().take(16).map(|b| format!("{b:02x}")).collect();
        self.0.join(name + SUFFIX)
    }
}

fn read(path: &Path) -> Option<Record> {
    let text = files::read(path, Links::Refuse).ok()?;
    serde_json::from_slice(&text).ok()
}

fn discard(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a lease's file");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::protocol::message::Options;

    fn record(container: &str) -> Record {
        let key = Key {
            container: container.into(),
            network: "net".into(),
            ifname: "eth0".into(),
        };
        let place = Place {
            netns: "/run/netns/pod".into(),
            id: NetNsId {
                device: 4,
                inode: 4026531840,
            },
            cookie: Some(7),
            ifname: "eth0".into(),
            link: LinkIndex(2),
        };
        let client = Client::new(&key.identity(), &[], &[], &BTreeMap::new()).unwrap();
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 0, 2),
            server: Ipv4Addr::new(10, 0, 0, 1),
            server_mac: [2; 6],
            options: Options(BTreeMap::from([(51, vec![0, 0, 0, 9])])),
        };
        Record::new(key, &place, client, lease)
    }

    #[test]
    fn leases_are_read_as_they_were_written_and_what_is_none_goes() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(directory.path().join("leases"));
        assert_eq!(records.all().unwrap(), []);
        let (one, other) = (record("one"), record(&"x".repeat(300)));
        records.write(&one).unwrap();
        records.write(&other).unwrap();
        let mode = fs::metadata(records.path(&one.key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let strange = directory.path().join("leases/strange.json");
        fs::write(&strange, serde_json::to_vec(&one).unwrap()).unwrap();
        let half = directory.path().join("leases/.half.json.77");
        fs::write(&half, "{").unwrap();
        let mut all = records.all().unwrap();
        all.sort_by_key(|record| record.key.container.len());
        assert_eq!(all, [one.clone(), other]);
        assert!(!strange.exists() && !half.exists());
        records.remove(&one.key);
        records.remove(&one.key);
        assert_eq!(records.all().unwrap().len(), 1);
    }

    #[test]
    fn a_renewed_lease_is_as_old_as_the_request_for_it() {
        let age = Duration::from_secs(5);
        let renewed = record("one").renewed(record("one").lease, age);
        assert!(renewed.age() >= age && renewed.age() < age * 2);
    }
}

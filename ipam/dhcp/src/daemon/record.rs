//! A lease as it lies in a file: what a daemon that starts anew must know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::{Links, Modes, Unfit};
use kernel::{LinkIndex, Moment, NetNsId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::place::Place;
use crate::protocol::{ask::Client, lease::Lease};

const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};
const SUFFIX: &str = ".json";
/// What a file that is no lease's is called then.
const BROKEN: &str = ".broken";

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
    /// When it was asked for; `None`: nobody knows.
    #[serde(default)]
    asked: Option<Moment>,
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
            asked: now(),
        }
    }

    /// The same with another lease, of this age.
    pub(super) fn renewed(&self, lease: Lease, age: Duration) -> Self {
        Self {
            lease,
            asked: now().map(|now| now.earlier(age)),
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

    /// How long ago the lease was asked for, whatever became of the wall clock. `None` where nobody
    /// knows: it must be taken for one that has run out.
    pub(super) fn age(&self) -> Option<Duration> {
        self.asked.as_ref()?.until(&now()?)
    }

    /// Whether the machine has been started anew since: then no namespace is the one that it was,
    /// whatever its path and numbers.
    pub(super) fn is_of_another_boot(&self) -> bool {
        let is_other = |(asked, now): (&Moment, Moment)| !asked.is_of_the_boot_of(&now);
        self.asked.as_ref().zip(now()).is_some_and(is_other)
    }
}

fn now() -> Option<Moment> {
    let now = Moment::now();
    if let Err(error) = &now {
        tracing::warn!(%error, "cannot tell the time for a lease");
    }
    now.ok()
}

/// The directory with a daemon's leases, a file each.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

impl Records {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Every lease that can be read. A file that is no lease's is set aside, and one that the system
    /// does not give stays as it is.
    ///
    /// # Errors
    /// The directory cannot be read; no descriptor or memory is left for a file of it.
    pub(super) fn all(&self) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            match Entry::of(&path) {
                Entry::CutOff => discard(&path),
                Entry::SetAside => {}
                Entry::Lease => found.extend(self.look(&path)?),
            }
        }
        Ok(found)
    }

    fn look(&self, path: &Path) -> io::Result<Option<Record>> {
        let text = files::read(path, Links::Refuse);
        match judge(text, |record: &Record| self.path(&record.key) == path) {
            Judged::Lease(record) => return Ok(Some(*record)),
            Judged::Gone => {}
            Judged::Broken(why) => set_aside(path, &why),
            Judged::Unread(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "cannot read a lease: nobody renews it");
            }
            Judged::Shortage(error) => return Err(error),
        }
        Ok(None)
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

/// What a file in the directory is by its name.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// Of a write that did not come to its end.
    CutOff,
    /// No lease's, which is known already.
    SetAside,
    Lease,
}

impl Entry {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match () {
            () if name.starts_with('.') => Self::CutOff,
            () if name.ends_with(BROKEN) => Self::SetAside,
            () => Self::Lease,
        }
    }
}

/// What reading a lease's file has shown.
#[derive(Debug)]
enum Judged {
    Lease(Box<Record>),
    /// Nothing is there any more.
    Gone,
    /// What is there is no lease.
    Broken(String),
    /// The system did not give it: that says nothing of what is there.
    Unread(io::Error),
    /// The same, for want of what every file needs.
    Shortage(io::Error),
}

fn judge(text: io::Result<Vec<u8>>, is_in_its_place: impl Fn(&Record) -> bool) -> Judged {
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Judged::Gone,
        Err(error) if files::is_shortage(&error) => return Judged::Shortage(error),
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<Unfit>()) => {
            return Judged::Broken(error.to_string());
        }
        Err(error) => return Judged::Unread(error),
    };
    match serde_json::from_slice(&text) {
        Ok(record) if is_in_its_place(&record) => Judged::Lease(Box::new(record)),
        Ok(_) => Judged::Broken("another attachment's lease".into()),
        Err(error) => Judged::Broken(error.to_string()),
    }
}

fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(BROKEN);
    match fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(path = %path.display(), why, "no lease, set aside as .broken"),
        Err(error) => tracing::warn!(path = %path.display(), why, %error, "no lease, and it stays"),
    }
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
    fn leases_are_read_as_they_were_written_and_what_is_none_is_set_aside() {
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
        let cut = directory.path().join("leases/cut.json");
        fs::write(&cut, "{").unwrap();
        let elsewhere = directory.path().join("leases/link.json");
        std::os::unix::fs::symlink(records.path(&one.key), &elsewhere).unwrap();
        let half = directory.path().join("leases/.half.json.77");
        fs::write(&half, "{").unwrap();
        for _ in 0..2 {
            let mut all = records.all().unwrap();
            all.sort_by_key(|record| record.key.container.len());
            assert_eq!(all, [one.clone(), other.clone()]);
            assert!(!half.exists());
            for broken in [&strange, &cut, &elsewhere] {
                let aside = format!("{}.broken", broken.display());
                assert!(!broken.exists() && fs::symlink_metadata(aside).is_ok());
            }
        }
        records.remove(&one.key);
        records.remove(&one.key);
        assert_eq!(records.all().unwrap().len(), 1);
    }

    /// What the system does not give may be a lease all the same.
    #[test]
    fn an_error_in_reading_proves_nothing() {
        let text = serde_json::to_vec(&record("one")).unwrap();
        let told = |text, is_in_its_place: bool| match judge(text, |_| is_in_its_place) {
            Judged::Lease(_) => "lease",
            Judged::Gone => "gone",
            Judged::Broken(_) => "broken",
            Judged::Unread(_) => "unread",
            Judged::Shortage(_) => "shortage",
        };
        assert_eq!(told(Ok(text.clone()), true), "lease");
        assert_eq!(told(Ok(text), false), "broken");
        assert_eq!(told(Ok(Vec::new()), true), "broken");
        assert_eq!(told(Err(Unfit::TooLarge.into()), true), "broken");
        for (errno, expected) in [
            (2, "gone"),
            (24, "shortage"),
            (23, "shortage"),
            (12, "shortage"),
            (5, "unread"),
            (13, "unread"),
            (116, "unread"),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(told(Err(error), true), expected, "errno {errno}");
        }
    }

    #[test]
    fn a_renewed_lease_is_as_old_as_the_request_for_it() {
        let age = Duration::from_secs(5);
        let renewed = record("one").renewed(record("one").lease, age);
        let seen = renewed.age().unwrap();
        assert!(seen >= age && seen < age * 2);
        assert!(!renewed.is_of_another_boot());
    }

    #[test]
    fn the_age_of_a_lease_is_unknown_where_the_machine_s_own_clock_does_not_tell_it() {
        let changed = |asked: serde_json::Value| -> Record {
            let mut text = serde_json::to_value(record("one")).unwrap();
            text["asked"] = asked;
            serde_json::from_value(text).unwrap()
        };
        let boot = serde_json::to_value(Moment::now().unwrap()).unwrap()["boot"].clone();
        let later = changed(serde_json::json!({ "boot": boot, "ms": u64::MAX }));
        assert_eq!((later.age(), later.is_of_another_boot()), (None, false));
        let other = changed(serde_json::json!({ "boot": "another", "ms": 0 }));
        assert_eq!((other.age(), other.is_of_another_boot()), (None, true));
        let never = changed(serde_json::Value::Null);
        assert_eq!((never.age(), never.is_of_another_boot()), (None, false));
    }
}

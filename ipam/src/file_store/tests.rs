//! Crashes, neighbours and the index.
use std::{
    cell::Cell,
    fs::{self, File},
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use super::{FileStore, Holder, STAGED, scan};
use crate::{Error, Owner, Range, RangeSet, Store, allocate, cidr::parse_cidr, index::Index};

thread_local! {
    static STEPS: Cell<Option<usize>> = const { Cell::new(None) };
    static MEDDLER: Cell<Option<Meddler>> = const { Cell::new(None) };
}

/// What happens to the directory at a step.
type Meddler = (&'static str, Box<dyn FnOnce()>);

/// Stops the writer, as a kill would, when its number of steps is used up.
pub(super) fn step(name: &'static str) {
    match MEDDLER.take() {
        Some((at, meddle)) if at == name => meddle(),
        other => MEDDLER.set(other),
    }
    if let Some(left) = STEPS.get() {
        if left == 0 {
            STEPS.set(None);
            std::panic::panic_any(Stopped(name));
        }
        STEPS.set(Some(left - 1));
    }
}

struct Stopped(&'static str);

/// A network directory and a place for indexes, in memory where the machine has that.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("networks/net")
    }

    fn locked<T>(&self, work: impl FnOnce(&mut FileStore) -> Result<T, Error>) -> T {
        let data_dir = self.root.path().join("networks");
        let index_dir = self.root.path().join("index");
        FileStore::locked(&data_dir, "net", &index_dir, work).unwrap()
    }

    fn add(&self, container: &str) -> Result<IpAddr, String> {
        let owner = owner(container);
        let result = self.locked(|store| Ok(allocate(store, &sets(), &[], &owner)));
        result
            .map(|all| all[0].address.ip())
            .map_err(|error| error.text())
    }

    fn del(&self, container: &str) {
        self.locked(|store| store.release(&owner(container), false, &[]));
    }

    fn holds(&self, container: &str) -> bool {
        self.locked(|store| store.holds(&owner(container)))
    }

    /// As the reference does it: create, then write.
    fn foreign_add(&self, address: &str, container: &str) {
        fs::create_dir_all(self.dir()).unwrap();
        fs::write(self.dir().join(address), owner(container).record()).unwrap();
    }

    /// Enough reservations that an index is kept.
    fn fill(&self, count: usize) {
        for number in 0..count {
            self.add(&format!("filler{number}")).unwrap();
        }
    }

    /// Whether the next call will read one bucket and not the directory.
    fn has_index(&self) -> bool {
        let handle = File::open(self.dir()).unwrap();
        Index::open(&self.root.path().join("index"), &handle).is_some()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn owner(container: &str) -> Owner<'_> {
    Owner {
        container,
        ifname: "eth0",
    }
}

fn sets() -> Vec<RangeSet> {
    let range = |subnet: &str| Range::new(parse_cidr(subnet), None, None, None).unwrap();
    ["10.22.0.0/16", "2001:db8::/64"]
        .map(|subnet| RangeSet::new(vec![range(subnet)]).unwrap())
        .into()
}

#[test]
fn a_killed_add_leaves_no_address_without_owner_and_can_be_deleted_and_repeated() {
    for filled in [0, 40] {
        let mut stops = Vec::new();
        for steps in 0.. {
            let place = Place::new();
            place.fill(filled);
            STEPS.set(Some(steps));
            let killed = catch_unwind(AssertUnwindSafe(|| place.add("victim")));
            STEPS.set(None);
            let Err(stopped) = killed else { break };
            stops.push(stopped.downcast_ref::<Stopped>().unwrap().0);
            for name in place.names() {
                let content = fs::read(place.dir().join(&name)).unwrap();
                let empty_allowed = name == "lock" || name.starts_with("last_") || name == STAGED;
                assert!(
                    !content.is_empty() || empty_allowed,
                    "{name} has no owner after {stops:?}"
                );
            }
            // Another pod is served, whatever was left, and nobody's address is given twice.
            let other = place.add("other").unwrap();
            assert!(place.holds("other"), "after {stops:?}");
            place.del("victim");
            assert!(!place.holds("victim"), "after {stops:?}");
            let again = place.add("victim").unwrap();
            assert_ne!(again, other, "after {stops:?}");
            assert!(!place.names().contains(&STAGED.to_owned()));
            place.del("victim");
            place.del("other");
            assert_eq!(place.names().len(), 2 * filled + 3, "{:?}", place.names());
        }
        let all = [
            "create",
            "write",
            "link",
            "publish",
            "index",
            "last reserved: open",
            "last reserved: write",
            "last reserved: cut",
        ];
        assert_eq!(stops, [all, all].concat());
    }
}

#[test]
fn a_killed_del_is_finished_by_the_next() {
    for filled in [0, 40] {
        for steps in 0..4 {
            let place = Place::new();
            place.fill(filled);
            place.add("victim").unwrap();
            STEPS.set(Some(steps));
            let killed = catch_unwind(AssertUnwindSafe(|| place.del("victim")));
            STEPS.set(None);
            assert!(killed.is_err(), "stopped after {steps} steps");
            place.del("victim");
            assert!(!place.holds("victim"));
            assert_eq!(place.names().len(), 2 * filled + 3);
        }
    }
}

#[test]
fn what_a_killed_call_staged_is_not_written_through() {
    let place = Place::new();
    let first = place.add("first").unwrap();
    // Killed between link and unlink: the staged name and the reservation are one file.
    fs::hard_link(
        place.dir().join(first.to_string()),
        place.dir().join(STAGED),
    )
    .unwrap();
    place.add("second").unwrap();
    assert!(place.holds("first"));
    assert!(place.holds("second"));
}

#[test]
fn a_staged_file_that_stays_is_no_failure() {
    let place = Place::new();
    let staged = place.dir().join(STAGED);
    let in_the_way = staged.clone();
    let meddle = move || {
        fs::remove_file(&in_the_way).unwrap();
        fs::create_dir(&in_the_way).unwrap();
    };
    // At the second set's address: a directory cannot be linked.
    let meddle_later = move || MEDDLER.set(Some(("link", Box::new(meddle))));
    MEDDLER.set(Some(("link", Box::new(meddle_later))));
    let first = place.add("first").unwrap();
    assert!(place.holds("first"));

    // Whoever cannot stage takes nothing.
    let refused = place.add("second").unwrap_err();
    assert!(refused.contains(STAGED), "{refused}");
    assert!(!place.holds("second"));
    fs::remove_dir(&staged).unwrap();
    assert_ne!(place.add("second").unwrap(), first);
    place.del("first");
    place.del("second");
    let names = ["last_reserved_ip.0", "last_reserved_ip.1", "lock"];
    assert_eq!(place.names(), names);
}

#[test]
fn an_empty_file_counts_as_free() {
    for filled in [0, 40] {
        let place = Place::new();
        place.fill(filled);
        let next = format!("10.22.0.{}", filled + 2);
        place.foreign_add("10.22.5.5", "somebody");
        fs::write(place.dir().join(&next), "").unwrap();
        assert_eq!(place.add("pod").unwrap().to_string(), next);
        assert!(place.holds("pod"));
    }
}

#[test]
fn a_foreign_change_is_seen_whenever_it_happens() {
    let place = Place::new();
    place.fill(40);
    assert!(place.has_index());
    // Back to back, so that many fall into one tick of the clock that stamps files.
    for round in 0..300 {
        let container = format!("foreign{round}");
        let address = format!("10.22.100.{}", round % 250);
        assert!(place.has_index(), "our own call leaves an index");
        assert!(!place.holds(&container));
        place.foreign_add(&address, &container);
        assert!(!place.has_index(), "round {round}: the change was missed");
        let refused = place.add(&container).unwrap_err();
        let text = format!(
            "failed to allocate for range 0: {address} has been allocated to {container}, \
             duplicate allocation is not allowed"
        );
        assert_eq!(refused, text);
        fs::remove_file(place.dir().join(&address)).unwrap();
        assert!(
            !place.holds(&container),
            "round {round}: the removal was missed"
        );
    }
}

#[test]
fn a_clock_that_was_set_back_hides_no_change() {
    let place = Place::new();
    place.fill(40);
    let handle = File::open(place.dir()).unwrap();
    let recorded = handle.metadata().unwrap().modified().unwrap();
    place.foreign_add("10.22.9.9", "foreign");
    // The worst case: the change got the very time that we recorded.
    handle.set_modified(recorded).unwrap();
    assert!(place.holds("foreign"));
}

#[test]
fn the_index_follows_our_own_changes_and_grows() {
    let place = Place::new();
    place.fill(400);
    assert!(place.has_index());
    for number in (0..400).step_by(3) {
        place.del(&format!("filler{number}"));
    }
    assert!(place.has_index());
    for number in 0..400 {
        assert_eq!(
            place.holds(&format!("filler{number}")),
            number % 3 != 0,
            "{number}"
        );
    }
    let index = Index::open(
        &place.root.path().join("index"),
        &File::open(place.dir()).unwrap(),
    );
    let reservations = place
        .names()
        .iter()
        .filter(|name| scan::reservation(name).is_some())
        .count();
    assert_eq!(index.unwrap().len(), reservations as u64);
}

#[test]
fn a_lost_or_broken_index_costs_time_only() {
    let place = Place::new();
    place.fill(40);
    let index = fs::read_dir(place.root.path().join("index"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let whole = fs::read(index.path()).unwrap();
    for broken in [
        Vec::new(),
        whole[..100].to_vec(),
        vec![0xff; whole.len()],
        {
            let mut counts = whole.clone();
            counts[4096..4098].fill(0xff);
            counts
        },
    ] {
        fs::write(index.path(), broken).unwrap();
        assert!(place.holds("filler7"));
        assert!(!place.holds("nobody"));
        assert!(place.add("filler7").is_err());
    }
    fs::remove_dir_all(place.root.path().join("index")).unwrap();
    fs::write(place.root.path().join("index"), "no directory").unwrap();
    assert!(place.add("filler8").is_err());
    place.add("pod").unwrap();
    assert!(place.holds("pod"));
}

#[test]
fn foreign_files_are_looked_at_and_keep_the_index_away() {
    let place = Place::new();
    place.fill(40);
    fs::create_dir(place.dir().join("sub")).unwrap();
    fs::write(place.dir().join("sub/10.22.0.60"), "foreign\r\neth0").unwrap();
    assert!(place.holds("foreign"));
    assert!(!place.has_index());
    fs::write(place.dir().join("sub/10.22.0.61"), "later\r\neth0").unwrap();
    assert!(
        place.holds("later"),
        "a change below the directory does not change its times"
    );
}

#[test]
fn a_long_run_of_taken_addresses_is_searched_in_memory() {
    let place = Place::new();
    place.add("pod0").unwrap();
    for number in 3..=254 {
        place.foreign_add(&format!("10.22.0.{number}"), &format!("foreign{number}"));
    }
    STEPS.set(Some(100));
    assert_eq!(place.add("pod1").unwrap().to_string(), "10.22.0.255");
    STEPS.set(None);
}

#[test]
fn a_full_set_serves_again_after_a_release() {
    let place = Place::new();
    let range = Range::new(parse_cidr("10.22.0.0/26"), None, None, None).unwrap();
    let sets = [RangeSet::new(vec![range]).unwrap()];
    let add = |container: &str| {
        let owner = owner(container);
        place
            .locked(|store| Ok(allocate(store, &sets, &[], &owner)))
            .map_err(|error| error.text())
    };
    for number in 0..61 {
        add(&format!("pod{number}")).unwrap();
    }
    let full = "failed to allocate for range 0: no IP addresses available in range set: \
                10.22.0.1-10.22.0.62";
    assert_eq!(add("late").unwrap_err(), full);
    assert!(place.has_index());
    place.del("pod30");
    assert_eq!(add("late").unwrap()[0].address.to_string(), "10.22.0.32/26");
}

#[test]
fn gc_keeps_what_is_valid_and_what_is_not_a_reservation() {
    let place = Place::new();
    let (kept, gone) = (place.add("kept").unwrap(), place.add("gone").unwrap());
    fs::write(place.dir().join("10.22.0.90"), "kept").unwrap();
    fs::write(place.dir().join("10.22.0.91"), "gone\n").unwrap();
    fs::write(place.dir().join("10.22.0.92"), "").unwrap();
    fs::write(place.dir().join("README"), "gone").unwrap();
    let keep = |holder: &Holder| match holder {
        Holder::Attachment { container, .. } | Holder::Container(container) => container == "kept",
        Holder::Nobody => false,
    };
    let failed = place.locked(|store| store.retain(keep));
    assert!(failed.is_empty());
    let names = place.names();
    assert!(names.contains(&kept.to_string()) && !names.contains(&gone.to_string()));
    for (name, stays) in [
        ("10.22.0.90", true),
        ("10.22.0.91", false),
        ("10.22.0.92", false),
        ("README", true),
    ] {
        assert_eq!(names.contains(&name.to_owned()), stays, "{name}");
    }
}

#[test]
fn the_last_reserved_address_is_overwritten_whole() {
    let place = Place::new();
    for text in [
        "10.22.255.254",
        "10.22.3.4",
        "2001:db8::ffff:1",
        "10.22.0.9",
    ] {
        place.locked(|store| store.set_last_reserved(0, text.parse().unwrap()));
        let path = place.dir().join("last_reserved_ip.0");
        assert_eq!(fs::read_to_string(path).unwrap(), text);
        let last = place.locked(|store| Ok(store.last_reserved(0)));
        assert_eq!(last.unwrap().to_string(), text);
    }
}

/// Puts something else in a file's place; a link leads to the second path.
type Put = fn(&Path, &Path);

/// What somebody may put in the place of a file of ours, to read or write through it.
const IN_ITS_PLACE: [(&str, Put); 3] = [
    ("a symbolic link", |path, outside| {
        std::os::unix::fs::symlink(outside, path).unwrap();
    }),
    ("a directory", |path, _| fs::create_dir(path).unwrap()),
    ("a FIFO", |path, _| make_fifo(path)),
];

#[allow(clippy::disallowed_methods, reason = "a FIFO needs a program")]
fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn the_last_reserved_address_is_not_written_through_what_is_no_file() {
    for (what, put) in IN_ITS_PLACE {
        let place = Place::new();
        let outside = place.root.path().join("outside");
        fs::write(&outside, "10.22.0.77").unwrap();
        fs::create_dir_all(place.dir()).unwrap();
        let path = place.dir().join("last_reserved_ip.0");
        put(&path, &outside);
        let error = place.add("c").unwrap_err();
        let text = format!("open {}: it is {what}, not a regular file", path.display());
        assert_eq!(error, format!("failed to allocate for range 0: {text}"));
        assert_eq!(fs::read_to_string(&outside).unwrap(), "10.22.0.77");
        assert_eq!(place.names(), ["last_reserved_ip.0", "lock"], "{what}");
    }
}

#[test]
fn a_reservation_that_is_no_file_is_taken_and_never_read() {
    for (what, put) in IN_ITS_PLACE {
        let place = Place::new();
        let outside = place.root.path().join("outside");
        fs::write(&outside, owner("c").record()).unwrap();
        fs::create_dir_all(place.dir()).unwrap();
        let path = place.dir().join("10.22.0.2");
        put(&path, &outside);
        assert!(!place.holds("c"), "{what}");
        assert_eq!(place.add("c").unwrap().to_string(), "10.22.0.3", "{what}");
        place.del("c");
        assert!(fs::symlink_metadata(&path).is_ok(), "{what}");
    }
}

#[test]
fn a_lock_that_is_no_file_is_named() {
    for (what, put) in IN_ITS_PLACE {
        let place = Place::new();
        fs::create_dir_all(place.dir()).unwrap();
        let path = place.dir().join("lock");
        put(&path, &place.root.path().join("outside"));
        let data_dir = place.root.path().join("networks");
        let refused = FileStore::locked(&data_dir, "net", place.root.path(), |_| Ok(()));
        let text = format!("open {}: it is {what}, not a regular file", path.display());
        assert_eq!(refused.unwrap_err().text(), text);
        assert!(!place.root.path().join("outside").exists());
    }
}

#[test]
fn a_lock_that_somebody_keeps_is_named_and_worth_another_try() {
    let path = Path::new("/x/lock");
    let held = files::LockError::Held(files::PATIENCE);
    let printed = cni::Error::from(Error::lock(path, held));
    let text = "lock /x/lock: another process has held the lock for 60 s";
    assert_eq!((printed.code, printed.msg.as_str()), (11, text));
}

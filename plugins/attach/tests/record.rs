//! What is remembered of attachments, and who restores rules by it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{cell::RefCell, fs, path::Path};

use attach::{
    Identity,
    record::{self, Earlier, Manner, Pod, Record, Remembered, Rules},
};
use ipnetwork::IpNetwork;
use kernel::{IfName, NetNs, testing::World};

const RECORDS: &str = "/run/podwire/attachments/names";

thread_local! {
    /// What was done to the rules, in this order.
    static DONE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The rules that there are, by container.
    static THERE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Whose rules cannot be removed.
    static STUCK: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn done() -> Vec<String> {
    DONE.take()
}

fn stuck(containers: &[&str]) {
    STUCK.set(containers.iter().map(|&name| name.to_owned()).collect());
}

/// Rules that are names of containers. Those of `deleted` meet a DEL while they are being made,
/// those of `returns` an ADD while they are being removed; those of `refused` cannot be made.
struct Names;

impl Rules for Names {
    type Wanted = u32;

    const KIND: &'static str = "names";

    fn are_there(record: &Record<u32>) -> Result<bool, cni::Error> {
        Ok(THERE.with_borrow(|there| there.contains(&record.container_id)))
    }

    fn make(record: &Record<u32>) -> Result<(), cni::Error> {
        let done = format!("make {} {}", record.container_id, record.wanted);
        DONE.with_borrow_mut(|all| all.push(done));
        match record.container_id.as_str() {
            "refused" => return Err(cni::Error::msg("no")),
            "deleted" => forget(record.identity()),
            _ => {}
        }
        THERE.with_borrow_mut(|there| there.push(record.container_id.clone()));
        Ok(())
    }

    fn remove(identity: Identity<'_>, remembered: &Remembered<'_, u32>) -> Result<(), cni::Error> {
        let container = identity.container_id;
        let done = format!("remove {container} {:?}", wanted(remembered));
        let is_first = DONE.with_borrow(|all| !all.contains(&done));
        DONE.with_borrow_mut(|all| all.push(done));
        if STUCK.with_borrow(|stuck| stuck.iter().any(|one| one == container)) {
            return Err(cni::Error::msg("no"));
        }
        THERE.with_borrow_mut(|there| there.retain(|one| one != container));
        if container == "returns" && is_first {
            keep("net", container, 9);
        }
        Ok(())
    }
}

fn wanted(remembered: &Remembered<'_, u32>) -> Vec<u32> {
    let records = remembered.records.iter();
    records.map(|record| record.wanted).collect()
}

fn forget(identity: Identity<'_>) {
    record::forget::<Names, cni::Error>(identity, |_| Ok(())).unwrap();
}

/// A DEL that cannot remove anything; what it was told to be remembered, and whether that is all.
fn fail_to_forget(identity: Identity<'_>) -> (Vec<u32>, bool) {
    let mut told = (Vec::new(), false);
    let failed = record::forget::<Names, _>(identity, |remembered| {
        told = (wanted(remembered), remembered.is_all);
        Err(cni::Error::msg("no"))
    });
    assert_eq!(failed.unwrap_err().msg, "no");
    told
}

fn identity<'a>(network: &'a str, container_id: &'a str) -> Identity<'a> {
    Identity {
        network,
        container_id,
        ifname: "lo",
    }
}

/// A pod whose interface is its loopback, which has the address as soon as it is up.
fn pod(world: &World, network: &str, container_id: &str, wanted: u32) -> NetNs {
    let namespace = world.pod(container_id);
    namespace.run(up).unwrap();
    keep(network, container_id, wanted);
    namespace
}

fn up() {
    let netlink = kernel::Netlink::open().unwrap();
    let lo = netlink
        .link(&"lo".parse::<IfName>().unwrap())
        .unwrap()
        .unwrap();
    let up = kernel::LinkChange {
        up: Some(true),
        ..kernel::LinkChange::default()
    };
    netlink.set_link(lo.index, &up).unwrap();
}

fn keep(network: &str, container_id: &str, wanted: u32) -> Earlier<Names> {
    keep_at(network, container_id, wanted, "127.0.0.1/8")
}

/// Where loopback has another address, the pod is detached.
fn keep_at(network: &str, container_id: &str, wanted: u32, address: &str) -> Earlier<Names> {
    let netns = format!("/run/netns/{container_id}");
    let pod = Pod {
        identity: identity(network, container_id),
        netns: &netns,
    };
    let address: IpNetwork = address.parse().unwrap();
    record::keep::<Names>(pod, &[address], wanted)
}

/// Containers, and what is wanted for them, of records that are set aside.
fn left() -> Vec<(String, u32)> {
    let left = record::left::<Names>().unwrap().into_iter();
    left.map(|kept| (kept.record.container_id, kept.record.wanted))
        .collect()
}

/// What is wanted for the containers whose records count.
fn kept() -> Vec<(String, u32)> {
    let all = record::all::<Names>().unwrap().into_iter();
    all.map(|kept| (kept.record.container_id, kept.record.wanted))
        .collect()
}

fn one(wanted: &[u32]) -> Vec<(String, u32)> {
    wanted.iter().map(|&one| ("one".to_owned(), one)).collect()
}

/// The file of a record that counts.
fn file_of(container_id: &str) -> std::path::PathBuf {
    Path::new(RECORDS).join(identity("net", container_id).hash_pair())
}

fn forget_others(network: &str, valid: &[(&str, &str)]) {
    record::forget_others::<Names, cni::Error>(network, valid, |_| Ok(())).unwrap();
}

fn living() -> Vec<String> {
    let living = record::living::<Names>().unwrap().into_iter();
    living.map(|record| record.container_id).collect()
}

#[test]
fn without_records_there_is_nothing_to_do() {
    let Some(_world) = World::new() else { return };
    assert_eq!(living(), [] as [&str; 0]);
    assert!(record::restore::<Names>(Manner::Make).unwrap().is_empty());
    forget(identity("net", "one"));
    forget_others("net", &[]);
    assert_eq!(record::another::<Names>(identity("net", "one")), None);
}

#[test]
fn a_record_is_what_was_kept_last() {
    let Some(world) = World::new() else { return };
    let namespace = pod(&world, "net", "one", 1);
    keep("net", "one", 2);
    let all = record::all::<Names>().unwrap();
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!(one.record.identity(), identity("net", "one"));
    assert_eq!(one.record.namespace, namespace.id().unwrap());
    assert_eq!(
        (one.record.wanted, one.record.netns.as_str()),
        (2, "/run/netns/one")
    );
    assert_eq!(
        record::another::<Names>(identity("net", "two")).as_ref(),
        Some(&one.record)
    );
    assert_eq!(record::another::<Names>(identity("net", "one")), None);
    // What only the first one names is DEL's business as well.
    assert_eq!(left(), self::one(&[1]));
    keep("net", "one", 2);
    assert_eq!(done(), ["remove one [1]"]);
    forget(identity("net", "one"));
    assert_eq!((kept(), left()), (vec![], vec![]));
}

#[test]
fn what_del_cannot_remove_the_next_one_still_knows() {
    let Some(world) = World::new() else { return };
    let pair = identity("net", "one");
    pod(&world, "net", "one", 1);
    assert_eq!(fail_to_forget(pair), (vec![1], true));
    // It counts no longer: nobody may make the rules again meanwhile.
    assert!(!record::is_kept::<Names>(pair));
    assert_eq!(living(), [] as [&str; 0]);
    assert!(record::restore::<Names>(Manner::Make).unwrap().is_empty());
    assert_eq!(record::another::<Names>(identity("net", "two")), None);
    assert_eq!(left(), one(&[1]));
    // Whether an ADD came since that could not be remembered, nobody knows.
    assert_eq!(fail_to_forget(pair), (vec![1], false));
    forget(pair);
    assert_eq!(left(), []);
    assert_eq!(done(), [] as [&str; 0]);
}

#[test]
fn what_del_could_not_remove_goes_before_the_next_add_and_when_the_pod_is_gone() {
    let Some(world) = World::new() else { return };
    for (number, container) in (1..).zip(["again", "gone", "valid", "stale"]) {
        pod(&world, "net", container, number);
        fail_to_forget(identity("net", container));
    }
    keep("net", "again", 5);
    assert_eq!(done(), ["remove again [1]"]);
    NetNs::remove("/run/netns/gone").unwrap();
    record::restore::<Names>(Manner::Look).unwrap();
    assert_eq!(done(), [] as [&str; 0]);
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!(done(), ["remove gone [2]", "make again 5"]);
    forget_others("net", &[("again", "lo"), ("valid", "lo")]);
    assert_eq!(left(), [("valid".to_owned(), 3)]);
}

/// Its rules may be known by nothing else.
#[test]
fn the_record_of_a_pod_that_is_gone_stays_until_its_rules_are_gone() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    NetNs::remove("/run/netns/one").unwrap();
    assert_eq!(living(), [] as [&str; 0]);
    record::restore::<Names>(Manner::Look).unwrap();
    assert_eq!((kept(), done()), (one(&[1]), vec![]));
    stuck(&["one"]);
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!((kept(), left()), (vec![], one(&[1])));
    stuck(&[]);
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!((kept(), left()), (vec![], vec![]));
    assert_eq!(done(), ["remove one [1]", "remove one [1]"]);
}

/// A pod whose DEL failed again and again, and which was attached anew each time.
#[test]
fn nothing_that_is_aside_is_lost_to_what_is_set_aside_after_it() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    stuck(&["one"]);
    for number in 2..13 {
        fail_to_forget(identity("net", "one"));
        keep("net", "one", number);
    }
    let all: Vec<u32> = (1..13).collect();
    assert_eq!(fail_to_forget(identity("net", "one")), (all.clone(), true));
    assert_eq!(left(), one(&all));
    forget(identity("net", "one"));
    assert_eq!(fs::read_dir(RECORDS).unwrap().count(), 0);
}

#[test]
fn what_a_killed_add_left_half_written_goes_with_its_del() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    let pair = identity("net", "one").hash_pair();
    fs::write(Path::new(RECORDS).join(format!(".{pair}")), "{").unwrap();
    forget(identity("net", "one"));
    assert_eq!(fs::read_dir(RECORDS).unwrap().count(), 0);
}

#[test]
fn what_is_left_of_a_pod_that_is_there_again_is_its_own_dels_business() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    keep_at("net", "one", 2, "127.0.0.9/8");
    stuck(&["one"]);
    fail_to_forget(identity("net", "one"));
    keep("net", "one", 3);
    THERE.set(vec!["one".to_owned()]);
    stuck(&[]);
    done();
    // The record that is aside tells of a pod that does not live.
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!((kept(), left()), (one(&[3]), one(&[1, 2])));
    assert_eq!(done(), [] as [&str; 0]);
}

/// Somebody changes addresses, and a runtime counts the pod as valid.
#[test]
fn a_pod_without_its_addresses_keeps_the_rules_that_it_has() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    keep_at("net", "one", 2, "127.0.0.9/8");
    THERE.set(vec!["one".to_owned()]);
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!((kept(), living(), done()), (one(&[2]), vec![], vec![]));
    // Nobody makes them again.
    THERE.take();
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!(
        (kept(), done()),
        (vec![], vec!["remove one [1, 2]".to_owned()])
    );
}

#[test]
fn an_add_that_comes_while_the_rules_of_its_former_pod_go_has_its_own() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "returns", 1);
    keep_at("net", "returns", 2, "127.0.0.9/8");
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!(kept(), [("returns".to_owned(), 9)]);
    // The ADD removes what is left as well.
    assert_eq!(
        done(),
        [
            "remove returns [1, 2]",
            "remove returns [1, 2]",
            "make returns 9"
        ]
    );
}

#[test]
fn an_add_that_fails_leaves_what_was_remembered_before() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    let earlier = keep("net", "one", 2);
    assert!(earlier.is_some());
    earlier.come_back().unwrap();
    assert_eq!((kept(), left()), (one(&[1]), vec![]));
    assert_eq!(done(), ["make one 1"]);
    forget(identity("net", "one"));
    let earlier = keep("net", "one", 3);
    assert!(!earlier.is_some());
    earlier.come_back().unwrap();
    assert_eq!(kept(), []);
    assert_eq!(done(), [] as [&str; 0]);
    // Also where a DEL had failed before that.
    keep("net", "one", 4);
    fail_to_forget(identity("net", "one"));
    stuck(&["one"]);
    keep("net", "one", 5);
    stuck(&[]);
    keep("net", "one", 6).come_back().unwrap();
    assert_eq!((kept(), left()), (one(&[5]), vec![]));
}

/// Somebody else's directory is where the record is written.
#[test]
fn an_add_that_cannot_be_remembered_is_not_taken_for_the_one_before() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    let pair = identity("net", "one").hash_pair();
    fs::create_dir(Path::new(RECORDS).join(format!(".{pair}"))).unwrap();
    keep("net", "one", 2);
    assert_eq!((kept(), left()), (vec![], one(&[1])));
    assert_eq!(fail_to_forget(identity("net", "one")), (vec![1], false));
}

#[test]
fn what_is_no_record_is_told_of_and_stays() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    fs::write(file_of("one"), "{").unwrap();
    assert_eq!(fail_to_forget(identity("net", "one")), (vec![], false));
    forget(identity("net", "one"));
    let files = || fs::read_dir(RECORDS).unwrap().count();
    assert_eq!((kept(), left(), files()), (vec![], vec![], 1));
    // Nor does an ADD write over one.
    fs::write(file_of("one"), "{").unwrap();
    assert!(!keep("net", "one", 2).is_some());
    assert_eq!((kept(), files()), (one(&[2]), 3));
    assert_eq!(fail_to_forget(identity("net", "one")), (vec![2], false));
    forget(identity("net", "one"));
    forget_others("net", &[]);
    assert_eq!(files(), 2);
}

/// A directory that is none: every look fails, and says nothing about what is there.
#[test]
fn what_cannot_be_read_is_an_error() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    fs::rename(RECORDS, "/run/podwire/elsewhere").unwrap();
    fs::write(RECORDS, "").unwrap();
    let is_refused = |outcome: Result<(), cni::Error>| {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(RECORDS), "{error}");
    };
    let mut is_removed = [false; 2];
    is_refused(record::forget::<Names, _>(
        identity("net", "one"),
        |remembered| {
            is_removed[0] = !remembered.is_all;
            Ok(())
        },
    ));
    is_refused(record::forget_others::<Names, _>("net", &[], |_| {
        is_removed[1] = true;
        Ok(())
    }));
    assert_eq!(is_removed, [true; 2], "what is known goes all the same");
    assert!(record::all::<Names>().is_err() && record::living::<Names>().is_err());
    assert!(
        record::is_kept::<Names>(identity("net", "one")),
        "it may be"
    );
    assert_eq!(done(), [] as [&str; 0]);
}

#[test]
fn gc_forgets_the_others_of_its_network() {
    let Some(world) = World::new() else { return };
    for (network, container) in [("net", "a"), ("net", "b"), ("net2", "c")] {
        pod(&world, network, container, 0);
    }
    forget_others("net", &[("b", "lo")]);
    assert_eq!(living(), ["b", "c"]);
    forget_others("net", &[("b", "eth0")]);
    assert_eq!(living(), ["c"]);
}

#[test]
fn gc_forgets_what_it_has_removed_and_nothing_before() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    fail_to_forget(identity("net", "one"));
    keep("net", "one", 2);
    pod(&world, "net", "valid", 3);
    done();
    let valid = [("valid", "lo")];
    let mut told = Vec::new();
    let failed = record::forget_others::<Names, _>("net", &valid, |records| {
        told = records.iter().map(|record| record.wanted).collect();
        // Nobody makes rules again that are being removed.
        assert_eq!(living(), ["valid"]);
        Err(cni::Error::msg("no"))
    });
    assert_eq!((failed.unwrap_err().msg.as_str(), told), ("no", vec![2]));
    assert_eq!((living(), left()), (vec!["valid".to_owned()], one(&[2])));
    let half_written = format!(".{}", identity("net", "killed").hash_pair());
    fs::write(Path::new(RECORDS).join(half_written), "{").unwrap();
    forget_others("net", &valid);
    assert_eq!(fs::read_dir(RECORDS).unwrap().count(), 1);
}

#[test]
fn what_is_missing_is_made_and_only_that() {
    let Some(world) = World::new() else { return };
    for (number, container) in (1..).zip(["one", "refused", "two", "deleted"]) {
        pod(&world, "net", container, number);
    }
    THERE.set(vec!["two".to_owned()]);
    let told = |manner| -> Vec<(String, bool)> {
        let restored = record::restore::<Names>(manner).unwrap().into_iter();
        restored
            .map(|one| (one.record.container_id, one.outcome.is_ok()))
            .collect()
    };
    let named = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
        let names = names.iter();
        names.map(|(name, ok)| ((*name).to_owned(), *ok)).collect()
    };
    let missing = [("one", true), ("refused", true), ("deleted", true)];
    assert_eq!(told(Manner::Look), named(&missing));
    assert_eq!(done(), [] as [&str; 0]);
    let made = [("one", true), ("refused", false), ("deleted", true)];
    assert_eq!(told(Manner::Make), named(&made));
    // DEL has forgotten the record before it removed the rules, perhaps before these were made.
    assert_eq!(
        done(),
        [
            "make one 1",
            "make refused 2",
            "make deleted 4",
            "remove deleted [4]"
        ]
    );
    assert_eq!(told(Manner::Make), named(&[("refused", false)]));
    assert_eq!(living(), ["one", "refused", "two"]);
}

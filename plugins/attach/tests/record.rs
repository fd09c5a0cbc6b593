//! What is remembered of attachments, and who restores rules by it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;

use attach::{
    Identity,
    record::{self, Earlier, Manner, Pod, Record, Rules},
};
use ipnetwork::IpNetwork;
use kernel::{IfName, NetNs, testing::World};

thread_local! {
    /// What was done to the rules, in this order.
    static DONE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The rules that there are, by container.
    static THERE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn done() -> Vec<String> {
    DONE.take()
}

/// Rules that are names of containers. Those of `deleted` meet a DEL while they are being made,
/// those of `refused` cannot be made.
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

    fn remove(record: &Record<u32>) -> Result<(), cni::Error> {
        record::forget::<Self, _>(record.identity(), |_| {
            let done = format!("remove {} {}", record.container_id, record.wanted);
            DONE.with_borrow_mut(|all| all.push(done));
            THERE.with_borrow_mut(|there| there.retain(|one| *one != record.container_id));
            Ok(())
        })
    }
}

fn forget(identity: Identity<'_>) {
    record::forget::<Names, ()>(identity, |_| Ok(())).unwrap();
}

/// A DEL that cannot remove anything; what it was told to be remembered.
fn fail_to_forget(identity: Identity<'_>) -> Vec<u32> {
    let mut told = Vec::new();
    let failed = record::forget::<Names, _>(identity, |remembered| {
        told = remembered.iter().map(|record| record.wanted).collect();
        Err("no")
    });
    assert_eq!(failed, Err("no"));
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
    let netns = format!("/run/netns/{container_id}");
    let pod = Pod {
        identity: identity(network, container_id),
        netns: &netns,
    };
    let address: IpNetwork = "127.0.0.1/8".parse().unwrap();
    record::keep::<Names>(pod, &[address], wanted)
}

/// Containers, and what is wanted for them, of records that are set aside.
fn left() -> Vec<(String, u32)> {
    let left = record::left::<Names>().unwrap().into_iter();
    left.map(|kept| (kept.record.container_id, kept.record.wanted))
        .collect()
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
    record::forget_others::<Names>("net", &[]);
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
    forget(identity("net", "one"));
    assert_eq!(record::all::<Names>().unwrap(), []);
}

#[test]
fn what_del_cannot_remove_the_next_one_still_knows() {
    let Some(world) = World::new() else { return };
    let one = identity("net", "one");
    pod(&world, "net", "one", 1);
    assert_eq!(fail_to_forget(one), [1]);
    // It counts no longer: nobody may make the rules again meanwhile.
    assert!(!record::is_kept::<Names>(one));
    assert_eq!(living(), [] as [&str; 0]);
    assert!(record::restore::<Names>(Manner::Make).unwrap().is_empty());
    assert_eq!(record::another::<Names>(identity("net", "two")), None);
    assert_eq!(left(), [("one".to_owned(), 1)]);
    assert_eq!(fail_to_forget(one), [1]);
    let told = record::forget::<Names, _>(one, |remembered| match remembered {
        [record] if record.wanted == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!((told, left()), (Ok(()), vec![]));
    assert_eq!(done(), [] as [&str; 0]);
}

#[test]
fn what_del_could_not_remove_goes_before_the_next_add_and_when_the_pod_is_gone() {
    let Some(world) = World::new() else { return };
    for (number, container) in (1..).zip(["again", "gone", "valid", "stale"]) {
        pod(&world, "net", container, number);
        assert_eq!(fail_to_forget(identity("net", container)), [number]);
    }
    keep("net", "again", 5);
    assert_eq!(done(), ["remove again 1"]);
    NetNs::remove("/run/netns/gone").unwrap();
    record::restore::<Names>(Manner::Look).unwrap();
    assert_eq!(done(), [] as [&str; 0]);
    record::restore::<Names>(Manner::Make).unwrap();
    assert_eq!(done(), ["remove gone 2", "make again 5"]);
    record::forget_others::<Names>("net", &[("again", "lo"), ("valid", "lo")]);
    assert_eq!(left(), [("valid".to_owned(), 3)]);
}

#[test]
fn an_add_that_fails_leaves_what_was_remembered_before() {
    let Some(world) = World::new() else { return };
    pod(&world, "net", "one", 1);
    let before = record::of::<Names>(identity("net", "one"));
    let earlier = keep("net", "one", 2);
    earlier.come_back().unwrap();
    assert_eq!(record::of::<Names>(identity("net", "one")), before);
    assert_eq!(done(), ["make one 1"]);
    forget(identity("net", "one"));
    let earlier = keep("net", "one", 3);
    earlier.come_back().unwrap();
    assert_eq!(record::all::<Names>().unwrap(), []);
    assert_eq!(done(), [] as [&str; 0]);
}

#[test]
fn gc_forgets_the_others_of_its_network() {
    let Some(world) = World::new() else { return };
    for (network, container) in [("net", "a"), ("net", "b"), ("net2", "c")] {
        pod(&world, network, container, 0);
    }
    record::forget_others::<Names>("net", &[("b", "lo")]);
    assert_eq!(living(), ["b", "c"]);
    record::forget_others::<Names>("net", &[("b", "eth0")]);
    assert_eq!(living(), ["c"]);
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
            "remove deleted 4"
        ]
    );
    assert_eq!(told(Manner::Make), named(&[("refused", false)]));
    assert_eq!(living(), ["one", "refused", "two"]);
}

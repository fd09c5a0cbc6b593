//! What is in the store, and when it goes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::Place;
use common::saved::{Layer, saved};
use image::{Error, Limits, Origin, Progress};

/// Two images with a layer that both have, and one each.
fn two_images() -> Option<Place> {
    let place = Place::new(&[])?;
    let layer = |name: &str| Layer::default().directory("etc").file(name).bytes();
    for name in ["one", "two"] {
        let archive = saved(name, &[layer("etc/both"), layer(&format!("etc/{name}"))]);
        fs::write(place.path(name), archive).unwrap();
    }
    Some(place)
}

fn layers(place: &Place) -> usize {
    fs::read_dir(place.path("store/layers/sha256"))
        .unwrap()
        .count()
}

#[test]
fn a_layer_is_there_once_and_as_long_as_an_image_has_it() {
    let Some(place) = two_images() else { return };
    let one = place.load("one").unwrap();
    let two = place.load("two").unwrap();
    assert_eq!(one.layers[0], two.layers[0]);
    assert_eq!(layers(&place), 3);
    place.store.remove("docker.io/library/one:latest").unwrap();
    assert_eq!(layers(&place), 2);
    assert_eq!(place.store.find("two").unwrap(), two);
    place.store.remove("two").unwrap();
    assert_eq!(layers(&place), 0);
    assert_eq!(place.store.list().unwrap(), []);
}

#[test]
fn a_name_leads_to_the_image_that_was_loaded_last() {
    let Some(place) = two_images() else { return };
    let load = |file: &str| {
        let path = place.path(file);
        place
            .store
            .load(&path, Some("app:1"), &Limits::default())
            .unwrap()
    };
    load("one");
    let two = load("two");
    assert_eq!(place.store.find("app:1").unwrap(), two);
    assert_eq!(layers(&place), 2);
    let by_digest = format!("app@{}", two.digest);
    assert_eq!(place.store.find(&by_digest).unwrap(), two);
    let refused = place.store.find("app").unwrap_err().to_string();
    assert_eq!(refused, "there is no image app:latest: there are app:1");
    let other = format!("app@sha256:{}", "0".repeat(64));
    assert!(matches!(
        place.store.find(&other),
        Err(Error::Unknown { .. })
    ));
}

#[test]
fn an_empty_store_is_not_made_by_looking_at_it() {
    let Some(place) = Place::new(&[]) else { return };
    assert_eq!(place.store.list().unwrap(), []);
    for refused in [
        place.store.find("app").err(),
        place.store.remove("app").err(),
    ] {
        let refused = refused.unwrap().to_string();
        assert!(
            refused.contains("`lab image load FILE` loads one"),
            "{refused}"
        );
    }
    assert!(!place.path("store").exists());
}

#[test]
fn of_several_images_in_a_file_one_is_chosen() {
    let Some(place) = Place::new(&[]) else { return };
    let config = common::saved::configuration(&[]);
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": ["one:1"], "Layers": [] },
        { "Config": "config.json", "RepoTags": ["two:1", "two:2"], "Layers": [] },
    ]);
    let file = tar::EntryType::Regular;
    let archive = Layer::default()
        .add(file, b"config.json", b"", config.as_bytes())
        .add(file, b"manifest.json", b"", manifest.to_string().as_bytes());
    fs::write(place.path("several.tar"), archive.bytes()).unwrap();
    let refused = place.load("several.tar").unwrap_err().to_string();
    assert!(
        refused.ends_with("choose one by its name, one:1, two:1, two:2"),
        "{refused}"
    );
    let path = place.path("several.tar");
    let chosen = place
        .store
        .load(&path, Some("two:2"), &Limits::default())
        .unwrap();
    assert_eq!((chosen.name.as_str(), chosen.layers.len()), ("two:2", 0));
    assert_eq!(place.store.list().unwrap(), [chosen]);
}

#[test]
fn only_root_reaches_what_is_unpacked() {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(place) = two_images() else { return };
    place.load("one").unwrap();
    let mode = fs::metadata(place.path("store"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn what_a_killed_load_left_goes_with_the_next_one_or_a_removal() {
    let Some(place) = two_images() else { return };
    place.load("one").unwrap();
    let leave = || {
        fs::create_dir_all(place.path("store/new/1-0/layer-0/root/etc")).unwrap();
        fs::create_dir_all(place.path("store/layers/sha256/abc/root")).unwrap();
    };
    let assert_clean = |layers_left| {
        assert_eq!(layers(&place), layers_left);
        assert_eq!(fs::read_dir(place.path("store/new")).unwrap().count(), 0);
    };
    leave();
    place.load("two").unwrap();
    assert_clean(3);
    leave();
    place.store.remove("two").unwrap();
    assert_clean(2);
}

#[test]
fn a_load_that_is_ended_leaves_nothing() {
    let Some(place) = two_images() else { return };
    place.load("one").unwrap();
    let before: Vec<_> = place.stored().into_keys().collect();
    let mut last = Progress::default();
    let mut watcher = |progress: Progress| {
        last = progress;
        match progress.layer {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let (path, limits) = (place.path("two"), Limits::default());
    place
        .store
        .load_watched(Origin::Path(&path), None, &limits, &mut watcher)
        .unwrap_err();
    assert_eq!((last.layer, last.layers), (2, 2));
    let after: Vec<_> = place.stored().into_keys().collect();
    assert_eq!(after, before);
}

/// As of `lab image load <(COMMAND)`.
#[test]
fn an_archive_may_come_by_a_pipe() {
    let Some(place) = Place::new(&["mkfifo", "gzip"]) else {
        return;
    };
    let layer = Layer::default().file("file");
    let archive = saved("piped:1", &[layer.bytes()]);
    fs::write(place.path("archive"), archive).unwrap();
    place.run("mkfifo pipe");
    let pipe = place.path("pipe");
    let load = |writer: &str, limits: Limits| {
        std::thread::scope(|scope| {
            scope.spawn(|| place.run(writer));
            place.store.load(&pipe, None, &limits)
        })
    };
    let image = load("cat archive >pipe", Limits::default()).unwrap();
    assert_eq!(image.name, "piped:1");
    let stored = || place.stored().into_keys().collect::<Vec<_>>();
    let before = stored();
    let again = load("gzip <archive >pipe", Limits::default()).unwrap();
    assert_eq!((again, stored()), (image, before.clone()));
    let limits = Limits {
        bytes: 1 << 10,
        ..Limits::default()
    };
    let refused = load("cat archive >pipe || true", limits).unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("larger than 1024 bytes"), "{why}");
    // Nobody writes.
    let mut asked = 0;
    let mut watcher = |_| {
        asked += 1;
        match asked {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let ended =
        place
            .store
            .load_watched(Origin::Path(&pipe), None, &Limits::default(), &mut watcher);
    ended.unwrap_err();
    assert_eq!((asked, stored()), (3, before));
}

/// As of `lab image load -`: a socket, which nobody can open anew, and which does not wait; a file, from where it is.
#[test]
fn an_archive_may_be_open_already() {
    let Some(place) = Place::new(&["gzip"]) else {
        return;
    };
    let layer = Layer::default().file("file");
    let archive = saved("open:1", &[layer.bytes()]);
    let path = place.path("archive");
    fs::write(&path, &archive).unwrap();
    place.run("gzip -k archive; (echo; cat archive) >behind");
    let load = |file: &File| {
        let called = Path::new("standard input");
        let origin = Origin::Open { file, called };
        let mut watcher = |_| ControlFlow::Continue(());
        let limits = Limits::default();
        place
            .store
            .load_watched(origin, None, &limits, &mut watcher)
    };
    let (mut writer, reader) = UnixStream::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let image = thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&archive).unwrap());
        load(&File::from(OwnedFd::from(reader))).unwrap()
    });
    assert_eq!(image.name, "open:1");
    for (name, start) in [("archive", 0), ("archive.gz", 0), ("behind", 1)] {
        let mut file = File::open(place.path(name)).unwrap();
        file.seek(SeekFrom::Start(start)).unwrap();
        assert_eq!(load(&file).unwrap(), image, "{name}");
    }
    let refused = load(&File::open("/dev/null").unwrap()).unwrap_err();
    let said = refused.to_string();
    assert!(said.starts_with("standard input is no image: "), "{said}");
}

#[test]
fn a_load_that_fails_at_its_last_step_leaves_nothing() {
    let Some(place) = two_images() else { return };
    place.load("one").unwrap();
    // What is elsewhere cannot be renamed to.
    place.run("mount -t tmpfs tmpfs store/images");
    place.load("two").unwrap_err();
    assert_eq!(layers(&place), 0);
    place.run("umount store/images");
}

#[test]
fn loads_at_the_same_time_share_layers() {
    let Some(place) = two_images() else { return };
    thread::scope(|scope| {
        for file in ["one", "two", "one", "two"] {
            scope.spawn(|| place.load(file).unwrap());
        }
    });
    assert_eq!(layers(&place), 3);
    assert_eq!(fs::read_dir(place.path("store/new")).unwrap().count(), 0);
}

#[test]
fn no_layer_is_removed_that_a_load_counts_on() {
    let Some(place) = two_images() else { return };
    place.load("one").unwrap();
    thread::scope(|scope| {
        let mut removal = None;
        let mut watcher = |_| {
            removal.get_or_insert_with(|| {
                let removal = scope.spawn(|| place.store.remove("one").unwrap());
                thread::sleep(Duration::from_millis(100));
                removal
            });
            ControlFlow::Continue(())
        };
        let (path, limits) = (place.path("two"), Limits::default());
        place
            .store
            .load_watched(Origin::Path(&path), None, &limits, &mut watcher)
            .unwrap();
        removal.unwrap().join().unwrap();
    });
    let two = place.store.find("two").unwrap();
    assert!(two.layers.iter().all(|layer| layer.join("etc").is_dir()));
    assert!(place.store.find("one").is_err());
    assert!(Path::new(&two.layers[0]).join("etc/both").exists());
}

#[test]
fn a_record_that_cannot_be_read_keeps_no_other_image_from_anybody() {
    let Some(place) = two_images() else { return };
    let one = place.load("one").unwrap();
    let records = || fs::read_dir(place.path("store/images")).unwrap();
    let record = records().next().unwrap().unwrap().path();
    let whole = fs::read(&record).unwrap();
    for damage in [&b"{"[..], b"", &whole[..whole.len() / 2]] {
        fs::write(&record, damage).unwrap();
        let two = place.load("two").unwrap();
        assert_eq!(place.store.list().unwrap().len(), 1);
        assert_eq!(place.store.find("two").unwrap(), two);
        place.store.remove("two").unwrap();
        // They may be those of the damaged one.
        assert!(one.layers.iter().all(|layer| layer.exists()));
        let found = [
            place.store.find("one").unwrap_err(),
            place.store.damage().unwrap().remove(0),
        ];
        for error in found {
            let said = error.to_string();
            assert!(said.starts_with(record.to_str().unwrap()), "{said}");
            assert!(said.ends_with("remove this file, and load the image again"));
        }
    }
    // One under the name of another is none, too.
    let other = record.with_file_name(format!("{}.json", "0".repeat(64)));
    fs::write(&other, &whole).unwrap();
    assert_eq!(place.store.damage().unwrap().len(), 2);
    fs::remove_file(&other).unwrap();
    // Loading mends it, and it can be removed.
    place.load("one").unwrap();
    assert_eq!(place.store.list().unwrap(), [one]);
    fs::write(&record, b"{").unwrap();
    place.store.remove("one").unwrap();
    assert_eq!((records().count(), layers(&place)), (0, 0));
}

#[test]
fn more_layers_than_overlayfs_stacks_are_refused() {
    let Some(place) = Place::new(&[]) else { return };
    let layers_of = |number: usize| -> Vec<Vec<u8>> {
        (0..number)
            .map(|number| Layer::default().file(&format!("f{number}")).bytes())
            .collect()
    };
    fs::write(place.path("most"), saved("most", &layers_of(500))).unwrap();
    fs::write(place.path("more"), saved("more", &layers_of(501))).unwrap();
    assert_eq!(place.load("most").unwrap().layers.len(), 500);
    place.store.remove("most").unwrap();
    let refused = place.load("more").unwrap_err().to_string();
    assert!(
        refused.starts_with("the image has 501 layers, and overlayfs takes 500 at most"),
        "{refused}"
    );
    assert_eq!(layers(&place), 0);
}

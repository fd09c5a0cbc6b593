//! Archives that no tool writes: each is refused, and the store is as it was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use common::Place;
use common::saved::{Layer, configuration, digest, saved, saved_as};
use image::Limits;
use tar::EntryType;

/// The whole chain of an error.
fn words(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", words(source)));
    format!("{error}{}", source.unwrap_or_default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Loads what must be refused, beside an image that stays.
struct Refusing {
    place: Place,
    before: BTreeSet<PathBuf>,
}

impl Refusing {
    fn new() -> Option<Self> {
        let place = Place::new(&[])?;
        let good = saved(
            "good:1",
            &[Layer::default().directory("etc").file("etc/file").bytes()],
        );
        fs::write(place.path("good.tar"), good).unwrap();
        place.load("good.tar").unwrap();
        let before = place.stored().into_keys().collect();
        Some(Self { place, before })
    }

    fn refuse(&self, name: &str, archive: &[u8], limits: &Limits, expected: &str) {
        let path = self.place.path("bad.tar");
        fs::write(&path, archive).unwrap();
        let refused = self.place.store.load(&path, None, limits);
        let refused = refused.err().unwrap_or_else(|| panic!("{name} was loaded"));
        let refused = words(&refused);
        assert!(refused.contains(expected), "{name}: {refused}");
        let after: BTreeSet<PathBuf> = self.place.stored().into_keys().collect();
        assert_eq!(after, self.before, "{name}");
    }
}

#[test]
fn layers_that_lead_out_or_deceive_are_refused() {
    let Some(refusing) = Refusing::new() else {
        return;
    };
    let layer = Layer::default;
    let deep = "d/".repeat(300);
    let long = "n".repeat(2 << 20);
    let mut damaged = layer().file("etc/file").bytes();
    damaged[0] ^= 1;
    for (name, archive, expected) in [
        (
            "absolute",
            layer().file("/etc/passwd"),
            "/etc/passwd is absolute",
        ),
        (
            "dots",
            layer().file("../escaped"),
            "leads out of the image by \"..\"",
        ),
        (
            "dots within",
            layer().file("etc/../../escaped"),
            "leads out of the image",
        ),
        (
            "dots at the end",
            layer().directory("etc/.."),
            "leads out of the image",
        ),
        ("no name", layer().file(""), "without a name"),
        (
            "a link out",
            layer().symlink("up", "..").file("up/escaped"),
            "leads out of the image",
        ),
        (
            "a link out, further on",
            layer()
                .directory("a")
                .symlink("a/up", "../..")
                .file("a/up/escaped"),
            "a symbolic link on its way leads out",
        ),
        (
            "a circle",
            layer().symlink("a", "b").symlink("b", "a").file("a/file"),
            "too many symbolic links",
        ),
        (
            "a hard link out",
            layer().link("passwd", "../../etc/passwd"),
            "leads out of the image",
        ),
        (
            "a hard link to a path",
            layer().link("passwd", "/etc/passwd"),
            "is absolute",
        ),
        (
            "a hard link through a link",
            layer()
                .symlink("up", "../..")
                .link("passwd", "up/etc/passwd"),
            "leads out of the image",
        ),
        (
            "a hard link to nothing",
            layer().link("one", "other"),
            "links to other, which is not there",
        ),
        (
            "a hard link to itself",
            layer().file("one").link("one", "./one"),
            "links to itself",
        ),
        (
            "a hard link to a directory",
            layer().directory("one").link("two", "one"),
            "is a directory",
        ),
        (
            "below a file",
            layer().file("one").file("one/two"),
            "one is no directory",
        ),
        (
            "a name of two lines on the way",
            Layer::default().file("a\nb").file("a\nb/c"),
            "a\\nb is no directory",
        ),
        (
            "a mark of ..",
            layer().directory("etc").file("etc/.wh..."),
            "marks no name as removed",
        ),
        (
            "a mark of .",
            layer().file(".wh.."),
            "marks no name as removed",
        ),
        (
            "a mark of nothing",
            layer().file(".wh."),
            "marks no name as removed",
        ),
        (
            "overlayfs's mark",
            layer().add(EntryType::Char, b"file", b"", b""),
            "the device 0/0",
        ),
        (
            "overlayfs's attribute",
            layer()
                .record("SCHILY.xattr.trusted.overlay.redirect", "/../etc")
                .directory("etc"),
            "trusted.overlay.redirect is one of overlayfs's own",
        ),
        (
            "the root as a link",
            layer().symlink("./", "/etc"),
            "the root of the image is no directory",
        ),
        (
            "an unknown kind",
            layer().add(EntryType::new(b'V'), b"volume", b"", b""),
            "unknown kind 'V'",
        ),
        (
            "depth",
            layer().record("path", &deep).directory("short"),
            "deeper than 256",
        ),
        (
            "a zero byte",
            layer().record("path", "etc/pass\0wd").file("short"),
            "zero byte",
        ),
        (
            "a broken record",
            layer().records(b"99 path=x\n").file("short"),
            "no PAX record",
        ),
        (
            "a record without an end",
            layer().records(b"9 path=xyz").file("short"),
            "no PAX record",
        ),
        (
            "a size of words",
            layer().record("size", "-1").file("short"),
            "size is no number",
        ),
        (
            "a long name",
            layer().record("path", &long).file("short"),
            "longer than 1 MiB",
        ),
        (
            "two long descriptions",
            layer()
                .record("comment", &long[..900 << 10])
                .record("else", &long[..900 << 10])
                .file("short"),
            "longer than 1 MiB",
        ),
        (
            "two long descriptions of everything",
            layer()
                .globals("comment", &long[..900 << 10])
                .globals("else", &long[..900 << 10])
                .file("short"),
            "longer than 1 MiB",
        ),
        (
            "an owner",
            layer().record("uid", "4294967296").file("short"),
            "4294967296 is too large",
        ),
        (
            "runs that overlap",
            layer()
                .record("GNU.sparse.map", "0,8,4,4")
                .record("GNU.sparse.size", "100")
                .file("short"),
            "overlap",
        ),
        (
            "a size that is no file's",
            layer().record("size", "18446744073709551615").file("short"),
            "a member of 18446744073709551615 bytes",
        ),
        (
            "a description of nothing",
            layer().record("path", "etc/file"),
            "ends in the middle of a member",
        ),
        (
            "a size beyond the end",
            layer().sized(EntryType::Regular, b"short", b"", b"", 1 << 30),
            "ends in the middle of a member",
        ),
    ] {
        let archive = saved(
            "bad:1",
            &[layer().directory("usr").bytes(), archive.bytes()],
        );
        refusing.refuse(name, &archive, &Limits::default(), expected);
    }
    let archive = saved("bad:1", &[damaged]);
    refusing.refuse(
        "a damaged header",
        &archive,
        &Limits::default(),
        "checksum is wrong",
    );
}

#[test]
fn what_is_larger_than_it_may_be_is_refused_before_it_is_there() {
    let Some(refusing) = Refusing::new() else {
        return;
    };
    let limits = Limits {
        bytes: 1 << 20,
        entries: 50,
        ..Limits::default()
    };
    let zeros = vec![0; 2 << 20];
    let bomb = Layer::default()
        .add(EntryType::Regular, b"zeros", b"", &zeros)
        .bytes();
    let many = (0..60).fold(Layer::default(), |layer, each| {
        layer.file(&format!("file-{each}"))
    });
    let hole = Layer::default()
        .record("GNU.sparse.map", "0,8")
        .record("GNU.sparse.size", "1000000000000000")
        .file("hole");
    let half = Layer::default()
        .add(EntryType::Regular, b"zeros", b"", &zeros[..700 << 10])
        .bytes();
    let copy = Layer::default().link("copy", "zeros").bytes();
    let deep = Layer::default()
        .record("path", &"d/".repeat(60))
        .directory("short")
        .bytes();
    let small = Layer::default().file("small").bytes();
    let environment = format!("A={}", "a".repeat(2 << 20));
    let environment = configuration(&[digest(&small)]).replace("EMPTY=", &environment);
    let config = configuration(&[digest(&bomb)]);
    let packed = saved_as("bad:1", &[gzip(&bomb)], &config, "config.json");
    assert!(packed.len() < 100 << 10, "{}", packed.len());
    let unlimited = Limits::default();
    for (name, archive, limits, expected) in [
        (
            "a bomb in a layer",
            packed.clone(),
            limits,
            "larger than 1048576 bytes",
        ),
        (
            "a bomb around it",
            gzip(&saved("bad:1", &[bomb])),
            limits,
            "larger than 1048576 bytes",
        ),
        (
            "two halves",
            saved("bad:1", &[half.clone(), [half.clone(), zeros].concat()]),
            limits,
            "larger than",
        ),
        (
            "a copy of what is below",
            saved("bad:1", &[half, copy]),
            limits,
            "larger than 1048576 bytes",
        ),
        (
            "directories that no member describes",
            saved("bad:1", &[deep]),
            limits,
            "more than 50 files",
        ),
        (
            "a hole",
            saved("bad:1", &[hole.bytes()]),
            unlimited,
            "larger than 17179869184 bytes",
        ),
        (
            "many files",
            saved("bad:1", &[many.bytes()]),
            limits,
            "more than 50 files",
        ),
        (
            "a configuration that could not be read again",
            saved_as(
                "bad:1",
                std::slice::from_ref(&small),
                &environment,
                "c.json",
            ),
            unlimited,
            "the configuration of docker.io/library/bad:1: its environment and commands are larger than 1 MiB",
        ),
        (
            "an archive of members that no image has",
            Layer::default().directory("x").bytes()[..512].repeat((1 << 16) + 1),
            unlimited,
            "more than 65536 members",
        ),
    ] {
        refusing.refuse(name, &archive, &limits, expected);
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let Some(refusing) = Refusing::new() else {
        return;
    };
    let limits = Limits::default();
    let layer = Layer::default().directory("etc").file("etc/new").bytes();
    let other = Layer::default().directory("etc").file("etc/other").bytes();
    let good = saved("bad:1", std::slice::from_ref(&layer));
    let config = configuration(&[digest(&other)]);
    let wrong_layer = saved_as(
        "bad:1",
        std::slice::from_ref(&layer),
        &config,
        "config.json",
    );
    let named = format!("{}.json", &digest(b"another configuration")[7..]);
    let wrong_config = saved_as(
        "bad:1",
        std::slice::from_ref(&layer),
        &configuration(&[digest(&layer)]),
        &named,
    );
    let foreign = configuration(&[digest(&layer)]).replace("\"linux\"", "\"plan9\"");
    let packed = gzip(&layer);
    let short = saved_as(
        "bad:1",
        &[packed[..packed.len() - 9].to_vec()],
        &configuration(&[digest(&layer)]),
        "config.json",
    );
    for (name, archive, expected) in [
        ("a layer", wrong_layer, "unpacked, has the digest sha256:"),
        (
            "a configuration",
            wrong_config,
            "the configuration has the digest sha256:",
        ),
        (
            "no layer",
            saved_as("bad:1", &[], &configuration(&[digest(&layer)]), "c.json"),
            "names 0 layers",
        ),
        (
            "a platform",
            saved_as("bad:1", std::slice::from_ref(&layer), &foreign, "c.json"),
            "but for plan9/",
        ),
        (
            "cut in a layer",
            good[..1000].to_vec(),
            "ends in the middle of a member",
        ),
        (
            "cut before the manifest",
            good[..4096].to_vec(),
            "no image: neither oci-layout nor",
        ),
        ("a short stream", short, "layer 0/layer.tar"),
        (
            "no archive",
            b"#!/bin/sh\n".repeat(100),
            "is no image: no tar archive",
        ),
        (
            "nothing",
            Vec::new(),
            "neither oci-layout nor manifest.json",
        ),
        ("a name", saved("Bad", &[layer]), "is no name of an image"),
    ] {
        refusing.refuse(name, &archive, &limits, expected);
    }
}

#[test]
fn a_link_to_the_root_stays_within_the_image() {
    let Some(place) = Place::new(&[]) else { return };
    let inside = place.path("escaped");
    let target = inside.to_str().unwrap();
    let layer = Layer::default()
        .symlink("root", "/")
        .file(&format!("root{target}"))
        .symlink("there", target)
        .file("there");
    fs::write(place.path("image.tar"), saved("image", &[layer.bytes()])).unwrap();
    let image = place.load("image.tar").unwrap();
    assert!(!inside.exists());
    let content = fs::read_to_string(image.layers[0].join(target.trim_start_matches('/')));
    assert_eq!(content.unwrap(), "content\n");
    assert!(
        image.layers[0]
            .join("there")
            .symlink_metadata()
            .unwrap()
            .is_file()
    );
}

#[test]
fn a_link_under_a_directory_of_another_layer_leads_nowhere() {
    let Some(refusing) = Refusing::new() else {
        return;
    };
    let outside = refusing.place.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let link = Layer::default().symlink("etc", outside.to_str().unwrap());
    let directory = Layer::default().directory("etc");
    let archive = saved(
        "bad:1",
        &[link.bytes(), directory.link("stolen", "etc/secret").bytes()],
    );
    let expected = "links to etc/secret, which is not there";
    refusing.refuse("a link", &archive, &Limits::default(), expected);
}

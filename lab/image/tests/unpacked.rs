//! Images that umoci, skopeo and GNU tar made, unpacked by us, and as they must be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use common::saved::{Layer, configuration, digest, saved, saved_as};
use common::{Place, assert_same, tree};
use image::{ImageConfig, Limits};
use oci_spec::image::Arch;
use tar::EntryType;

#[test]
fn ten_layers_are_as_umoci_unpacks_them() {
    let Some(place) = Place::new(&["umoci", "setfattr"]) else {
        return;
    };
    place.run(include_str!("ten-layers.sh"));
    let image = place.load("oci").unwrap();
    assert_eq!(image.name, "oci:ten");
    assert_eq!(image.layers.len(), 10);
    let theirs = tree(&place.path("bundle/rootfs"));
    assert_same(&place.merged(&image), &theirs);
}

/// Names of every length, times, and holes, in a directory.
const FILES: &str = r#"
mkdir -p files/dir; cd files
n=$(printf 'n%.0s' $(seq 90)); m=$(printf 'm%.0s' $(seq 180))
mkdir -p dir/$n; echo name >dir/$n/short; echo old >dir/old; touch -d 1971-01-02 dir/old; ln dir/old hard; ln -s dir/old soft
chown 12:34 dir/old; chmod 6751 dir/old; mkfifo fifo; mknod null c 1 3
"#;

const LONG_FILES: &str = r#"
mkdir -p dir/$m/$m; echo name >dir/$m/$m/long; ln -s $m/$m/$m long
touch -d 2100-02-03 dir/$m/$m/long; chown 3000000:3000000 dir/$m/$m/long
truncate -s 2M hole; for at in $(seq 1 2 99); do echo $at | dd of=hole bs=8192 seek=$at conv=notrunc status=none; done
truncate -s 3M empty-hole; : >nothing
"#;

#[test]
fn every_format_of_gnu_tar_is_read() {
    let Some(place) = Place::new(&["umoci"]) else {
        return;
    };
    for (format, options) in [
        ("v7", ""),
        ("ustar", ""),
        ("oldgnu", "--sparse"),
        ("gnu", "--sparse"),
        ("pax", "--sparse"),
        ("pax", ""),
    ] {
        let has_long = !matches!(format, "v7" | "ustar");
        let more = if has_long { LONG_FILES } else { "" };
        // The oldest format has no devices, and no names longer than 99 bytes.
        let rest = if format == "v7" {
            "rm -r null fifo dir/$n"
        } else {
            ""
        };
        place.run(&format!(
            "rm -rf oci files; {FILES} {more} {rest}
             find . -newermt 2026-01-01 ! -type l -exec touch -d '2020-01-02 03:04:05' {{}} +
             find . -type l -exec touch -h -d '2020-01-02 03:04:05' {{}} +
             cd ..; umoci init --layout oci; umoci new --image oci:tar
             tar --format={format} {options} --numeric-owner -C files -cf layer.tar .
             umoci raw add-layer --image oci:tar layer.tar"
        ));
        let image = place.load("oci").unwrap();
        assert_same(&tree(&image.layers[0]), &tree(&place.path("files")));
    }
}

/// One image in every form that tools write it in.
const FORMS: &str = r#"
umoci init --layout oci
umoci new --image oci:1
umoci unpack --image oci:1 bundle
mkdir bundle/rootfs/etc; echo one >bundle/rootfs/etc/one
umoci repack --refresh-bundle --image oci:1 bundle
rm bundle/rootfs/etc/one; echo two >bundle/rootfs/etc/two
umoci repack --image oci:1 bundle
umoci config --image oci:1 --config.env A=b=c --config.entrypoint /bin/sh --config.cmd -c --config.cmd true \
    --config.workingdir /etc --config.user 12:34
copy="skopeo --insecure-policy copy --quiet oci:oci:1"
$copy docker-archive:docker.tar:example.org/app:1
$copy oci-archive:archive.tar:1
gzip -c archive.tar >archive.tar.gz
# As `docker save` writes it since version 25: a layout with a manifest.json, a tag for each name.
cp -r oci saved; cd saved
config=$(jq -r .config.digest blobs/sha256/$(jq -r '.manifests[0].digest' index.json | cut -d: -f2))
jq --arg config "$config" '[{Config: ($config | sub("sha256:"; "blobs/sha256/")), RepoTags: ["app:1"],
    Layers: [.layers[].digest | sub("sha256:"; "blobs/sha256/")]}]' \
    blobs/sha256/$(jq -r '.manifests[0].digest' index.json | cut -d: -f2) >manifest.json
cp index.json /run/world/index.json
jq '.manifests[0] as $one | .manifests = [("docker.io/library/app:1", "quay.io/app:2") as $name | $one
    | .annotations = {"io.containerd.image.name": $name, "org.opencontainers.image.ref.name": ($name | split(":")[1])}]' \
    /run/world/index.json >index.json
tar -cf ../saved.tar *
rm oci-layout index.json; tar -cf ../older.tar *
"#;

#[test]
fn every_form_of_an_image_has_the_same_layers() {
    let Some(place) = Place::new(&["umoci", "skopeo", "jq"]) else {
        return;
    };
    place.run(FORMS);
    let first = place.load("oci").unwrap();
    let config = ImageConfig {
        env: vec![("A".to_owned(), "b=c".to_owned())],
        entrypoint: vec!["/bin/sh".to_owned()],
        cmd: vec!["-c".to_owned(), "true".to_owned()],
        working_dir: Some("/etc".to_owned()),
        user: Some("12:34".to_owned()),
        stop_signal: None,
    };
    assert_eq!(first.config, config);
    let stored = place.stored();
    for (file, name) in [
        ("docker.tar", "example.org/app:1"),
        ("archive.tar", "archive:1"),
        ("archive.tar.gz", "archive:1"),
        ("saved.tar", "app:1"),
        ("older.tar", "app:1"),
    ] {
        let image = place.load(file).unwrap();
        assert_eq!(
            (image.name.as_str(), &image.layers),
            (name, &first.layers),
            "{file}"
        );
        assert_eq!((&image.config, image.size_bytes), (&config, 8), "{file}");
        assert_eq!(place.store.find(name).unwrap(), image);
    }
    let is_layer = |path: &&std::path::PathBuf| path.starts_with("layers");
    let after = place.stored();
    assert!(
        stored
            .keys()
            .filter(is_layer)
            .eq(after.keys().filter(is_layer))
    );
    let names: Vec<String> = place
        .store
        .list()
        .unwrap()
        .into_iter()
        .map(|image| image.name)
        .collect();
    assert_eq!(
        names,
        [
            "app:1",
            "archive:1",
            "example.org/app:1",
            "oci:1",
            "quay.io/app:2"
        ]
    );
}

#[test]
fn of_several_platforms_this_machines_is_taken() {
    let Some(place) = Place::new(&["umoci", "jq"]) else {
        return;
    };
    let own = Arch::default().to_string();
    // An index of two platforms in the layout's index, as builders of images write it.
    let wrapped = |platforms: &str| {
        format!(
            r#"rm -rf oci; umoci init --layout oci; umoci new --image oci:1
            cd oci; jq -c '.manifests[0] as $one | .manifests = [({platforms}) as $arch | $one | del(.annotations)
                | .platform = {{os: "linux", architecture: $arch}}]' index.json >inner
            hex=$(sha256sum inner | cut -d' ' -f1); mv inner blobs/sha256/$hex
            jq --arg hex $hex --argjson size $(stat -c %s blobs/sha256/$hex) '.manifests = [{{
                mediaType: "application/vnd.oci.image.index.v1+json", digest: ("sha256:" + $hex), size: $size,
                annotations: {{"org.opencontainers.image.ref.name": "example.org/many:1"}}}}]' index.json >new
            mv new index.json"#
        )
    };
    place.run(&wrapped(&format!(r#""mips64", "{own}", "unknown""#)));
    assert_eq!(place.load("oci").unwrap().name, "example.org/many:1");
    place.run(&wrapped(r#""mips64", "sparc64""#));
    let refused = place.load("oci").unwrap_err().to_string();
    let expected =
        format!("not for linux/{own}, which this machine is, but for linux/mips64, linux/sparc64");
    assert!(refused.contains(&expected), "{refused}");
}

#[test]
fn a_layer_that_depends_on_those_below_is_another_one_above_others() {
    let Some(place) = Place::new(&[]) else { return };
    // The archive describes none of its directories.
    let same = Layer::default().file("bin/file").bytes();
    let linked = Layer::default()
        .directory("usr")
        .directory("usr/bin")
        .symlink("bin", "usr/bin");
    let plain = Layer::default().directory("./").directory("bin");
    let alone = Layer::default().directory("srv").file("srv/file").bytes();
    let load = |name: &str, layers: &[Vec<u8>]| {
        fs::write(place.path(name), saved(name, layers)).unwrap();
        place.load(name).unwrap()
    };
    let linked = load("linked", &[linked.bytes(), same.clone(), alone.clone()]);
    let plain = load("plain", &[plain.bytes(), same.clone(), alone.clone()]);
    let lowest = load("lowest", &[same, alone]);
    for (image, expected) in [
        (&linked, "usr/bin/file"),
        (&plain, "bin/file"),
        (&lowest, "bin/file"),
    ] {
        let merged = place.merged(image);
        let files: Vec<_> = merged
            .keys()
            .filter(|path| path.ends_with("file"))
            .collect();
        let expected = [Path::new(expected), Path::new("srv/file")];
        let mut files: Vec<_> = files.into_iter().map(|path| path.as_path()).collect();
        files.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(files, expected, "{}", image.name);
    }
    // One that depends on nothing is there once, unless the image's root directory is described below it.
    assert_eq!(linked.layers[2], lowest.layers[1]);
    assert_ne!(plain.layers[2], lowest.layers[1]);
}

#[test]
fn what_is_hidden_is_not_asked() {
    let Some(place) = Place::new(&[]) else { return };
    let layer = Layer::default;
    let owned = layer()
        .directory("d")
        .record("uid", "7")
        .directory("d/sub")
        .file("d/sub/old");
    let used = layer().file("d/sub/new");
    for (name, above, owner) in [
        ("seen", vec![used.clone()], 7),
        (
            "opaque",
            vec![layer().file("d/.wh..wh..opq"), used.clone()],
            0,
        ),
        ("removed", vec![layer().file("d/.wh.sub"), used.clone()], 0),
        (
            "removed-with-all",
            vec![layer().file(".wh.d"), used.clone()],
            0,
        ),
        (
            "opaque-here",
            vec![layer().file("d/.wh..wh..opq").file("d/sub/new")],
            0,
        ),
        (
            "removed-here",
            vec![layer().file("d/.wh.sub").file("d/sub/new")],
            0,
        ),
        (
            "removed-with-all-here",
            vec![layer().file(".wh.d").file("d/sub/new")],
            0,
        ),
        (
            "all-opaque",
            vec![layer().file(".wh..wh..opq"), used.clone()],
            0,
        ),
        (
            "a-file",
            vec![
                layer().file("d/sub"),
                layer().file("d/.wh.sub"),
                used.clone(),
            ],
            0,
        ),
    ] {
        let layers = [vec![owned.clone()], above].concat();
        let layers: Vec<Vec<u8>> = layers.iter().map(Layer::bytes).collect();
        fs::write(place.path(name), saved(name, &layers)).unwrap();
        let image = place.load(name).unwrap();
        let top = image.layers.last().unwrap().join("d/sub");
        assert_eq!(fs::metadata(top).unwrap().uid(), owner, "{name}");
        let merged = place.merged(&image);
        let is_there = |path: &str| merged.contains_key(Path::new(path));
        assert!(is_there("d/sub/new"), "{name}");
        assert_eq!(is_there("d/sub/old"), owner == 7, "{name}");
    }
}

#[test]
fn each_part_of_a_layout_is_what_its_digest_says() {
    let Some(place) = Place::new(&["umoci", "jq"]) else {
        return;
    };
    place.run(
        "umoci init --layout oci; umoci new --image oci:1; mkdir files; echo file >files/file
         tar -C files -cf layer.tar .; umoci raw add-layer --image oci:1 layer.tar
         manifest=$(jq -r '.manifests[0].digest' oci/index.json | sed s,:,/,)
         ln -s oci/blobs/$manifest manifest
         ln -s oci/blobs/$(jq -r .config.digest manifest | sed s,:,/,) config
         ln -s oci/blobs/$(jq -r '.layers[0].digest' manifest | sed s,:,/,) layer",
    );
    for (part, expected) in [
        ("manifest", "the manifest sha256:"),
        ("config", "the configuration sha256:"),
        ("layer", "layer blobs/sha256/"),
    ] {
        // One byte more, which JSON does not mind; gzip has a member more.
        let more = if part == "layer" {
            "gzip -c /dev/null"
        } else {
            "echo"
        };
        place.run(&format!("cp {part} whole; {more} >>{part}"));
        let refused = place.load("oci").unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
        assert!(refused.contains(" has the digest sha256:"), "{refused}");
        place.run(&format!("cat whole >{part}"));
    }
    place.load("oci").unwrap();
}

#[test]
fn layers_that_are_links_and_layers_twice() {
    let Some(place) = Place::new(&[]) else { return };
    let layer = Layer::default().directory("etc/").file("etc/file").bytes();
    let between = Layer::default()
        .directory("etc/")
        .file("etc/.wh.file")
        .bytes();
    let diff_ids = [digest(&layer), digest(&between), digest(&layer)];
    let config = configuration(&diff_ids);
    let manifest = serde_json::json!([{
        "Config": "config.json", "RepoTags": null,
        "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"],
    }]);
    let archive = Layer::default()
        .symlink("3/layer.tar", "../1/layer.tar")
        .add(EntryType::Regular, b"1/layer.tar", b"", &layer)
        .add(EntryType::Regular, b"2/layer.tar", b"", &between)
        .add(EntryType::Regular, b"config.json", b"", config.as_bytes())
        .add(
            EntryType::Regular,
            b"manifest.json",
            b"",
            manifest.to_string().as_bytes(),
        );
    let path = place.path("links.tar");
    fs::write(&path, archive.bytes()).unwrap();
    let refused = place.load("links.tar").unwrap_err().to_string();
    assert!(
        refused.ends_with("does not say what its image is called: give it a name"),
        "{refused}"
    );
    let image = place
        .store
        .load(&path, Some("links"), &Limits::default())
        .unwrap();
    assert_eq!(image.name, "links:latest");
    // Overlayfs refuses a directory that stands twice among its layers.
    let merged = place.merged(&image);
    assert!(merged.contains_key(Path::new("etc/file")));
    let one = saved_as(
        "one",
        &[layer],
        &configuration(&diff_ids[..1]),
        "config.json",
    );
    fs::write(place.path("one.tar"), one).unwrap();
    assert_eq!(place.load("one.tar").unwrap().layers[0], image.layers[0]);
}

//! An image, made here of one program.

use std::fs;

use serde_json::json;
use sha2::{Digest, Sha256};

/// Its name.
pub(crate) const IMAGE: &str = "docker.io/podwire/busybox:test";

/// An image of one static program, which serves a page unless it is told otherwise, as `docker save` writes it.
pub(crate) fn image() -> Vec<u8> {
    let layer = layer();
    let diff_id = format!("sha256:{}", hex(&Sha256::digest(&layer)));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin"], "WorkingDir": "/",
            "Cmd": ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"],
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    add_file(
        &mut archive,
        "config.json",
        0o644,
        config.to_string().as_bytes(),
    );
    add_file(&mut archive, "layer.tar", 0o644, &layer);
    add_file(
        &mut archive,
        "manifest.json",
        0o644,
        manifest.to_string().as_bytes(),
    );
    archive.into_inner().unwrap()
}

fn layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin/", "dev/", "etc/", "proc/", "sys/", "tmp/", "www/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        layer
            .append_data(&mut header, directory, std::io::empty())
            .unwrap();
    }
    let busybox = fs::read("/usr/bin/busybox")
        .or_else(|_| fs::read("/bin/busybox"))
        .unwrap();
    add_file(&mut layer, "bin/busybox", 0o755, &busybox);
    add_file(&mut layer, "www/index.html", 0o644, b"a page\n");
    layer.into_inner().unwrap()
}

fn add_file(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

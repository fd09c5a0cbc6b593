//! Real runtimes attach containers with podwire's plugins alone: containerd by `ctr run --cni` and by
//! the socket that the kubelet uses, podman with the conflists that it writes itself.
//!
//! Each runs in a world of the test's own, in a PID namespace whose end takes every container along.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod cri;
mod ctr;
mod daemon;
mod groups;
mod image;
mod isolated;
mod netd_image;
mod podman;
#[path = "../common/readme.rs"]
mod readme;
mod sandboxes;

use std::fs;
use std::path::Path;

use command::{ok, program};

/// podwire, and nothing else, where runtimes look for plugins, and one network for them.
fn install(network: &str, conflist: &str) {
    sandbox::mount::tmpfs(Path::new("/opt"), "mode=0755").unwrap();
    let podwire = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("podwire");
    let install = program(&podwire)
        .args(["install", "--bin-dir", "/opt/cni/bin"])
        .output();
    ok(&install.unwrap(), "podwire install");
    fs::create_dir_all("/etc/cni/net.d").unwrap();
    let path = format!("/etc/cni/net.d/10-{network}.conflist");
    fs::write(path, conflist).unwrap();
}

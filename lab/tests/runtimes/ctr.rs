//! containerd starts containers of an image made here, `ctr run --cni` attaches them with podwire's
//! plugins, two of them talk, and when they end nothing of them is left.

use std::fs;
use std::path::Path;

use kernel::testing::World;

use crate::command::{ok, run};
use crate::daemon::Containerd;
use crate::image::image;
use crate::{groups, install, readme};

const NETWORK: &str = "podnet";

/// Addresses that host-local holds.
fn reservations() -> Vec<String> {
    let entries = fs::read_dir(Path::new("/var/lib/cni/networks").join(NETWORK));
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name.parse::<std::net::IpAddr>().is_ok());
    names.sort();
    names
}

fn ports_of_the_bridge() -> usize {
    fs::read_dir("/sys/class/net/cni0/brif").map_or(0, Iterator::count)
}

/// What a container gets of another's server. `ctr` loses what a short program prints now and then, so it is asked
/// again where it says nothing: no page is empty.
fn fetched(containerd: &Containerd, from: &str, url: &str) -> String {
    let fetch = |n| {
        let id = format!("fetch-{n}");
        let output = containerd.exec(from, &id, &["wget", "-q", "-O", "-", url]);
        ok(&output, "wget")
    };
    let mut pages = (0..10).map(fetch);
    pages.find(|page| !page.is_empty()).unwrap_or_default()
}

#[test]
fn containers_of_a_real_runtime_talk_and_leave_nothing() {
    let Some(world) = World::new() else { return };
    install("podnet", &readme::block("\"name\": \"podnet\""));
    let mut containerd = Containerd::start(&world);
    let archive = world.dir().join("image.tar");
    fs::write(&archive, image()).unwrap();
    containerd.run(&["image", "import", archive.to_str().unwrap()]);

    for name in ["web-1", "web-2"] {
        containerd.serve(name);
    }
    let addresses = ["web-1", "web-2"].map(|name| containerd.address(name));
    let mut reserved = addresses.to_vec();
    reserved.sort();
    assert_eq!(reservations(), reserved);
    assert_eq!(ports_of_the_bridge(), 2);
    for address in &addresses {
        assert!(
            run("nft list ruleset").contains(address.as_str()),
            "{address} is not masqueraded"
        );
    }
    for (from, to, address) in [
        ("web-1", "web-2", &addresses[1]),
        ("web-2", "web-1", &addresses[0]),
    ] {
        let url = format!("http://{address}/");
        assert_eq!(fetched(&containerd, from, &url), format!("{to}\n"));
    }

    for name in ["web-1", "web-2"] {
        containerd.run(&["task", "kill", "--signal", "SIGKILL", name]);
    }
    for ctr in std::mem::take(&mut containerd.serving) {
        let output = ctr.wait_with_output().unwrap();
        // The container's own status: 128 and SIGKILL.
        assert_eq!(output.status.code(), Some(137), "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "",
            "what DEL had to say"
        );
    }
    assert_eq!(reservations(), [] as [String; 0]);
    assert_eq!(ports_of_the_bridge(), 0);
    for address in &addresses {
        assert!(
            !run("nft list ruleset").contains(address.as_str()),
            "{address} is still masqueraded"
        );
    }
    assert_eq!(containerd.run(&["container", "ls", "--quiet"]), "");
    let cached: Vec<_> = fs::read_dir("/var/lib/cni/results")
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(cached.is_empty(), "{cached:?}");
    for group in groups::of(containerd.group()) {
        let left = fs::read_dir(&group).unwrap().flatten();
        assert!(
            !left.map(|entry| entry.path()).any(|path| path.is_dir()),
            "{}",
            group.display()
        );
    }
}

//! `--network`, as Docker users know it.

use anyhow::{Result, bail};
use manifest::{FIRST_NETWORK, NETWORKS, NO_NETWORK};

/// The node's network in the place of one of its own.
const HOST: &str = "host";

/// Has a pod ask for networks: a mode (`host`, `none`) alone, or names, of which the first is `eth0`, and the others
/// `net1`, `net2` and so on. Without any it has the lab's.
///
/// # Errors
/// A mode is not alone; a name is one of another form of Docker's.
pub fn ask(pod: &mut manifest::Pod, networks: &[String]) -> Result<()> {
    let is_mode = |name: &&String| [HOST, NO_NETWORK].contains(&name.as_str());
    if let Some(mode) = networks.iter().find(is_mode)
        && networks.len() > 1
    {
        bail!("--network {mode} stands alone: leave it or the others out");
    }
    for name in networks {
        if name.is_empty() || name.contains([':', '=', ',', '/', '@']) {
            bail!(
                "--network {name:?}: give host, none, or the name of a network, of which `lab network ls` has a list"
            );
        }
    }
    match networks {
        [] => {}
        [mode] if mode == HOST => pod.spec.host_network = true,
        [first, further @ ..] => {
            let annotations = &mut pod.metadata.annotations;
            annotations.insert(FIRST_NETWORK.to_owned(), first.clone());
            if !further.is_empty() {
                annotations.insert(NETWORKS.to_owned(), further.join(","));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn flags_ask_for_what_manifests_ask_for() {
        let asked = |networks: &[&str]| -> Result<manifest::Pod, String> {
            let networks: Vec<String> = networks.iter().map(|&name| name.to_owned()).collect();
            let mut pod = manifest::Pod::default();
            ask(&mut pod, &networks).map_err(|error| error.to_string())?;
            Ok(pod)
        };
        assert_eq!(asked(&[]).unwrap(), manifest::Pod::default());
        let host = asked(&["host"]).unwrap();
        assert!(host.spec.host_network && host.metadata.annotations.is_empty());
        let annotations = |networks: &[&str]| {
            let pod = asked(networks).unwrap();
            let found =
                [FIRST_NETWORK, NETWORKS].map(|name| pod.metadata.annotations.get(name).cloned());
            found.map(Option::unwrap_or_default)
        };
        assert_eq!(annotations(&["none"]), ["none", ""]);
        assert_eq!(annotations(&["a", "b", "a"]), ["a", "b,a"]);
        for (networks, words) in [
            (&["a", "host"][..], "--network host stands alone"),
            (&["none", "none"], "--network none stands alone"),
            (&["container:web"], "\"container:web\""),
            (&["a,b"], "\"a,b\""),
            (&[""], "\"\""),
        ] {
            let error = asked(networks).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}

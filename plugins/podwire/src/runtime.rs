//! Calling a network's plugins as the runtime does that attached a pod.

use std::path::{Path, PathBuf};

use cni::runtime::{CachedAttachment, RuntimeConf};

/// Where plugins usually are.
const USUAL: &str = "/opt/cni/bin";

/// Directories of plugins: those that are named, then the running executable's and the usual one.
pub(crate) fn bin_dirs(mut named: Vec<PathBuf>) -> Vec<PathBuf> {
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    named.extend(own);
    named.push(PathBuf::from(USUAL));
    named
}

/// What the runtime said of a pod that it has cached, but for the namespace: its path may lead to another
/// pod's by now.
pub(crate) fn conf_of(cached: &CachedAttachment, bin_dirs: &[PathBuf]) -> RuntimeConf {
    // `<cache>/results/<file>`
    let cache_dir = cached.path.ancestors().nth(2).map(Path::to_owned);
    RuntimeConf {
        container_id: cached.container_id.clone(),
        ifname: cached.ifname.clone(),
        args: cached.args.clone(),
        capability_args: cached.capability_args.clone(),
        cache_dir: cache_dir.unwrap_or_default(),
        ..without_namespace(bin_dirs)
    }
}

/// A call that tells of no namespace.
pub(crate) fn without_namespace(bin_dirs: &[PathBuf]) -> RuntimeConf {
    RuntimeConf {
        netns: String::new(),
        cni_path: bin_dirs.to_vec(),
        ..RuntimeConf::default()
    }
}

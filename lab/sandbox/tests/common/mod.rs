//! What several tests of sandboxes need.

use kernel::testing::{World, skipped};

/// A world for what the kernel does for the machine's own root alone, not for that of a user namespace: devices,
/// `/proc` without a PID namespace, other users. `None` where the test cannot run.
pub(crate) fn world_of_root() -> Option<World> {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    if map.split_whitespace().ne(["0", "0", "4294967295"]) {
        skipped("needs the machine's root: a user namespace is not enough");
        return None;
    }
    World::new()
}

//! What an interface plugin's ADD that fails, panics or is killed leaves of links, addresses, routes
//! and reservations; how it is ended is [`crate::steps`].

use cni::Plugin;

use crate::{
    Host, portrait,
    steps::{ABORT, add, every_failure_is_taken_back},
    with_prev_result,
};

/// ADD fails, and panics, after each of its steps, of which there are more than `fewest`: host, pod
/// and reservations are as before each time.
pub fn leaves_everything_as_it_was<P: Plugin + Default + 'static>(
    host: &Host<P>,
    config: &str,
    fewest: u32,
) {
    every_failure_is_taken_back(host, config, fewest, state);
}

/// ADD is killed after each of its steps: DEL makes it as before, and the next ADD works.
pub fn leaves_what_del_removes<P: Plugin + Default + 'static>(host: &Host<P>, config: &str) {
    let before = state();
    let mut step = 1;
    loop {
        let (status, stdout) = add(host, config, ABORT, step);
        let finished = status.success();
        assert_eq!(finished, stdout.contains("interfaces"), "{stdout}");
        host.succeed("DEL", config);
        assert_eq!(state(), before, "killed after step {step}");
        let added = with_prev_result(config, &host.add(config));
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        if finished {
            return;
        }
        step += 1;
    }
}

/// Links, addresses and routes of host and pod, and reservations.
pub fn state() -> String {
    portrait::network(None) + &portrait::network(Some("pod")) + &reservations()
}

/// Who holds which address.
pub fn reservations() -> String {
    let files = portrait::files();
    files
        .lines()
        .filter(|line| line.contains("\\r\\n"))
        .map(|line| format!("{line}\n"))
        .collect()
}

//! Files that are none: a plugin must not wait for, nor read without end from, what a
//! configuration names.

use crate::cases::{prelude::*, sight::*};

const SPECIAL: Case = Case {
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    ..COMPAT
};

/// The file is left out, and the address given.
const IGNORED: &[Fault] = &[Fault::ExitZero, Fault::Config("/ipam/resolvConf", "")];

/// ADD with this resolvConf fails, names it and reserves nothing.
fn refuses_file(bench: &mut Bench, path: &str) -> Result<(), Failure> {
    bench.pod("pod")?;
    let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": path });
    let config = with(bench, json!({ "ipam": ipam }));
    // Little memory, so that a plugin that reads on for ever ends before the machine does.
    let call = bench.call("ADD", &config);
    let call = call.through(&["sh", "-c", "ulimit -v 4000000; exec \"$0\""]);
    complains(&call.reply()?, &[path])?;
    nothing_left(bench)
}

submit!(Case {
    id: "special-file/resolv-conf/01",
    rule: "A resolvConf that is a FIFO fails ADD, which names it, whoever writes into it.",
    faults: IGNORED,
    run: |bench| {
        // Somebody waits to write, so that nobody who opens it hangs.
        let fifo = "mkfifo /run/fifo; (exec 3>/run/fifo) </dev/null >/dev/null 2>&1 &";
        bench.run("sh", &["-c", fifo])?;
        refuses_file(bench, "/run/fifo")
    },
    ..SPECIAL
});

submit!(Case {
    id: "special-file/resolv-conf/02",
    rule: "A resolvConf that is a device without end fails ADD, which names it.",
    faults: IGNORED,
    run: |bench| refuses_file(bench, "/dev/zero"),
    ..SPECIAL
});

submit!(Case {
    id: "special-file/resolv-conf/03",
    rule: "A resolvConf that is a directory fails ADD, which names it.",
    faults: IGNORED,
    run: |bench| refuses_file(bench, "/run/netns"),
    ..SPECIAL
});

//! STATUS where ADD would fail: for want of what the configuration names, of the kernel, of rights.

use crate::cases::{links::master, prelude::*, sight};
use crate::world;

const UNREADY: Case = Case {
    level: Level::Should,
    source: "Section 2, STATUS",
    versions: NEWEST,
    ..CASE
};

/// Answers yes for no, and no for yes.
const CONTRARY: Fault = Fault::Instead("STATUS", r#""$REAL" >/dev/null && exit 1; exit 0"#);

/// The kind of link that a plugin makes, where a kernel may lack it.
fn kind_of(plugin: &str) -> Option<&'static str> {
    Some(match plugin {
        "macvlan" => "link:macvlan",
        "ipvlan" => "link:ipvlan",
        "vlan" => "link:vlan",
        "dummy" => "link:dummy",
        "vrf" => "link:vrf",
        "tap" => "link:tap",
        "bandwidth" => "link:ifb",
        _ => return None,
    })
}

fn kernel_lacks(plugin: &str) -> bool {
    kind_of(plugin).is_some_and(|kind| world::lacking(&[kind]).is_some())
}

/// STATUS succeeds where the kernel has what the plugin makes, else it answers code 50.
fn depends_on_the_kernel(bench: &mut Bench, config: &Value) -> Result<(), Failure> {
    let reply = status(bench, config)?;
    match kernel_lacks(bench.plugin.name) {
        true => reply.fails_with(50).map(drop),
        false => reply.succeeds_silently(),
    }
}

/// What is missing, and how it comes.
struct Want {
    /// The configuration, changed so that it needs it.
    changes: Value,
    /// Takes it away, a shell script.
    without: &'static str,
    /// Brings it.
    with: &'static str,
    /// A word that the error must say.
    word: &'static str,
}

/// What the ADD of a plugin wants of the node.
fn wanted_by(plugin: &str) -> Want {
    match plugin {
        "tap" => Want {
            changes: json!({}),
            without: "[ ! -e /dev/net ] || mount -t tmpfs tmpfs /dev/net",
            with: "! mountpoint -q /dev/net || umount /dev/net",
            word: "/dev/net/tun",
        },
        "tuning" => Want {
            changes: json!({ "dataDir": "/run/kept" }),
            without: "touch /run/kept",
            with: "rm /run/kept",
            word: "/run/kept",
        },
        "host-device" => Want {
            changes: json!({ "device": null, "pciBusID": "0000:00:05.0" }),
            without: "mount -t tmpfs tmpfs /sys/bus",
            with: "mkdir -p /sys/bus/pci/drivers/e1000 /sys/bus/pci/devices/0000:00:05.0/net/dev0; \
                ln -s /sys/bus/pci/drivers/e1000 /sys/bus/pci/devices/0000:00:05.0/driver; \
                ip link add dev0 type veth peer name dev1",
            word: "0000:00:05.0",
        },
        // macvlan, ipvlan, vlan
        _ => Want {
            changes: json!({ "master": "m0" }),
            without: "true",
            with: "ip link add m0 up type veth peer name m1 && ip link set m1 up",
            word: "m0",
        },
    }
}

submit!(Case {
    id: "spec/status/unready/01",
    rule: "STATUS answers code 50, and names it, while something of the node's is not there that ADD needs, and no longer when it is there.",
    judges: Judges::Only(&["macvlan", "ipvlan", "vlan", "host-device", "tap", "tuning"]),
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::Code(7)),
        Fault::On("STATUS", &Fault::Error("/msg", "no")),
        Fault::On("STATUS", &Fault::PlainError)
    ],
    run: |bench| {
        let want = wanted_by(bench.plugin.name);
        let config = sight::with(bench, want.changes);
        bench.run("sh", &["-ec", want.without])?;
        let reply = status(bench, &config)?;
        reply.fails_with(50)?;
        sight::complains(&reply, &[want.word])?;
        bench.run("sh", &["-ec", want.with])?;
        depends_on_the_kernel(bench, &config)
    },
    ..UNREADY
});

submit!(Case {
    id: "spec/status/unready/02",
    rule: "STATUS answers code 50 where the kernel has no links of the kind that ADD makes, and succeeds where it has.",
    judges: Judges::Only(&[
        "macvlan",
        "ipvlan",
        "vlan",
        "dummy",
        "vrf",
        "tap",
        "bandwidth"
    ]),
    faults: &[CONTRARY],
    run: |bench| {
        master(bench)?;
        let config = bench.config();
        depends_on_the_kernel(bench, &config)
    },
    ..UNREADY
});

/// The rights that a plugin needs to work in other namespaces.
const WITHOUT_RIGHTS: &[&str] = &["setpriv", "--bounding-set=-net_admin,-sys_admin"];

submit!(Case {
    id: "spec/status/unready/03",
    rule: "STATUS of a plugin that may not change networks, as every ADD of it does, answers code 50.",
    judges: Judges::Only(&[
        "bridge",
        "ptp",
        "loopback",
        "macvlan",
        "ipvlan",
        "vlan",
        "host-device",
        "dummy",
        "tap",
        "vrf",
        "bandwidth",
        "portmap",
        "firewall",
        "tuning",
        "sbr"
    ]),
    needs: &["setpriv"],
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::Code(7)),
        Fault::On("STATUS", &Fault::PlainError)
    ],
    run: |bench| {
        master(bench)?;
        let config = bench.config();
        depends_on_the_kernel(bench, &config)?;
        let call = of_no_attachment(bench, "STATUS", &config).through(WITHOUT_RIGHTS);
        call.reply()?.fails_with(50).map(drop)
    },
    ..UNREADY
});

submit!(Case {
    id: "spec/status/unready/04",
    rule: "STATUS answers code 50 while the program is not there that the configured backend needs.",
    judges: Judges::Only(&["portmap", "firewall"]),
    needs: &["iptables"],
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::Code(7)),
        Fault::Env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    ],
    run: |bench| {
        let config = sight::with(bench, json!({ "backend": "iptables" }));
        status(bench, &config)?.succeeds_silently()?;
        let call = of_no_attachment(bench, "STATUS", &config).env("PATH", "/nowhere");
        call.reply()?.fails_with(50).map(drop)
    },
    ..UNREADY
});

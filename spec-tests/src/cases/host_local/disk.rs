//! host-local: what lies on disk, and that it serves a store of another's making.

use crate::cases::{
    host_local::{HOST_LOCAL, add_for, del_for, given, with_ranges},
    prelude::*,
    sight::*,
};

/// A file in the store as another plugin or an older release wrote it.
fn store(bench: &mut Bench, name: &str, content: &str) -> Result<(), Failure> {
    bench.run("mkdir", &["-p", RESERVATIONS])?;
    Ok(bench.write(&format!("{RESERVATIONS}/{name}"), content)?)
}

fn stored(name: &str) -> String {
    text(&format!("{RESERVATIONS}/{name}"))
}

fn mode(bench: &mut Bench, path: &str) -> Result<String, Failure> {
    let mode = bench.watch("stat", &["--format", "%a", path])?;
    Ok(mode.trim().to_owned())
}

submit!(Case {
    id: "host-local/disk/01",
    rule: "A reservation is a file named by the address with container, CR LF, interface.",
    faults: &[Fault::After(
        "ADD",
        "echo ctr1 > /var/lib/cni/networks/suite/10.88.0.2"
    )],
    run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        expect("content", &"a\r\neth0".to_owned(), &stored("10.88.0.2"))
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/02",
    rule: "last_reserved_ip.0 holds the address given last, without a newline.",
    faults: &[Fault::After(
        "ADD",
        "echo >> /var/lib/cni/networks/suite/last_reserved_ip.0"
    )],
    run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        expect(
            "content",
            &"10.88.0.2".to_owned(),
            &stored("last_reserved_ip.0"),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/03",
    rule: "An IPv6 reservation is a file named by the address in its short form.",
    faults: &[Fault::After(
        "ADD",
        "cd /var/lib/cni/networks/suite; mv 2001:db8::2 2001:db8:0:0:0:0:0:2"
    )],
    run: |bench| {
        let config = with(bench, json!({ "ipam": six() }));
        bench.add(&config)?;
        expect(
            "content",
            &"ctr1\r\neth0".to_owned(),
            &stored("2001:db8::2"),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/04",
    rule: "Each range set has a last_reserved_ip of its own, numbered in order.",
    faults: &[Fault::After(
        "ADD",
        "rm /var/lib/cni/networks/suite/last_reserved_ip.1"
    )],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        bench.add(&config)?;
        let seen = [stored("last_reserved_ip.0"), stored("last_reserved_ip.1")];
        expect(
            "last reserved",
            &list(&["10.88.0.2", "2001:db8::2"]),
            &seen.to_vec(),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/05",
    rule: "dataDir holds the network's directory instead of /var/lib/cni/networks.",
    faults: &[Fault::Config("/ipam/dataDir", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "dataDir": "/run/leases" } }),
        );
        bench.add(&config)?;
        expect(
            "content",
            &"ctr1\r\neth0".to_owned(),
            &text("/run/leases/suite/10.88.0.2"),
        )?;
        expect("files in the usual place", &list(&[]), &files(RESERVATIONS))
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/06",
    rule: "DEL with a dataDir releases there.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "dataDir": "/run/leases" } }),
        );
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let mut left = files("/run/leases/suite");
        left.retain(|name| name.starts_with("10."));
        expect("reservations", &list(&[]), &left)
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/07",
    rule: "The network's directory may be read by all users.",
    faults: &[Fault::After("ADD", "chmod 700 /var/lib/cni/networks/suite")],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        expect(
            "mode of the directory",
            &"755".to_owned(),
            &mode(bench, RESERVATIONS)?,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/08",
    rule: "Networks do not share reservations.",
    faults: &[Fault::Config("/name", "suite")],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        let other = with(bench, json!({ "name": "other" }));
        expect(
            "address",
            &list(&["10.88.0.2/24"]),
            &given(&bench.add(&other)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/09",
    rule: "The file 'lock' stays in the directory: other users of the store lock it.",
    faults: &[Fault::After("ADD", "rm /var/lib/cni/networks/suite/lock")],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        expect(
            "files",
            &list(&["10.88.0.2", "last_reserved_ip.0", "lock"]),
            &files(RESERVATIONS),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/disk/10",
    rule: "ADD waits while another process holds an exclusive lock on 'lock'.",
    needs: &["flock"],
    faults: &[Fault::Before(
        "ADD",
        "rm -f /var/lib/cni/networks/suite/lock"
    )],
    run: |bench| {
        let config = bench.config();
        store(bench, "lock", "")?;
        // The holder writes last_reserved_ip just before it lets go.
        let hold = "exec 9>/var/lib/cni/networks/suite/lock; flock 9; (sleep 0.3; \
            printf 10.88.0.90 > /var/lib/cni/networks/suite/last_reserved_ip.0) >/dev/null 2>&1 &";
        bench.run("sh", &["-c", hold])?;
        expect(
            "address",
            &list(&["10.88.0.91/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/01",
    rule: "An address that another plugin's file holds is not handed out.",
    faults: &[Fault::Before(
        "ADD",
        "rm /var/lib/cni/networks/suite/10.88.0.2"
    )],
    run: |bench| {
        let config = bench.config();
        store(bench, "10.88.0.2", "other\r\neth0")?;
        expect(
            "address",
            &list(&["10.88.0.3/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/02",
    rule: "The search starts behind the last reserved address that the store names.",
    faults: &[Fault::Before(
        "ADD",
        "rm /var/lib/cni/networks/suite/last_reserved_ip.0"
    )],
    run: |bench| {
        let config = bench.config();
        store(bench, "last_reserved_ip.0", "10.88.0.40")?;
        expect(
            "address",
            &list(&["10.88.0.41/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/03",
    rule: "A last reserved address that cannot be read or lies outside the range means the start.",
    faults: &[
        Fault::Before(
            "ADD",
            "printf 10.88.0.40 > /var/lib/cni/networks/suite/last_reserved_ip.0"
        ),
        Fault::ExitOne
    ],
    run: |bench| {
        let config = bench.config();
        for (container, last) in [("a", "zzz"), ("b", "10.99.0.9"), ("c", "")] {
            store(bench, "last_reserved_ip.0", last)?;
            let got = add_for(bench, container, &config)?;
            expect(
                &format!("address behind {last:?}"),
                &list(&["10.88.0.2/24"]),
                &got,
            )?;
            del_for(bench, container, &config)?;
        }
        Ok(())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/04",
    rule: "DEL releases a reservation of an old release, whose file holds the container alone.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let config = bench.config();
        store(bench, "10.88.0.30", "ctr1\n")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/05",
    rule: "ADD of a container that an old release's file names is refused as a duplicate.",
    faults: &[
        Fault::Before("ADD", "rm /var/lib/cni/networks/suite/10.88.0.30"),
        Fault::ExitZero
    ],
    run: |bench| {
        let config = bench.config();
        store(bench, "10.88.0.30", "ctr1\n")?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["10.88.0.30 has been allocated to ctr1"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/06",
    rule: "DEL leaves an old release's file alone when a file of this interface was released.",
    faults: &[Fault::After(
        "DEL",
        "rm -f /var/lib/cni/networks/suite/10.88.0.30"
    )],
    run: |bench| {
        let config = bench.config();
        store(bench, "10.88.0.30", "ctr1\n")?;
        store(bench, "10.88.0.31", "ctr1\r\neth0")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&["10.88.0.30"]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/07",
    rule: "CHECK accepts a reservation that another plugin's file of the same form holds.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::ExitOne,
        Fault::Before("CHECK", "rm /var/lib/cni/networks/suite/10.88.0.31")
    ],
    run: |bench| {
        store(bench, "10.88.0.31", "ctr1\r\neth0")?;
        let config = with(
            bench,
            json!({ "prevResult": {
            "cniVersion": bench.version.as_str(),
            "ips": [{ "address": "10.88.0.31/24", "version": "4" }] } }),
        );
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/08",
    rule: "DEL of one interface leaves the container's other interfaces alone.",
    faults: &[Fault::After(
        "DEL",
        "rm -f /var/lib/cni/networks/suite/10.*"
    )],
    run: |bench| {
        let config = bench.config();
        store(bench, "10.88.0.31", "ctr1\r\neth0")?;
        store(bench, "10.88.0.32", "ctr1\r\nnet1")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&["10.88.0.32"]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/09",
    rule: "A container whose name begins with another's is not taken for it.",
    faults: &[Fault::After(
        "DEL",
        "rm -f /var/lib/cni/networks/suite/10.*"
    )],
    run: |bench| {
        let config = bench.config();
        store(bench, "10.88.0.31", "ctr11\r\neth0")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&["10.88.0.31"]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/store/10",
    rule: "A foreign file in the directory stops neither ADD nor DEL and stays.",
    faults: &[
        Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/README"),
        Fault::ExitOne
    ],
    run: |bench| {
        let config = bench.config();
        store(bench, "README", "hands off")?;
        expect(
            "address",
            &list(&["10.88.0.2/24"]),
            &given(&bench.add(&config)?),
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("content", &"hands off".to_owned(), &stored("README"))
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/del/01",
    rule: "DEL frees the container's address and no other.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/10.88.0.*")
    ],
    run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        add_for(bench, "b", &config)?;
        del_for(bench, "a", &config)?;
        expect("reservations", &list(&["10.88.0.3"]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/del/02",
    rule: "DEL frees the addresses of every range set.",
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::After("DEL", "touch /var/lib/cni/networks/suite/2001:db8::2")
    ],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        bench.add(&config)?;
        expect(
            "while it lives",
            &list(&["10.88.0.2", "2001:db8::2"]),
            &reserved(),
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/del/03",
    rule: "DEL succeeds again, and without an ADD before it.",
    faults: &[Fault::Once("DEL"), Fault::ExitOne],
    run: |bench| {
        let config = bench.config();
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/del/04",
    rule: "DEL needs no namespace.",
    faults: &[Fault::Skip("DEL"), Fault::ExitOne],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        bench
            .call("DEL", &config)
            .unset("CNI_NETNS")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/del/05",
    rule: "DEL keeps last_reserved_ip.",
    faults: &[Fault::After(
        "DEL",
        "rm /var/lib/cni/networks/suite/last_reserved_ip.0"
    )],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "content",
            &"10.88.0.2".to_owned(),
            &stored("last_reserved_ip.0"),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/del/06",
    rule: "DEL releases also when the runtime does not hand over ipRanges again.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "touch /var/lib/cni/networks/suite/10.91.0.2")
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({
                "ipam": { "type": "host-local" },
                "runtimeConfig": { "ipRanges": [[{ "subnet": "10.91.0.0/24" }]] },
            }),
        );
        bench.add(&config)?;
        let config = with(bench, json!({ "ipam": { "type": "host-local" } }));
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

/// The reference plugin passes over what it cannot read.
const NAMES_WHAT_IT_CANNOT_READ: Fault = Fault::Instead(
    "DEL",
    r#""$REAL" || exit
for file in /var/lib/cni/networks/suite/*; do
    cat "$file" >/dev/null && continue
    printf '{"code": 999, "msg": "cannot read %s"}' "$file"
    exit 1
done"#,
);

submit!(Case {
    id: "host-local/del/07",
    rule: "DEL that cannot read the reservation of an address of the result frees the others, and then fails and names it; when it can be read again, DEL frees it.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::On("DEL", &Fault::ExitZero),
        Fault::Fail("DEL"),
        Fault::Error("/msg", "cannot read a reservation"),
        Fault::After(
            "DEL",
            "umount /var/lib/cni/networks/suite/10.88.0.2 && rm /var/lib/cni/networks/suite/10.88.0.2"
        )
    ],
    repairs: &[NAMES_WHAT_IT_CANNOT_READ],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        let result = bench.add(&config)?;
        let config = after_add(&config, &result);
        let file = format!("{RESERVATIONS}/10.88.0.2");
        // Reading the memory of a process at its beginning fails with EIO, as a bad disk does.
        bench.run("mount", &["--bind", "/proc/1/mem", &file])?;
        let reply = bench.call("DEL", &config).reply()?;
        complains(&reply, &["10.88.0.2"])?;
        expect("reservations", &list(&["10.88.0.2"]), &reserved())?;
        bench.run("umount", &[&file])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations then", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/check/01",
    rule: "CHECK fails when the reservation is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = bench.config();
        let result = bench.add(&config)?;
        let config = after_add(&config, &result);
        check_finds(
            bench,
            &config,
            &["rm", "/var/lib/cni/networks/suite/10.88.0.2"],
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/check/02",
    rule: "CHECK fails when the address belongs to another container.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = bench.config();
        let result = bench.add(&config)?;
        let config = after_add(&config, &result);
        check_finds(
            bench,
            &config,
            &[
                "sh",
                "-c",
                "printf 'x\\r\\neth0' > /var/lib/cni/networks/suite/10.88.0.2",
            ],
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/concurrency/01",
    rule: "Sixteen ADDs at once get sixteen different addresses.",
    faults: &[Fault::After(
        "ADD",
        "rm -f /var/lib/cni/networks/suite/10.*"
    )],
    run: |bench| {
        let config = bench.config();
        let got = all_at_once(bench, &config, 16)?;
        let mut different = got.clone();
        different.dedup();
        expect("addresses", &16, &got.len())?;
        expect("different addresses", &got, &different)?;
        expect("reservations", &16, &reserved().len())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/concurrency/02",
    rule: "Eight ADDs at once fill a range of eight addresses to the last one.",
    faults: &[Fault::Config("/ipam/ranges/0/0/gateway", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[
                { "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.1", "rangeEnd": "10.88.0.8", "gateway": "10.88.0.100" }
            ]]),
        );
        let got = all_at_once(bench, &config, 8)?;
        let all: Vec<_> = (1..9).map(|last| format!("10.88.0.{last}/24")).collect();
        expect("addresses", &all, &got)
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/concurrency/03",
    rule: "Sixteen dual-stack ADDs at once get different addresses of both families.",
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::After("ADD", "rm -f /var/lib/cni/networks/suite/2001*")
    ],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        all_at_once(bench, &config, 16)?;
        expect("reservations", &32, &reserved().len())
    },
    ..HOST_LOCAL
});

/// ADDs of that many containers at the same time; their addresses, sorted.
fn all_at_once(bench: &mut Bench, config: &Value, many: usize) -> Result<Vec<String>, Failure> {
    bench.write("/run/config", &config.to_string())?;
    let (path, plugin) = (bench.plugin_dir.display().to_string(), bench.plugin.name);
    let script = format!(
        "for n in $(seq {many}); do CNI_COMMAND=ADD CNI_CONTAINERID=c$n CNI_NETNS=/run/netns/c$n CNI_IFNAME=eth0 \
         CNI_PATH={path} {path}/{plugin} < /run/config > /run/result$n & done; wait"
    );
    bench.run("sh", &["-c", &script])?;
    let mut got = Vec::new();
    for number in 1..=many {
        let said = text(&format!("/run/result{number}"));
        let result = serde_json::from_str(&said)
            .map_err(|error| Failure::new(error, "a result of every ADD", &said))?;
        got.extend(given(&result));
    }
    got.sort_by_key(|address| (address.len(), address.clone()));
    Ok(got)
}

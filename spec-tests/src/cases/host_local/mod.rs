//! host-local: which addresses are handed out, in which order, and on request.

mod config;
mod disk;

use crate::cases::{prelude::*, sight::*};

pub(in crate::cases) const HOST_LOCAL: Case = Case {
    judges: Judges::Only(&["host-local"]),
    ..COMPAT
};

/// ADD for a container; the addresses it got.
pub(in crate::cases) fn add_for(
    bench: &mut Bench,
    container: &str,
    config: &Value,
) -> Result<Vec<String>, Failure> {
    let call = bench.call("ADD", config).env("CNI_CONTAINERID", container);
    Ok(given(&call.reply()?.result()?))
}

pub(in crate::cases) fn del_for(
    bench: &mut Bench,
    container: &str,
    config: &Value,
) -> Result<(), Failure> {
    let call = bench.call("DEL", config).env("CNI_CONTAINERID", container);
    call.reply()?.succeeds_silently()
}

/// Addresses of a result, in its order.
pub(in crate::cases) fn given(result: &Value) -> Vec<String> {
    let of = |ip: &Value| Some(ip["address"].as_str()?.to_owned());
    result["ips"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(of)
        .collect()
}

fn gateways(result: &Value) -> Vec<String> {
    let of = |ip: &Value| Some(ip["gateway"].as_str()?.to_owned());
    result["ips"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(of)
        .collect()
}

pub(in crate::cases) fn with_ranges(bench: &Bench, ranges: Value) -> Value {
    with(
        bench,
        json!({ "ipam": { "type": "host-local", "ranges": ranges } }),
    )
}

/// Containers `c0`, `c1`, … get these addresses one behind the other.
fn hands_out(bench: &mut Bench, config: &Value, expected: &[&str]) -> Result<(), Failure> {
    for (number, address) in expected.iter().enumerate() {
        let container = format!("c{number}");
        let got = add_for(bench, &container, config)?;
        expect(&format!("address of {container}"), &list(&[address]), &got)?;
    }
    Ok(())
}

/// ADD with requested addresses in `runtimeConfig.ips`.
fn asking(bench: &Bench, ipam: Value, ips: &[&str]) -> Value {
    with(
        bench,
        json!({ "ipam": ipam, "runtimeConfig": { "ips": ips } }),
    )
}

submit!(Case {
    id: "host-local/order/01",
    rule: "The first address is the one behind the gateway, the next is the one behind it.",
    faults: &[Fault::Result("/ips/0/address", "10.88.0.9/24")],
    run: |bench| {
        let config = bench.config();
        hands_out(
            bench,
            &config,
            &["10.88.0.2/24", "10.88.0.3/24", "10.88.0.4/24"],
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/order/02",
    rule: "A freed address is not handed out again before the range has been gone through.",
    faults: &[Fault::After(
        "DEL",
        "rm /var/lib/cni/networks/suite/last_reserved_ip.0"
    )],
    run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        del_for(bench, "a", &config)?;
        expect(
            "next",
            &list(&["10.88.0.3/24"]),
            &add_for(bench, "b", &config)?,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/order/03",
    rule: "Behind the last address of the range the search goes on at its start.",
    faults: &[Fault::Config("/ipam/ranges/0/0/rangeEnd", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[{ "subnet": "10.88.0.0/24", "rangeEnd": "10.88.0.3" }]]),
        );
        hands_out(bench, &config, &["10.88.0.2/24", "10.88.0.3/24"])?;
        del_for(bench, "c0", &config)?;
        expect(
            "next",
            &list(&["10.88.0.2/24"]),
            &add_for(bench, "z", &config)?,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/order/04",
    rule: "The ranges of a set are used one behind the other; a full first one leads to the second.",
    faults: &[Fault::Config("/ipam/ranges/0/1", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[
                { "subnet": "10.88.0.0/30" }, { "subnet": "10.89.0.0/24" }
            ]]),
        );
        hands_out(
            bench,
            &config,
            &["10.88.0.2/30", "10.89.0.2/24", "10.89.0.3/24"],
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/order/05",
    rule: "IPv6 addresses are handed out upward as IPv4 ones are.",
    faults: &[Fault::Before(
        "ADD",
        "mkdir -p /var/lib/cni/networks/suite; \
                                    printf 2001:db8::40 > /var/lib/cni/networks/suite/last_reserved_ip.0"
    )],
    run: |bench| {
        let config = with_ranges(bench, json!([[{ "subnet": "2001:db8::/64" }]]));
        hands_out(bench, &config, &["2001:db8::2/64", "2001:db8::3/64"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dual/01",
    rule: "One address is given for each range set, in order.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::Config("/ipam/ranges/1", "")],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        let got = given(&bench.add(&config)?);
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::2/64"]),
            &got,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dual/02",
    rule: "Each range set has its own gateway in the result.",
    faults: &[Fault::Result("/ips/1/gateway", "")],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        let seen = gateways(&bench.add(&config)?);
        expect("gateways", &list(&["10.88.0.1", "2001:db8::1"]), &seen)
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dual/03",
    rule: "Two range sets of one family give two addresses.",
    faults: &[Fault::Config("/ipam/ranges/1", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": host_local(&["10.88.0.0/24", "10.89.0.0/24"]) }),
        );
        let got = given(&bench.add(&config)?);
        expect("addresses", &list(&["10.88.0.2/24", "10.89.0.2/24"]), &got)
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dual/04",
    rule: "Before 0.3.0 two range sets of one family are refused.",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_2_0],
    faults: &[Fault::ExitZero, Fault::Config("/ipam/ranges/1", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": host_local(&["10.88.0.0/24", "10.89.0.0/24"]) }),
        );
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["does not support more than 1 address per family"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dual/05",
    rule: "When a later range set fails, what the earlier ones gave is released.",
    faults: &[
        Fault::ExitZero,
        Fault::After(
            "ADD",
            "printf 'ctr1\\r\\neth0' > /var/lib/cni/networks/suite/10.88.0.2"
        ),
    ],
    run: |bench| {
        let config = asking(bench, dual(), &["2001:db8::1"]);
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["failed to allocate for range 1"])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/gateway/01",
    rule: "Without a configured gateway it is the network address plus one, also for IPv6.",
    faults: &[Fault::Result("/ips/0/gateway", "10.88.0.254")],
    run: |bench| {
        let config = with(bench, json!({ "ipam": dual() }));
        let result = bench.add(&config)?;
        expect(
            "gateways",
            &list(&["10.88.0.1", "2001:db8::1"]),
            &gateways(&result),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/gateway/02",
    rule: "A configured gateway is the one in the result.",
    faults: &[Fault::Config("/ipam/ranges/0/0/gateway", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[{ "subnet": "10.88.0.0/24", "gateway": "10.88.0.254" }]]),
        );
        let result = bench.add(&config)?;
        expect("gateways", &list(&["10.88.0.254"]), &gateways(&result))
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/gateway/03",
    rule: "With another gateway the network address plus one is handed out like any other.",
    faults: &[Fault::Config("/ipam/ranges/0/0/gateway", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[{ "subnet": "10.88.0.0/24", "gateway": "10.88.0.254" }]]),
        );
        hands_out(bench, &config, &["10.88.0.1/24", "10.88.0.2/24"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/gateway/04",
    rule: "The gateway's address is left out wherever it lies in the range.",
    faults: &[Fault::Config("/ipam/ranges/0/0/gateway", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[
                { "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.10", "gateway": "10.88.0.11" }
            ]]),
        );
        hands_out(bench, &config, &["10.88.0.10/24", "10.88.0.12/24"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/gateway/05",
    rule: "A gateway outside the subnet is accepted and reported.",
    faults: &[Fault::Config("/ipam/ranges/0/0/gateway", "")],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[{ "subnet": "10.88.0.0/24", "gateway": "192.0.2.1" }]]),
        );
        let result = bench.add(&config)?;
        expect("gateways", &list(&["192.0.2.1"]), &gateways(&result))
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/01",
    rule: "rangeStart is the first address, rangeEnd the last one handed out.",
    faults: &[
        Fault::Config("/ipam/rangeStart", ""),
        Fault::Config("/ipam/rangeEnd", "")
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24",
            "rangeStart": "10.88.0.50", "rangeEnd": "10.88.0.51" } }),
        );
        hands_out(bench, &config, &["10.88.0.50/24", "10.88.0.51/24"])?;
        let full = bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", "third")
            .reply()?;
        complains(&full, &["10.88.0.50-10.88.0.51"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/02",
    rule: "rangeStart and rangeEnd bound an IPv6 range as well.",
    faults: &[
        Fault::Config("/ipam/ranges/0/0/rangeStart", ""),
        Fault::Config("/ipam/ranges/0/0/rangeEnd", "")
    ],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[
                { "subnet": "2001:db8::/64", "rangeStart": "2001:db8::50", "rangeEnd": "2001:db8::50" }
            ]]),
        );
        hands_out(bench, &config, &["2001:db8::50/64"])?;
        let full = bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", "second")
            .reply()?;
        complains(&full, &["2001:db8::50-2001:db8::50"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/03",
    rule: "A /30 has one address to give.",
    faults: &[
        Fault::Config("/ipam/ranges/0/0/gateway", ""),
        Fault::ExitZero
    ],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[{ "subnet": "10.88.0.0/30", "gateway": "10.88.0.2" }]]),
        );
        hands_out(bench, &config, &["10.88.0.1/30"])?;
        let full = bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", "second")
            .reply()?;
        complains(&full, &["no IP addresses available"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/04",
    rule: "The last address of an IPv6 subnet is handed out, since IPv6 has no broadcast address.",
    faults: &[Fault::Result("/ips/0/address", "2001:db8::2/126")],
    run: |bench| {
        let config = with_ranges(bench, json!([[{ "subnet": "2001:db8::/126" }]]));
        hands_out(bench, &config, &["2001:db8::2/126", "2001:db8::3/126"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/05",
    rule: "An address carries the prefix length of its subnet.",
    faults: &[Fault::Result("/ips/0/address", "10.88.0.2/32")],
    run: |bench| {
        let config = with_ranges(bench, json!([[{ "subnet": "10.88.0.0/20" }]]));
        hands_out(bench, &config, &["10.88.0.2/20"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/06",
    rule: "The inline subnet stands before 'ranges', runtimeConfig.ipRanges before both.",
    faults: &[
        Fault::Config("/runtimeConfig", ""),
        Fault::Config("/ipam/subnet", "")
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({
                "ipam": { "type": "host-local", "subnet": "10.89.0.0/24", "ranges": [[{ "subnet": "10.90.0.0/24" }]] },
                "runtimeConfig": { "ipRanges": [[{ "subnet": "10.88.0.0/24" }]] },
            }),
        );
        let got = given(&bench.add(&config)?);
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "10.89.0.2/24", "10.90.0.2/24"]),
            &got,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/range/07",
    rule: "runtimeConfig.ipRanges alone is enough.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({
                "ipam": { "type": "host-local" },
                "runtimeConfig": { "ipRanges": [[{ "subnet": "10.91.0.0/24" }]] },
            }),
        );
        expect(
            "address",
            &list(&["10.91.0.2/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/full/01",
    rule: "A full range fails with a message that names it.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "full")],
    run: |bench| {
        let config = with_ranges(bench, json!([[{ "subnet": "10.88.0.0/30" }]]));
        add_for(bench, "a", &config)?;
        let reply = bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", "b")
            .reply()?;
        complains(
            &reply,
            &[
                "no IP addresses available in range set",
                "10.88.0.1-10.88.0.2",
            ],
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/full/02",
    rule: "A full set of two ranges names both.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "no IP addresses available: 10.88.0.1-10.88.0.2")
    ],
    run: |bench| {
        let config = with_ranges(
            bench,
            json!([[{ "subnet": "10.88.0.0/30" }, { "subnet": "10.89.0.0/30" }]]),
        );
        hands_out(bench, &config, &["10.88.0.2/30", "10.89.0.2/30"])?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["10.88.0.1-10.88.0.2", "10.89.0.1-10.89.0.2"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/full/03",
    rule: "A DEL makes room in a full range.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let config = with_ranges(bench, json!([[{ "subnet": "10.88.0.0/30" }]]));
        add_for(bench, "a", &config)?;
        del_for(bench, "a", &config)?;
        expect(
            "address",
            &list(&["10.88.0.2/30"]),
            &add_for(bench, "b", &config)?,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/same/01",
    rule: "A second ADD of the same container and interface is refused and names the address it holds.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "rm -f /var/lib/cni/networks/suite/10.88.0.2")
    ],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        let again = bench.call("ADD", &config).reply()?;
        complains(
            &again,
            &[
                "10.88.0.2 has been allocated to ctr1",
                "duplicate allocation is not allowed",
            ],
        )?;
        expect("reservations", &list(&["10.88.0.2"]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/same/02",
    rule: "A second interface of the same container gets an address of its own.",
    faults: &[Fault::Env("CNI_IFNAME", "eth0")],
    run: |bench| {
        let config = bench.config();
        bench.add(&config)?;
        let second = bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .result()?;
        expect("address", &list(&["10.88.0.3/24"]), &given(&second))
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/01",
    rule: "CNI_ARGS IP asks for an address.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.77")
            .reply()?;
        expect(
            "address",
            &list(&["10.88.0.77/24"]),
            &given(&reply.result()?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/02",
    rule: "An address that is taken is refused to another container.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "rm -f /var/lib/cni/networks/suite/10.88.0.77")
    ],
    run: |bench| {
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.77")
            .reply()?
            .succeeds()?;
        let again = bench.call("ADD", &config).env("CNI_ARGS", "IP=10.88.0.77");
        let reply = again.env("CNI_CONTAINERID", "other").reply()?;
        complains(
            &reply,
            &["requested IP address 10.88.0.77 is not available"],
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/03",
    rule: "args.cni.ips asks for an address; a prefix length behind it does not matter.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "args": { "cni": { "ips": ["10.88.0.50/8"] } } }),
        );
        expect(
            "address",
            &list(&["10.88.0.50/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/04",
    rule: "runtimeConfig.ips asks for an address.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = with(bench, json!({ "runtimeConfig": { "ips": ["10.88.0.50"] } }));
        expect(
            "address",
            &list(&["10.88.0.50/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/05",
    rule: "One requested address for each family of a dual-stack network is given.",
    faults: &[
        Fault::Config("/runtimeConfig/ips/1", ""),
        Fault::Config("/runtimeConfig/ips/0", "")
    ],
    run: |bench| {
        let config = asking(bench, dual(), &["2001:db8::77", "10.88.0.77"]);
        let got = given(&bench.add(&config)?);
        expect(
            "addresses",
            &list(&["10.88.0.77/24", "2001:db8::77/64"]),
            &got,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/06",
    rule: "A family without a requested address allocates freely.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = asking(bench, dual(), &["2001:db8::77"]);
        let got = given(&bench.add(&config)?);
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::77/64"]),
            &got,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/07",
    rule: "An IPv6 address may be requested in any spelling.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = asking(bench, six(), &["2001:0DB8:0:0:0:0:0:0050"]);
        let got = given(&bench.add(&config)?);
        expect("addresses", &list(&["2001:db8::50/64"]), &got)?;
        expect("reservations", &list(&["2001:db8::50"]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/08",
    rule: "A requested address in no range is refused by name and nothing stays reserved.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/runtimeConfig", ""),
        Fault::Error("/msg", "no"),
        Fault::After("ADD", "touch /var/lib/cni/networks/suite/10.88.0.2")
    ],
    run: |bench| {
        let config = with(bench, json!({ "runtimeConfig": { "ips": ["172.16.0.1"] } }));
        let reply = bench.call("ADD", &config).reply()?;
        complains(
            &reply,
            &["failed to allocate all requested IPs", "172.16.0.1"],
        )?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/09",
    rule: "The gateway's address is refused when requested.",
    faults: &[Fault::ExitZero, Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = with(bench, json!({ "runtimeConfig": { "ips": ["10.88.0.1"] } }));
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["10.88.0.1", "gateway"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/10",
    rule: "A requested address becomes the last reserved one: the next free search starts behind it.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.77")
            .reply()?
            .succeeds()?;
        expect(
            "next",
            &list(&["10.88.0.78/24"]),
            &add_for(bench, "b", &config)?,
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/11",
    rule: "The sources add up: CNI_ARGS asks in one range set, runtimeConfig in the other.",
    faults: &[
        Fault::Env("CNI_ARGS", ""),
        Fault::Config("/runtimeConfig", "")
    ],
    run: |bench| {
        let config = asking(bench, dual(), &["2001:db8::77"]);
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.50")
            .reply()?;
        expect(
            "addresses",
            &list(&["10.88.0.50/24", "2001:db8::77/64"]),
            &given(&reply.result()?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/12",
    rule: "A requested address that is no address is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/runtimeConfig", ""),
        Fault::Error("/msg", "no")
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({ "runtimeConfig": { "ips": ["10.88.0.777"] } }),
        );
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["10.88.0.777"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/requested/13",
    rule: "An IPv4-mapped IPv6 address asks for the IPv4 address.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "runtimeConfig": { "ips": ["::ffff:10.88.0.50"] } }),
        );
        expect(
            "address",
            &list(&["10.88.0.50/24"]),
            &given(&bench.add(&config)?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/args/01",
    rule: "CNI_ARGS with a key that is not known is refused without IgnoreUnknown.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "K8S_POD_NAME=x")
            .reply()?;
        complains(&reply, &["unknown args", "K8S_POD_NAME=x"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/args/02",
    rule: "With IgnoreUnknown=1 keys that are not known are passed over and IP is still heard.",
    faults: &[
        Fault::Env("CNI_ARGS", "K8S_POD_NAME=x"),
        Fault::Env("CNI_ARGS", "")
    ],
    run: |bench| {
        let config = bench.config();
        let args = "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.88.0.9";
        let reply = bench.call("ADD", &config).env("CNI_ARGS", args).reply()?;
        expect(
            "address",
            &list(&["10.88.0.9/24"]),
            &given(&reply.result()?),
        )
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/routes/01",
    rule: "Configured routes are in the result with all their fields.",
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Result("/routes/1/gw", "")
    ],
    run: |bench| {
        let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "10.5.0.0/16", "gw": "10.88.0.9" }, { "dst": "2001:db8:5::/48" }]);
        let ipam = routed(host_local(&["10.88.0.0/24"]), routes.clone());
        let config = with(bench, json!({ "ipam": ipam }));
        expect("routes", &routes, &bench.add(&config)?["routes"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/routes/02",
    rule: "The fields mtu, advmss, priority, table and scope of a route are in the result.",
    faults: &[
        Fault::Result("/routes/0/mtu", ""),
        Fault::Result("/routes/0/table", ""),
        Fault::Result("/routes/0/scope", "")
    ],
    run: |bench| {
        let routes = json!([{ "dst": "10.5.0.0/16", "gw": "10.88.0.9", "mtu": 1200, "advmss": 1000,
                              "priority": 9, "table": 5, "scope": 253 }]);
        let ipam = routed(host_local(&["10.88.0.0/24"]), routes.clone());
        let config = with(bench, json!({ "ipam": ipam }));
        expect("routes", &routes, &bench.add(&config)?["routes"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dns/01",
    rule: "resolvConf fills dns: nameserver, domain, search and options of that file.",
    faults: &[
        Fault::Config("/ipam/resolvConf", ""),
        Fault::Result("/dns/options", ""),
        Fault::Result("/dns/search", "")
    ],
    run: |bench| {
        let text = "# c\n; d\nnameserver 1.1.1.1\nnameserver 2001:db8::53\ndomain a.test\nsearch s1 s2\noptions ndots:5 rotate\n";
        bench.write("/run/resolv", text)?;
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" } }),
        );
        let expected = json!({ "nameservers": ["1.1.1.1", "2001:db8::53"], "domain": "a.test",
                               "search": ["s1", "s2"], "options": ["ndots:5", "rotate"] });
        expect("dns", &expected, &bench.add(&config)?["dns"])
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dns/02",
    rule: "A resolvConf that is missing fails ADD before anything is reserved.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/resolvConf", "")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/none" } }),
        );
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["/run/none"])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_LOCAL
});

submit!(Case {
    id: "host-local/dns/03",
    rule: "In resolvConf the last domain counts, search and options add up, the rest of the line and unknown words do not matter.",
    faults: &[
        Fault::Result("/dns/domain", "a.test"),
        Fault::Result("/dns/nameservers/1", "")
    ],
    run: |bench| {
        let text = "nameserver 1.1.1.1 2.2.2.2\n  domain a.test\ndomain b.test x\nsearch s1\nsearch s2\noptions a\noptions b\nnameserver\nsortlist 1.2.3.4\nnameserver 4.4.4.4 # tail\n";
        bench.write("/run/resolv", text)?;
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" } }),
        );
        let expected = json!({ "nameservers": ["1.1.1.1", "4.4.4.4"], "domain": "b.test",
                               "search": ["s1", "s2"], "options": ["a", "b"] });
        expect("dns", &expected, &bench.add(&config)?["dns"])
    },
    ..HOST_LOCAL
});

//! static: addresses as told.

mod requested;

use crate::cases::{prelude::*, sight::*};

pub(in crate::cases) const STATIC: Case = Case {
    judges: Judges::Only(&["static"]),
    ..COMPAT
};

/// A configuration with these addresses.
pub(in crate::cases) fn addresses_of(entries: Value) -> Value {
    json!({ "ipam": { "type": "static", "addresses": entries } })
}

/// ADD with CNI_ARGS; the result's addresses with their gateways.
pub(in crate::cases) fn ips(
    bench: &mut Bench,
    args: &str,
    changes: Value,
) -> Result<Value, Failure> {
    let config = with(bench, changes);
    let mut call = bench.call("ADD", &config);
    if !args.is_empty() {
        call = call.env("CNI_ARGS", args);
    }
    Ok(call.reply()?.result()?["ips"].clone())
}

submit!(Case {
    id: "static/addresses/01",
    rule: "The configured addresses are the result, in order, with their gateways.",
    faults: &[
        Fault::Config("/ipam/addresses/1", ""),
        Fault::Result("/ips/0/gateway", "")
    ],
    run: |bench| {
        let entries = json!([{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" },
                             { "address": "2001:db8::5/64", "gateway": "2001:db8::1" }]);
        let seen = ips(bench, "", addresses_of(entries.clone()))?;
        expect("ips", &entries, &seen)
    },
    ..STATIC
});

submit!(Case {
    id: "static/addresses/02",
    rule: "A gateway may be left out.",
    faults: &[Fault::Result("/ips/0/gateway", "10.88.0.1")],
    run: |bench| {
        let seen = ips(
            bench,
            "",
            addresses_of(json!([{ "address": "10.88.0.5/24" }])),
        )?;
        expect("ips", &json!([{ "address": "10.88.0.5/24" }]), &seen)
    },
    ..STATIC
});

submit!(Case {
    id: "static/addresses/03",
    rule: "The key 'version' of old configurations is accepted.",
    faults: &[Fault::Where("/ipam/addresses/0/version", &Fault::ExitOne)],
    run: |bench| {
        let seen = ips(
            bench,
            "",
            addresses_of(json!([{ "version": "4", "address": "10.88.0.5/24" }])),
        )?;
        expect("ips", &json!([{ "address": "10.88.0.5/24" }]), &seen)
    },
    ..STATIC
});

submit!(Case {
    id: "static/addresses/04",
    rule: "Two addresses of one family are given.",
    faults: &[Fault::Config("/ipam/addresses/1", "")],
    run: |bench| {
        let entries = json!([{ "address": "10.88.0.5/24" }, { "address": "10.88.0.6/24" }]);
        let seen = ips(bench, "", addresses_of(entries.clone()))?;
        expect("ips", &entries, &seen)
    },
    ..STATIC
});

submit!(Case {
    id: "static/addresses/05",
    rule: "Before 0.3.0 two addresses of one family are refused.",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_2_0],
    faults: &[Fault::ExitZero, Fault::Config("/ipam/addresses/1", "")],
    run: |bench| {
        let config = with(
            bench,
            addresses_of(json!([{ "address": "10.88.0.5/24" }, { "address": "10.88.0.6/24" }])),
        );
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["does not support more than 1 address per family"])
    },
    ..STATIC
});

refused!(STATIC, "static/addresses/06", "An address without a prefix length is refused and named.",
    { "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5" }] } }, ["CIDR", "10.88.0.5"]);

refused!(STATIC, "static/addresses/07", "A gateway that is no address is refused and named.",
    { "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5/24", "gateway": "10.88.0.999" }] } }, ["10.88.0.999"]);

refused!(STATIC, "static/addresses/08", "A configuration without 'ipam' is refused.",
    { "ipam": null }, ["missing 'ipam' key"]);

submit!(Case {
    id: "static/routes/01",
    rule: "Routes and dns of ipam are in the result.",
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Config("/ipam/dns", "")
    ],
    run: |bench| {
        let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }, { "dst": "::/0" }]);
        let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "a.test", "search": ["b.test"], "options": ["ndots:2"] });
        let config = with(
            bench,
            json!({ "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5/24" }],
                                                   "routes": routes, "dns": dns } }),
        );
        let result = bench.add(&config)?;
        expect("routes", &routes, &result["routes"])?;
        expect("dns", &dns, &result["dns"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/state/01",
    rule: "The same address can be given any number of times: nothing is kept.",
    faults: &[
        Fault::Once("ADD"),
        Fault::After(
            "ADD",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/x"
        )
    ],
    run: |bench| {
        let config = bench.config();
        for _ in 0..2 {
            bench.call("ADD", &config).reply()?.succeeds()?;
        }
        expect("files", &list(&[]), &files("/var/lib/cni/networks/suite"))
    },
    ..STATIC
});

submit!(Case {
    id: "static/del/01",
    rule: "DEL succeeds without ADD, without a namespace and with a configuration that ADD refuses.",
    faults: &[
        Fault::Instead("DEL", r#"[ "$CNI_NETNS" ] || exit 1; exec "$REAL""#),
        Fault::Instead(
            "DEL",
            r#"text=$(cat); case $text in *'"bad"'*) exit 1;; esac; printf %s "$text" | "$REAL""#
        )
    ],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "bad" }])));
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()
    },
    ..STATIC
});

submit!(Case {
    id: "static/check/01",
    rule: "CHECK accepts its own result and finds another gateway.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = with(
            bench,
            addresses_of(json!([{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }])),
        );
        let mut result = bench.add(&config)?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        result["ips"][0]["gateway"] = json!("10.88.0.9");
        let reply = bench.call("CHECK", &after_add(&config, &result)).reply()?;
        complains(&reply, &["10.88.0.5"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/check/02",
    rule: "CHECK without prevResult is refused.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/check/03",
    rule: "CHECK finds a configured address that prevResult does not hold.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    repairs: &[Fault::Instead(
        "CHECK",
        "grep -q '10.88.0.5/24.*10.88.0.5/24'"
    )],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "10.88.0.5/24" }])));
        let mut result = bench.add(&config)?;
        result["ips"][0]["address"] = json!("10.88.0.6/24");
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .error()
            .map(drop)
    },
    ..STATIC
});

submit!(Case {
    id: "static/addresses/09",
    rule: "IPv6 addresses are written in the result as RFC 5952 has it.",
    faults: &[
        Fault::Result("/ips/0/address", "2001:DB8::0005/64"),
        Fault::Result("/ips/0/gateway", "2001:db8:0::1")
    ],
    run: |bench| {
        let seen = ips(
            bench,
            "",
            addresses_of(json!([{ "address": "2001:DB8::0005/64", "gateway": "2001:DB8:0::1" }])),
        )?;
        expect(
            "ips",
            &json!([{ "address": "2001:db8::5/64", "gateway": "2001:db8::1" }]),
            &seen,
        )
    },
    ..STATIC
});

submit!(Case {
    id: "static/addresses/10",
    rule: "Without any address the result has none.",
    faults: &[
        Fault::On("ADD", &Fault::ExitOne),
        Fault::Result("/ips", "=[{\"address\":\"10.88.0.5/24\"}]")
    ],
    run: |bench| {
        let seen = ips(bench, "", json!({ "ipam": { "type": "static" } }))?;
        expect_that(seen.as_array().is_none_or(Vec::is_empty), "no ips", &seen)
    },
    ..STATIC
});

submit!(Case {
    id: "static/routes/02",
    rule: "The route fields of version 1.1.0 are passed on.",
    faults: &[
        Fault::Config("/ipam/routes/0/priority", ""),
        Fault::Config("/ipam/routes/0/table", "")
    ],
    repairs: &[
        Fault::Where(
            "/ipam/routes/0/priority",
            &Fault::Result("/routes/0/priority", "=3")
        ),
        Fault::Where(
            "/ipam/routes/0/table",
            &Fault::Result("/routes/0/table", "=77")
        )
    ],
    run: |bench| {
        let routes = json!([{ "dst": "::/0", "gw": "2001:db8::9", "priority": 3, "table": 77 }]);
        let config = with(
            bench,
            json!({ "ipam": { "type": "static", "addresses": [{ "address": "2001:db8::5/64" }], "routes": routes } }),
        );
        expect("routes", &routes, &bench.add(&config)?["routes"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/routes/03",
    rule: "Before 0.3.0 addresses, gateways and routes stand under their families.",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_2_0],
    faults: &[
        Fault::Config("/ipam/routes/1", ""),
        Fault::Result("/ip4/routes", ""),
        Fault::Result("/ip6/gateway", ""),
        Fault::Result("/dns", "")
    ],
    run: |bench| {
        let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "a.test" });
        let config = with(
            bench,
            json!({ "ipam": { "type": "static", "dns": dns,
            "addresses": [{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }, { "address": "2001:db8::5/64", "gateway": "2001:db8::1" }],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }] } }),
        );
        let result = bench.add(&config)?;
        let four = json!({ "ip": "10.88.0.5/24", "gateway": "10.88.0.1", "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }] });
        expect("ip4", &four, &result["ip4"])?;
        expect(
            "ip6",
            &json!({ "ip": "2001:db8::5/64", "gateway": "2001:db8::1", "routes": [{ "dst": "::/0" }] }),
            &result["ip6"],
        )?;
        expect("dns", &dns, &result["dns"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/routes/04",
    rule: "From 0.3.0 to 0.4.0 each address says its family.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V0_4_0],
    faults: &[
        Fault::Result("/ips/1/version", "4"),
        Fault::Result("/ips/0/gateway", ""),
        Fault::Result("/routes", "")
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "static", "routes": [{ "dst": "0.0.0.0/0" }],
            "addresses": [{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }, { "address": "2001:db8::5/64" }] } }),
        );
        let result = bench.add(&config)?;
        let expected = json!([{ "version": "4", "address": "10.88.0.5/24", "gateway": "10.88.0.1" }, { "version": "6", "address": "2001:db8::5/64" }]);
        expect("ips", &expected, &result["ips"])?;
        expect(
            "routes",
            &json!([{ "dst": "0.0.0.0/0" }]),
            &result["routes"],
        )
    },
    ..STATIC
});

submit!(Case {
    id: "static/del/02",
    rule: "DEL minds neither CNI_ARGS that ADD refuses nor a namespace that is gone or a plain file.",
    faults: &[
        Fault::Instead(
            "DEL",
            r#"case $CNI_ARGS in K8S_*) exit 1;; esac; exec "$REAL""#
        ),
        Fault::Instead(
            "DEL",
            r#"case $CNI_ARGS in *.50) exit 1;; esac; exec "$REAL""#
        ),
        Fault::Instead(
            "DEL",
            r#"case $CNI_ARGS in *GATEWAY=*) exit 1;; esac; exec "$REAL""#
        ),
        Fault::Instead("DEL", r#"[ -e "$CNI_NETNS" ] || exit 1; exec "$REAL""#),
        Fault::Instead("DEL", r#"[ -f "$CNI_NETNS" ] && exit 1; exec "$REAL""#)
    ],
    run: |bench| {
        let config = bench.config();
        for args in [
            "K8S_POD_NAME=x",
            "IP=10.88.0.50",
            "IP=10.88.0.50/24;GATEWAY=here",
        ] {
            bench
                .call("DEL", &config)
                .env("CNI_ARGS", args)
                .reply()?
                .succeeds_silently()?;
        }
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..STATIC
});

submit!(Case {
    id: "static/check/04",
    rule: "CHECK finds a gateway gone from prevResult, of any of the addresses.",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = with(
            bench,
            addresses_of(
                json!([{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }, { "address": "2001:db8::5/64", "gateway": "2001:db8::1" }]),
            ),
        );
        let mut result = bench.add(&config)?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        result["ips"][1]
            .as_object_mut()
            .map(|ip| ip.remove("gateway"));
        let reply = bench.call("CHECK", &after_add(&config, &result)).reply()?;
        complains(&reply, &["2001:db8::5"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/check/05",
    rule: "CHECK succeeds with addresses from runtimeConfig, with which it is called as ADD was.",
    versions: CHECKED,
    faults: &[
        Fault::On("CHECK", &Fault::ExitOne),
        Fault::On("CHECK", &Fault::Config("/cniVersion", "9.9.9"))
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({ "runtimeConfig": { "ips": ["10.88.0.61/24"] } }),
        );
        let result = bench.add(&config)?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..STATIC
});

submit!(Case {
    id: "static/check/06",
    rule: "CHECK finds a configured address that prevResult holds with another prefix length.",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "CHECK",
        r#"text=$(cat); case $text in *'"10.88.0.5/16"'*) echo '{"code": 999, "msg": "10.88.0.5"}'; exit 1;; esac"#
    )],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "10.88.0.5/24" }])));
        let mut result = bench.add(&config)?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        result["ips"][0]["address"] = json!("10.88.0.5/16");
        let reply = bench.call("CHECK", &after_add(&config, &result)).reply()?;
        complains(&reply, &["10.88.0.5"])
    },
    ..STATIC
});

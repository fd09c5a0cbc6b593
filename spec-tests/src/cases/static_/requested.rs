//! static: addresses that the runtime asks for.

use crate::cases::{host_local::given, prelude::*, sight::*, static_::*};

submit!(Case {
    id: "static/args/01",
    rule: "CNI_ARGS IP adds addresses behind the configured ones.",
    faults: &[
        Fault::Env("CNI_ARGS", ""),
        Fault::Config("/ipam/addresses/0", "")
    ],
    run: |bench| {
        let seen = ips(
            bench,
            "IP=10.88.0.50/24,2001:db8::50/64",
            addresses_of(json!([{ "address": "10.88.0.5/24" }])),
        )?;
        expect(
            "addresses",
            &list(&["10.88.0.5/24", "10.88.0.50/24", "2001:db8::50/64"]),
            &given(&json!({ "ips": seen })),
        )
    },
    ..STATIC
});

submit!(Case {
    id: "static/args/02",
    rule: "CNI_ARGS GATEWAY gives each address from CNI_ARGS the gateway that lies in its subnet.",
    faults: &[
        Fault::Env("CNI_ARGS", "IP=10.88.0.50/24,2001:db8::50/64"),
        Fault::Result("/ips/1/gateway", "10.88.0.2")
    ],
    run: |bench| {
        let args = "IP=10.88.0.50/24,2001:db8::50/64;GATEWAY=10.88.0.2,2001:db8::2";
        let seen = ips(bench, args, addresses_of(json!([])))?;
        expect(
            "ips",
            &json!([{ "address": "10.88.0.50/24", "gateway": "10.88.0.2" },
                              { "address": "2001:db8::50/64", "gateway": "2001:db8::2" }]),
            &seen,
        )
    },
    ..STATIC
});

submit!(Case {
    id: "static/args/03",
    rule: "CNI_ARGS IP without a prefix length is refused and named.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.50")
            .reply()?;
        complains(&reply, &["CIDR", "10.88.0.50"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/args/04",
    rule: "A GATEWAY of CNI_ARGS that is no address is refused and named.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.50/24;GATEWAY=here")
            .reply()?;
        complains(&reply, &["gateway", "here"])
    },
    ..STATIC
});

submit!(Case {
    id: "static/args/05",
    rule: "A key of CNI_ARGS that is not known is refused without IgnoreUnknown and passed over with it.",
    faults: &[Fault::ExitZero, Fault::ExitOne],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "K8S_POD_NAME=x")
            .reply()?;
        complains(&reply, &["unknown args"])?;
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=x")
            .reply()?
            .succeeds()
    },
    ..STATIC
});

submit!(Case {
    id: "static/requested/01",
    rule: "args.cni.ips takes the place of the configured addresses and of CNI_ARGS.",
    faults: &[
        Fault::Config("/args", ""),
        Fault::Result("/ips/0/address", "10.88.0.5/24")
    ],
    run: |bench| {
        let changes = json!({ "args": { "cni": { "ips": ["10.88.0.60/24", "2001:db8::60/64"] } } });
        let seen = ips(bench, "IP=10.88.0.50/24", changes)?;
        expect(
            "addresses",
            &list(&["10.88.0.60/24", "2001:db8::60/64"]),
            &given(&json!({ "ips": seen })),
        )
    },
    ..STATIC
});

submit!(Case {
    id: "static/requested/02",
    rule: "runtimeConfig.ips takes the place of everything else.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let changes = json!({ "args": { "cni": { "ips": ["10.88.0.60/24"] } }, "runtimeConfig": { "ips": ["10.88.0.61/24", "2001:db8::61/64"] } });
        let seen = ips(bench, "IP=10.88.0.50/24", changes)?;
        expect(
            "addresses",
            &list(&["10.88.0.61/24", "2001:db8::61/64"]),
            &given(&json!({ "ips": seen })),
        )
    },
    ..STATIC
});

refused!(STATIC, "static/requested/03", "An address of runtimeConfig.ips without a prefix length is refused and named.",
    { "runtimeConfig": { "ips": ["10.88.0.61"] } }, ["CIDR", "10.88.0.61"]);

refused!(STATIC, "static/requested/04", "An address of args.cni.ips without a prefix length is refused and named.",
    { "args": { "cni": { "ips": ["10.88.0.60"] } } }, ["CIDR", "10.88.0.60"]);

submit!(Case {
    id: "static/requested/05",
    rule: "runtimeConfig.ips is enough: ipam needs no addresses.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let changes =
            json!({ "ipam": { "type": "static" }, "runtimeConfig": { "ips": ["10.88.0.61/24"] } });
        let seen = ips(bench, "", changes)?;
        expect(
            "addresses",
            &list(&["10.88.0.61/24"]),
            &given(&json!({ "ips": seen })),
        )
    },
    ..STATIC
});

submit!(Case {
    id: "static/args/06",
    rule: "A GATEWAY of CNI_ARGS that lies in no subnet is passed over.",
    faults: &[
        Fault::On("ADD", &Fault::ExitOne),
        Fault::Result("/ips/0/gateway", "10.99.0.2")
    ],
    run: |bench| {
        let seen = ips(
            bench,
            "IP=10.88.0.50/24;GATEWAY=10.99.0.2",
            addresses_of(json!([])),
        )?;
        expect("ips", &json!([{ "address": "10.88.0.50/24" }]), &seen)
    },
    ..STATIC
});

submit!(Case {
    id: "static/requested/06",
    rule: "An empty list in runtimeConfig.ips leaves the configured addresses.",
    faults: &[
        Fault::On("ADD", &Fault::ExitOne),
        Fault::Config("/ipam/addresses", "=[]")
    ],
    run: |bench| {
        let entries = json!([{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }]);
        let mut changes = addresses_of(entries.clone());
        changes["runtimeConfig"] = json!({ "ips": [] });
        expect("ips", &entries, &ips(bench, "", changes)?)
    },
    ..STATIC
});

submit!(Case {
    id: "static/requested/07",
    rule: "Addresses that the runtime asks for keep the configuration's routes and dns, and have no gateway.",
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Config("/ipam/dns", ""),
        Fault::Result("/ips/0/gateway", "10.88.0.1")
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({ "runtimeConfig": { "ips": ["10.88.0.61/24"] },
            "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }],
                      "routes": [{ "dst": "0.0.0.0/0" }], "dns": { "nameservers": ["192.0.2.53"] } } }),
        );
        let result = bench.add(&config)?;
        expect(
            "ips",
            &json!([{ "address": "10.88.0.61/24" }]),
            &result["ips"],
        )?;
        expect(
            "routes",
            &json!([{ "dst": "0.0.0.0/0" }]),
            &result["routes"],
        )?;
        expect(
            "dns",
            &json!({ "nameservers": ["192.0.2.53"] }),
            &result["dns"],
        )
    },
    ..STATIC
});

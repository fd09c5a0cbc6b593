//! static: addresses as told.

use super::{host_local::given, prelude::*, sight::*};

const STATIC: Case = Case {
    judges: Judges::Only(&["static"]),
    ..COMPAT
};

fn addresses_of(entries: Value) -> Value {
    json!({ "ipam": { "type": "static", "addresses": entries } })
}

/// ADD with CNI_ARGS; the result's addresses with their gateways.
fn ips(bench: &mut Bench, args: &str, changes: Value) -> Result<Value, Failure> {
    let config = with(bench, changes);
    let mut call = bench.call("ADD", &config);
    if !args.is_empty() {
        call = call.env("CNI_ARGS", args);
    }
    Ok(call.reply()?.result()?["ips"].clone())
}

submit! { Case {
    id: "static/addresses/01",
    rule: "The configured addresses are the result, in order, with their gateways.",
    faults: &[Fault::Config("/ipam/addresses/1", ""), Fault::Result("/ips/0/gateway", "")],
    run: |bench| {
        let entries = json!([{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" },
                             { "address": "2001:db8::5/64", "gateway": "2001:db8::1" }]);
        let seen = ips(bench, "", addresses_of(entries.clone()))?;
        expect("ips", &entries, &seen)
    },
    ..STATIC
} }

submit! { Case {
    id: "static/addresses/02",
    rule: "A gateway may be left out.",
    faults: &[Fault::Result("/ips/0/gateway", "10.88.0.1")],
    run: |bench| {
        let seen = ips(bench, "", addresses_of(json!([{ "address": "10.88.0.5/24" }])))?;
        expect("ips", &json!([{ "address": "10.88.0.5/24" }]), &seen)
    },
    ..STATIC
} }

submit! { Case {
    id: "static/addresses/03",
    rule: "The key 'version' of old configurations is accepted.",
    faults: &[Fault::ExitOne],
    run: |bench| {
        let seen = ips(bench, "", addresses_of(json!([{ "version": "4", "address": "10.88.0.5/24" }])))?;
        expect("ips", &json!([{ "address": "10.88.0.5/24" }]), &seen)
    },
    ..STATIC
} }

submit! { Case {
    id: "static/addresses/04",
    rule: "Two addresses of one family are given.",
    faults: &[Fault::Config("/ipam/addresses/1", "")],
    run: |bench| {
        let entries = json!([{ "address": "10.88.0.5/24" }, { "address": "10.88.0.6/24" }]);
        let seen = ips(bench, "", addresses_of(entries.clone()))?;
        expect("ips", &entries, &seen)
    },
    ..STATIC
} }

submit! { Case {
    id: "static/addresses/05",
    rule: "Before 0.3.0 two addresses of one family are refused.",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_2_0],
    faults: &[Fault::ExitZero, Fault::Config("/ipam/addresses/1", "")],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "10.88.0.5/24" }, { "address": "10.88.0.6/24" }])));
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["does not support more than 1 address per family"])
    },
    ..STATIC
} }

refused!(STATIC, "static/addresses/06", "An address without a prefix length is refused and named.",
    { "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5" }] } }, ["CIDR", "10.88.0.5"]);

refused!(STATIC, "static/addresses/07", "A gateway that is no address is refused and named.",
    { "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5/24", "gateway": "10.88.0.999" }] } }, ["10.88.0.999"]);

refused!(STATIC, "static/addresses/08", "A configuration without 'ipam' is refused.",
    { "ipam": null }, ["missing 'ipam' key"]);

submit! { Case {
    id: "static/routes/01",
    rule: "Routes and dns of ipam are in the result.",
    faults: &[Fault::Config("/ipam/routes", ""), Fault::Config("/ipam/dns", "")],
    run: |bench| {
        let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }, { "dst": "::/0" }]);
        let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "a.test", "search": ["b.test"], "options": ["ndots:2"] });
        let config = with(bench, json!({ "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.5/24" }],
                                                   "routes": routes, "dns": dns } }));
        let result = bench.add(&config)?;
        expect("routes", &routes, &result["routes"])?;
        expect("dns", &dns, &result["dns"])
    },
    ..STATIC
} }

submit! { Case {
    id: "static/args/01",
    rule: "CNI_ARGS IP adds addresses behind the configured ones.",
    faults: &[Fault::Env("CNI_ARGS", ""), Fault::Config("/ipam/addresses/0", "")],
    run: |bench| {
        let seen = ips(bench, "IP=10.88.0.50/24,2001:db8::50/64", addresses_of(json!([{ "address": "10.88.0.5/24" }])))?;
        expect("addresses", &list(&["10.88.0.5/24", "10.88.0.50/24", "2001:db8::50/64"]), &given(&json!({ "ips": seen })))
    },
    ..STATIC
} }

submit! { Case {
    id: "static/args/02",
    rule: "CNI_ARGS GATEWAY gives each address from CNI_ARGS the gateway that lies in its subnet.",
    faults: &[Fault::Env("CNI_ARGS", "IP=10.88.0.50/24,2001:db8::50/64"), Fault::Result("/ips/1/gateway", "10.88.0.2")],
    run: |bench| {
        let args = "IP=10.88.0.50/24,2001:db8::50/64;GATEWAY=10.88.0.2,2001:db8::2";
        let seen = ips(bench, args, addresses_of(json!([])))?;
        expect("ips", &json!([{ "address": "10.88.0.50/24", "gateway": "10.88.0.2" },
                              { "address": "2001:db8::50/64", "gateway": "2001:db8::2" }]), &seen)
    },
    ..STATIC
} }

submit! { Case {
    id: "static/args/03",
    rule: "CNI_ARGS IP without a prefix length is refused and named.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("ADD", &config).env("CNI_ARGS", "IP=10.88.0.50").reply()?;
        complains(&reply, &["CIDR", "10.88.0.50"])
    },
    ..STATIC
} }

submit! { Case {
    id: "static/args/04",
    rule: "A GATEWAY of CNI_ARGS that is no address is refused and named.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("ADD", &config).env("CNI_ARGS", "IP=10.88.0.50/24;GATEWAY=here").reply()?;
        complains(&reply, &["gateway", "here"])
    },
    ..STATIC
} }

submit! { Case {
    id: "static/args/05",
    rule: "A key of CNI_ARGS that is not known is refused without IgnoreUnknown and passed over with it.",
    faults: &[Fault::ExitZero, Fault::ExitOne],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("ADD", &config).env("CNI_ARGS", "K8S_POD_NAME=x").reply()?;
        complains(&reply, &["unknown args"])?;
        bench.call("ADD", &config).env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=x").reply()?.succeeds()
    },
    ..STATIC
} }

submit! { Case {
    id: "static/requested/01",
    rule: "args.cni.ips takes the place of the configured addresses and of CNI_ARGS.",
    faults: &[Fault::Config("/args", ""), Fault::Result("/ips/0/address", "10.88.0.5/24")],
    run: |bench| {
        let changes = json!({ "args": { "cni": { "ips": ["10.88.0.60/24", "2001:db8::60/64"] } } });
        let seen = ips(bench, "IP=10.88.0.50/24", changes)?;
        expect("addresses", &list(&["10.88.0.60/24", "2001:db8::60/64"]), &given(&json!({ "ips": seen })))
    },
    ..STATIC
} }

submit! { Case {
    id: "static/requested/02",
    rule: "runtimeConfig.ips takes the place of everything else.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let changes = json!({ "args": { "cni": { "ips": ["10.88.0.60/24"] } }, "runtimeConfig": { "ips": ["10.88.0.61/24", "2001:db8::61/64"] } });
        let seen = ips(bench, "IP=10.88.0.50/24", changes)?;
        expect("addresses", &list(&["10.88.0.61/24", "2001:db8::61/64"]), &given(&json!({ "ips": seen })))
    },
    ..STATIC
} }

refused!(STATIC, "static/requested/03", "An address of runtimeConfig.ips without a prefix length is refused and named.",
    { "runtimeConfig": { "ips": ["10.88.0.61"] } }, ["CIDR", "10.88.0.61"]);

refused!(STATIC, "static/requested/04", "An address of args.cni.ips without a prefix length is refused and named.",
    { "args": { "cni": { "ips": ["10.88.0.60"] } } }, ["CIDR", "10.88.0.60"]);

submit! { Case {
    id: "static/requested/05",
    rule: "runtimeConfig.ips is enough: ipam needs no addresses.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let changes = json!({ "ipam": { "type": "static" }, "runtimeConfig": { "ips": ["10.88.0.61/24"] } });
        let seen = ips(bench, "", changes)?;
        expect("addresses", &list(&["10.88.0.61/24"]), &given(&json!({ "ips": seen })))
    },
    ..STATIC
} }

submit! { Case {
    id: "static/state/01",
    rule: "The same address can be given any number of times: nothing is kept.",
    faults: &[Fault::Once("ADD"), Fault::After("ADD", "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/x")],
    run: |bench| {
        let config = bench.config();
        for _ in 0..2 {
            bench.call("ADD", &config).reply()?.succeeds()?;
        }
        expect("files", &list(&[]), &files("/var/lib/cni/networks/suite"))
    },
    ..STATIC
} }

submit! { Case {
    id: "static/del/01",
    rule: "DEL succeeds without ADD, without a namespace and with a configuration that ADD refuses.",
    faults: &[Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "bad" }])));
        bench.call("DEL", &config).env("CNI_NETNS", "").reply()?.succeeds_silently()
    },
    ..STATIC
} }

submit! { Case {
    id: "static/check/01",
    rule: "CHECK accepts its own result and finds another gateway.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "10.88.0.5/24", "gateway": "10.88.0.1" }])));
        let mut result = bench.add(&config)?;
        bench.call("CHECK", &after_add(&config, &result)).reply()?.succeeds_silently()?;
        result["ips"][0]["gateway"] = json!("10.88.0.9");
        let reply = bench.call("CHECK", &after_add(&config, &result)).reply()?;
        complains(&reply, &["10.88.0.5"])
    },
    ..STATIC
} }

submit! { Case {
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
} }

submit! { Case {
    id: "static/check/03",
    rule: "CHECK finds a configured address that prevResult does not hold.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    repairs: &[Fault::Instead("CHECK", "grep -q '10.88.0.5/24.*10.88.0.5/24'")],
    run: |bench| {
        let config = with(bench, addresses_of(json!([{ "address": "10.88.0.5/24" }])));
        let mut result = bench.add(&config)?;
        result["ips"][0]["address"] = json!("10.88.0.6/24");
        bench.call("CHECK", &after_add(&config, &result)).reply()?.error().map(drop)
    },
    ..STATIC
} }

//! dhcp as an IPAM plugin: what the server says becomes the result.

mod attached;
mod daemon;
pub(in crate::cases) mod lan;
pub(in crate::cases) mod messages;
mod options;
mod routes;

use crate::cases::{dhcp::lan::*, prelude::*, sight::*};

/// ADD on a LAN whose server has these options; returns configuration and result.
pub(in crate::cases) fn leased(
    bench: &mut Bench,
    options: &str,
    changes: Value,
) -> Result<(Value, Value), Failure> {
    lan(bench, options)?;
    let config = with(bench, changes);
    let result = bench.add(&config)?;
    Ok((config, result))
}

fn refuses(
    bench: &mut Bench,
    options: &str,
    changes: Value,
    words: &[&str],
) -> Result<(), Failure> {
    lan(bench, options)?;
    refuses_add(bench, changes, words)
}

submit!(Case {
    id: "dhcp/lease/01",
    rule: "The result has the server's address with the server's mask.",
    faults: &[
        Fault::Result("/ips/0/address", "10.88.0.50/24"),
        Fault::Result("/ips/-", "={\"address\": \"10.88.0.51/26\"}")
    ],
    run: |bench| {
        let options = "opt subnet 255.255.255.192\nopt lease 3600";
        let (_, result) = leased(bench, options, json!({}))?;
        expect(
            "ips",
            &json!([{ "address": "10.88.0.50/26" }]),
            &result["ips"],
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/lease/02",
    rule: "The result names no interfaces, and the address is left to the interface plugin.",
    faults: &[
        Fault::Result("/interfaces", "=[{\"name\": \"eth0\"}]"),
        Fault::After("ADD", "ip -n pod address add 10.88.0.50/24 dev eth0"),
        Fault::After("ADD", "ip -n pod route add 192.0.2.0/24 dev eth0"),
    ],
    run: |bench| {
        let (_, result) = leased(bench, USUAL, json!({}))?;
        expect("interfaces", &Value::Null, &result["interfaces"])?;
        expect("addresses", &list(&[]), &addresses(bench, "pod", "eth0")?)?;
        expect("routes", &list(&[]), &routes(bench, "pod", "main")?)
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/lease/03",
    rule: "A lease without a subnet mask is refused.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Skip("ADD")
    ],
    run: |bench| refuses(
        bench,
        "opt router 10.88.0.1\nopt lease 3600",
        json!({}),
        &["subnet mask", "not found"]
    ),
    ..DHCP
});

submit!(Case {
    id: "dhcp/lease/04",
    rule: "ADD again for the same attachment gives the same lease.",
    faults: &[
        Fault::Once("ADD"),
        Fault::Before(
            "ADD",
            "[ ! -e /run/again ] || ip -n pod link set eth0 address 02:00:00:00:00:07; touch /run/again"
        ),
    ],
    run: |bench| {
        let (config, first) = leased(bench, &format!("{USUAL}\nend 10.88.0.51"), json!({}))?;
        expect("result", &first, &bench.add(&config)?)
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/lease/05",
    rule: "Two pods get two leases, and DEL of one leaves the other's.",
    faults: &[
        Fault::Env("CNI_NETNS", "/run/netns/pod"),
        Fault::Fail("DEL")
    ],
    run: |bench| {
        cable(bench, "other")?;
        let options = format!("{USUAL}\nend 10.88.0.51");
        let (config, one) = leased(bench, &options, json!({}))?;
        let of_other = |bench: &mut Bench, command| {
            let call = bench.call(command, &config).env("CNI_CONTAINERID", "other");
            call.env("CNI_NETNS", "/run/netns/other").reply()
        };
        let other = of_other(bench, "ADD")?.result()?;
        let mut both = [&one, &other].map(|result| result["ips"][0]["address"].to_string());
        both.sort();
        expect(
            "addresses",
            &[r#""10.88.0.50/24""#, r#""10.88.0.51/24""#].map(str::to_owned),
            &both,
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "the other's lease",
            &other,
            &of_other(bench, "ADD")?.result()?,
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/version/01",
    rule: "The result has the form of the configuration's version.",
    versions: EVERY,
    faults: &[
        Fault::Result("/cniVersion", "9.9.9"),
        Fault::Result("/ips", ""),
        Fault::Result("/ip4/gateway", ""),
        Fault::Result("/ips/0/version", "6")
    ],
    run: |bench| {
        let (_, result) = leased(bench, USUAL, json!({}))?;
        expect(
            "cniVersion",
            &json!(bench.version.as_str()),
            &result["cniVersion"],
        )?;
        let routes = json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.1" }]);
        if bench.version < SpecVersion::V0_3_0 {
            let ip4 = json!({ "ip": "10.88.0.50/24", "gateway": "10.88.0.1", "routes": routes });
            return expect("ip4", &ip4, &result["ip4"]);
        }
        let mut address = json!({ "address": "10.88.0.50/24", "gateway": "10.88.0.1" });
        if bench.version < SpecVersion::V1_0_0 {
            address["version"] = json!("4");
        }
        expect("ips", &json!([address]), &result["ips"])?;
        expect("routes", &routes, &result["routes"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/version/02",
    rule: "VERSION needs neither daemon nor server.",
    even_unlisted: true,
    faults: &[
        Fault::Fail("VERSION"),
        Fault::Result("/supportedVersions", "")
    ],
    run: |bench| {
        let config = bench.config();
        let answer = bench.call("VERSION", &config).reply()?.result()?;
        let listed = answer["supportedVersions"].as_array();
        let lists = listed.is_some_and(|all| all.contains(&json!("1.0.0")));
        expect_that(lists, "1.0.0 is listed", &answer)
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/fail/01",
    rule: "An interface that the pod does not have is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        lan(bench, USUAL)?;
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "eth7")
            .reply()?;
        complains(&reply, &["eth7", "not found"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/fail/02",
    rule: "A namespace that does not exist is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        lan(bench, USUAL)?;
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope", "no such file"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/fail/03",
    rule: "ADD fails when no server answers.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        cable(bench, "pod")?;
        let flags = hasty(bench)?;
        daemon(bench, SOCKET, &flags)?;
        refuses_add(bench, json!({}), &["no more tries"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/config/01",
    rule: "A configuration without ipam is refused with an error object.",
    level: Level::Must,
    source: "Section 5, Error",
    faults: &[Fault::ExitZero, Fault::PlainError],
    repairs: &[Fault::Instead(
        "ADD",
        r#"echo '{ "code": 7, "msg": "no ipam in the configuration" }'; exit 1"#
    )],
    run: |bench| {
        lan(bench, USUAL)?;
        let config = with(bench, json!({ "ipam": null }));
        bench.call("ADD", &config).reply()?.error().map(drop)
    },
    ..DHCP
});

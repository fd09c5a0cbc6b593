//! Rules that several plugins of one interface share, told once: `$made` adds a pod with changes to
//! the minimal configuration.

/// IPAM's routes with a metric.
macro_rules! priorities {
    ($base:expr, $made:path, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "priority is the metric of a route, IPv4 and IPv6.",
            faults: &[
                Fault::Config("/ipam/routes/0/priority", ""),
                Fault::Config("/ipam/routes/1/priority", "")
            ],
            repairs: PRIORITIES,
            run: |bench| {
                $made(bench, json!({ "ipam": routed(dual(), with_priorities()) }))?;
                expect(
                    "routes",
                    &list(WITH_PRIORITIES),
                    &routes(bench, "pod", "main")?,
                )
            },
            ..$base
        });
    };
}
pub(in crate::cases) use priorities;

/// IPAM's routes for a table of their own.
macro_rules! tables {
    ($base:expr, $made:path, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "table puts a route into that table and not into the main one.",
            faults: &[
                Fault::Config("/ipam/routes/0/table", ""),
                Fault::Config("/ipam/routes/1/table", "")
            ],
            repairs: TABLES,
            run: |bench| {
                $made(bench, json!({ "ipam": routed(dual(), with_tables()) }))?;
                expect("main table", &list(&[]), &routes(bench, "pod", "main")?)?;
                expect("table 77", &list(WITH_TABLES), &routes(bench, "pod", "77")?)
            },
            ..$base
        });
    };
}
pub(in crate::cases) use tables;

/// The result before 0.3.0.
macro_rules! oldest_result {
    ($base:expr, $made:path, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "Before 0.3.0 the result has each family's address and gateway under its name.",
            versions: [SpecVersion::V0_1_0, SpecVersion::V0_2_0],
            faults: &[
                Fault::Result("/ip6", ""),
                Fault::Result("/ip4/gateway", ""),
                Fault::Result("/cniVersion", "1.0.0")
            ],
            run: |bench| {
                let (_, result) = $made(bench, json!({ "ipam": dual() }))?;
                expect(
                    "cniVersion",
                    &json!(bench.version.as_str()),
                    &result["cniVersion"],
                )?;
                expect(
                    "ip4",
                    &json!({ "ip": "10.88.0.2/24", "gateway": "10.88.0.1" }),
                    &result["ip4"],
                )?;
                expect(
                    "ip6",
                    &json!({ "ip": "2001:db8::2/64", "gateway": "2001:db8::1" }),
                    &result["ip6"],
                )
            },
            ..$base
        });
    };
}
pub(in crate::cases) use oldest_result;

/// The result from 0.3.0 to 0.4.0.
macro_rules! older_result {
    ($base:expr, $made:path, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "From 0.3.0 to 0.4.0 the result has the interface, and each address says its family.",
            versions: [SpecVersion::V0_3_0, SpecVersion::V0_4_0],
            faults: &[
                Fault::Result("/ips/1/version", "4"),
                Fault::Result("/interfaces", "")
            ],
            run: |bench| {
                let (_, result) = $made(bench, json!({ "ipam": dual() }))?;
                let expected = json!([{ "version": "4", "interface": 0, "address": "10.88.0.2/24", "gateway": "10.88.0.1" },
                                      { "version": "6", "interface": 0, "address": "2001:db8::2/64", "gateway": "2001:db8::1" }]);
                expect("ips", &expected, &result["ips"])?;
                expect(
                    "interface",
                    &json!("eth0"),
                    &result["interfaces"][0]["name"],
                )
            },
            ..$base
        });
    };
}
pub(in crate::cases) use older_result;

/// What the configuration says of DNS.
macro_rules! keeps_dns {
    ($base:expr, $made:path, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "dns of the configuration is in the result.",
            faults: &[Fault::Config("/dns", "")],
            run: |bench| {
                let (_, result) = $made(bench, json!({ "dns": { "nameservers": ["192.0.2.1"] } }))?;
                expect(
                    "dns",
                    &json!({ "nameservers": ["192.0.2.1"] }),
                    &result["dns"],
                )
            },
            ..$base
        });
    };
}
pub(in crate::cases) use keeps_dns;

/// CHECK of a pod with both default routes succeeds, and fails after the damage (`ip` and its
/// arguments).
macro_rules! finds {
    ($base:expr, $made:path, $id:literal, $rule:literal, $damage:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            run: |bench| {
                let wanted = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
                let (config, result) = $made(bench, json!({ "ipam": routed(dual(), wanted) }))?;
                check_finds(bench, &after_add(&config, &result), &$damage)
            },
            ..$base
        });
    };
}
pub(in crate::cases) use finds;

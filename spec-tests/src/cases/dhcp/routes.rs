//! dhcp: gateway and routes, as the server gives them in one of three ways.

use crate::cases::{dhcp::lan::*, dhcp::leased, prelude::*};

submit!(Case {
    id: "dhcp/gateway/01",
    rule: "The server's router is the address's gateway and the next hop of a default route.",
    faults: &[
        Fault::Result("/ips/0/gateway", ""),
        Fault::Result("/routes", ""),
        Fault::Result("/routes/0/gw", "10.88.0.9")
    ],
    run: |bench| {
        let (_, result) = leased(bench, USUAL, json!({}))?;
        expect("gateway", &json!("10.88.0.1"), &result["ips"][0]["gateway"])?;
        expect(
            "routes",
            &json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.1" }]),
            &result["routes"],
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/gateway/02",
    rule: "Without a router there is no gateway and no default route.",
    faults: &[
        Fault::Result("/ips/0/gateway", "10.88.0.1"),
        Fault::Result("/routes", "=[{\"dst\": \"0.0.0.0/0\"}]")
    ],
    run: |bench| {
        let (_, result) = leased(bench, "opt subnet 255.255.255.0\nopt lease 3600", json!({}))?;
        expect("gateway", &Value::Null, &result["ips"][0]["gateway"])?;
        expect("routes", &Value::Null, &result["routes"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/gateway/03",
    rule: "Of several routers the first one counts.",
    faults: &[
        Fault::Result("/ips/0/gateway", "10.88.0.5"),
        Fault::Result("/routes/0/gw", "10.88.0.5"),
        Fault::Result("/routes", "")
    ],
    repairs: &[
        Fault::On("ADD", &Fault::Result("/ips/0/gateway", "10.88.0.4")),
        Fault::On(
            "ADD",
            &Fault::Result(
                "/routes",
                "=[{\"dst\": \"0.0.0.0/0\", \"gw\": \"10.88.0.4\"}]"
            )
        ),
    ],
    run: |bench| {
        let (_, result) = leased(
            bench,
            "opt subnet 255.255.255.0\nopt router 10.88.0.4 10.88.0.5",
            json!({}),
        )?;
        expect("gateway", &json!("10.88.0.4"), &result["ips"][0]["gateway"])?;
        expect(
            "routes",
            &json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.4" }]),
            &result["routes"],
        )
    },
    ..DHCP
});

/// The same as [`USUAL`] with classless routes (RFC 3442) as well.
const CLASSLESS: &str = "opt subnet 255.255.255.0\nopt router 10.88.0.1\nopt lease 3600\n\
    opt staticroutes 10.99.1.0/24 10.88.0.9, 172.16.0.0/12 10.88.0.8";

/// The same as [`USUAL`] with a route of the older kind (RFC 2132, section 5.8) as well.
const CLASSFUL: &str = "opt subnet 255.255.255.0\nopt router 10.88.0.1\nopt lease 3600\n\
    opt routes 192.168.77.0 10.88.0.8";

submit!(Case {
    id: "dhcp/routes/01",
    rule: "Classless routes are the only routes of the result; the router stays the address's gateway.",
    faults: &[
        Fault::Result(
            "/routes/-",
            "={\"dst\": \"0.0.0.0/0\", \"gw\": \"10.88.0.1\"}"
        ),
        Fault::Result("/routes/1", ""),
        Fault::Result("/ips/0/gateway", "")
    ],
    run: |bench| {
        let (_, result) = leased(bench, CLASSLESS, json!({}))?;
        let routes = json!([{ "dst": "10.99.1.0/24", "gw": "10.88.0.9" }, { "dst": "172.16.0.0/12", "gw": "10.88.0.8" }]);
        expect("routes", &routes, &result["routes"])?;
        expect("gateway", &json!("10.88.0.1"), &result["ips"][0]["gateway"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/routes/02",
    rule: "Without classless routes the classful ones count, and the router's default route beside them.",
    faults: &[
        Fault::Result("/routes/1", ""),
        Fault::Result("/routes/0", ""),
        Fault::Result("/routes/0/dst", "192.168.77.0/32")
    ],
    run: |bench| {
        let (_, result) = leased(bench, CLASSFUL, json!({}))?;
        let routes = json!([{ "dst": "192.168.77.0/24", "gw": "10.88.0.8" }, { "dst": "0.0.0.0/0", "gw": "10.88.0.1" }]);
        expect("routes", &routes, &result["routes"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/routes/03",
    rule: "Classless routes win over classful ones.",
    faults: &[Fault::Result(
        "/routes/-",
        "={\"dst\": \"192.168.77.0/24\", \"gw\": \"10.88.0.8\"}"
    )],
    run: |bench| {
        let options = format!("{CLASSFUL}\nopt staticroutes 10.99.1.0/24 10.88.0.9");
        let (_, result) = leased(bench, &options, json!({}))?;
        expect(
            "routes",
            &json!([{ "dst": "10.99.1.0/24", "gw": "10.88.0.9" }]),
            &result["routes"],
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/routes/04",
    rule: "A classless default route is taken in place of the router's.",
    faults: &[
        Fault::Result("/routes/0/gw", "10.88.0.1"),
        Fault::Result("/routes", "")
    ],
    run: |bench| {
        let (_, result) = leased(
            bench,
            &format!("{USUAL}\nopt staticroutes 0.0.0.0/0 10.88.0.9"),
            json!({}),
        )?;
        expect(
            "routes",
            &json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.9" }]),
            &result["routes"],
        )
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/routes/05",
    rule: "A classless route without a router is on the link: gateway 0.0.0.0, and from version 1.1.0 on scope link.",
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/routes/0/gw", "10.88.0.1"),
        Fault::Result("/routes", "")
    ],
    run: |bench| {
        let (_, result) = leased(
            bench,
            &format!("{USUAL}\nopt staticroutes 172.16.0.0/16 0.0.0.0"),
            json!({}),
        )?;
        let routes = &result["routes"];
        expect("destination", &json!("172.16.0.0/16"), &routes[0]["dst"])?;
        expect("gateway", &json!("0.0.0.0"), &routes[0]["gw"])?;
        // Older versions do not have the field; the reference's later releases print it there too.
        if bench.version >= SpecVersion::V1_1_0 {
            expect("scope", &json!(253), &routes[0]["scope"])?;
        }
        expect("further routes", &Value::Null, &routes[1])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/priority/01",
    rule: "priority becomes the priority of every route.",
    versions: NEWEST,
    faults: &[
        Fault::Config("/ipam/priority", ""),
        Fault::Result("/routes/1/priority", "")
    ],
    repairs: &[
        Fault::On("VERSION", &Fault::Result("/supportedVersions/-", "1.1.0")),
        Fault::Config("/cniVersion", "1.0.0"),
        Fault::On("ADD", &Fault::Result("/cniVersion", "1.1.0")),
        Fault::Where(
            "/ipam/priority",
            &Fault::On("ADD", &Fault::Result("/routes/0/priority", "=77"))
        ),
        Fault::Where(
            "/ipam/priority",
            &Fault::On("ADD", &Fault::Result("/routes/1/priority", "=77"))
        ),
    ],
    run: |bench| {
        let (_, result) = leased(
            bench,
            CLASSFUL,
            json!({ "ipam": { "type": "dhcp", "priority": 77 } }),
        )?;
        let routes = json!([
            { "dst": "192.168.77.0/24", "gw": "10.88.0.8", "priority": 77 },
            { "dst": "0.0.0.0/0", "gw": "10.88.0.1", "priority": 77 },
        ]);
        expect("routes", &routes, &result["routes"])
    },
    ..DHCP
});

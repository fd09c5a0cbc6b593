//! dhcp: what the client tells the server, option by option, and when it gives the lease back.

use crate::cases::{dhcp::lan::*, dhcp::messages::*, prelude::*, sight::*};

/// Codes of options (RFC 2132).
const HOST_NAME: u8 = 12;
const REQUESTED_ADDRESS: u8 = 50;
const SERVER: u8 = 54;
const REQUESTED_OPTIONS: u8 = 55;
const VENDOR_CLASS: u8 = 60;
const CLIENT_ID: u8 = 61;
const USER_CLASS: u8 = 77;

/// ADD with this in `ipam`; returns the configuration and what was said: DISCOVER and REQUEST.
fn asked(bench: &mut Bench, ipam: Value, args: &str) -> Result<(Value, [Message; 2]), Failure> {
    lan(bench, USUAL)?;
    listen(bench)?;
    let mut config = bench.config();
    for (key, value) in ipam.as_object().into_iter().flatten() {
        config["ipam"][key] = value.clone();
    }
    bench
        .call("ADD", &config)
        .env("CNI_ARGS", args)
        .reply()?
        .succeeds()?;
    let discover = heard(bench, DISCOVER, 1)?.remove(0);
    let request = heard(bench, REQUEST, 1)?.remove(0);
    Ok((config, [discover, request]))
}

/// Both messages have this option with this value.
fn both_have(messages: &[Message; 2], option: u8, value: &[u8]) -> Result<(), Failure> {
    for message in messages {
        let what = format!("option {option} of message kind {}", message.kind);
        expect(
            &what,
            &Some(value),
            &message.options.get(&option).map(Vec::as_slice),
        )?;
    }
    Ok(())
}

/// Both messages ask for exactly these options, in any order.
fn both_ask_for(messages: &[Message; 2], options: &[u8]) -> Result<(), Failure> {
    for message in messages {
        let mut asked = message
            .options
            .get(&REQUESTED_OPTIONS)
            .cloned()
            .unwrap_or_default();
        asked.sort_unstable();
        let what = format!("options that message kind {} asks for", message.kind);
        expect(&what, &options, &asked.as_slice())?;
    }
    Ok(())
}

/// Both messages ask for these options, whatever else they ask for.
fn both_ask_at_least_for(messages: &[Message; 2], options: &[u8]) -> Result<(), Failure> {
    for message in messages {
        let asked = message.options.get(&REQUESTED_OPTIONS);
        let asked = asked.map(Vec::as_slice).unwrap_or_default();
        let what = format!("message kind {} asks for {options:?}", message.kind);
        let all = options.iter().all(|option| asked.contains(option));
        expect_that(all, &what, format!("{asked:?}"))?;
    }
    Ok(())
}

/// The text as the client identifier: a byte 0 in front (RFC 2132, section 9.14).
fn client_id(text: &str) -> Vec<u8> {
    [&[0], text.as_bytes()].concat()
}

submit!(Case {
    id: "dhcp/acquire/01",
    rule: "The client discovers a server and then requests what it was offered.",
    faults: &[Fault::Skip("ADD"), Fault::Fail("ADD")],
    run: |bench| {
        let (_, [_, request]) = asked(bench, json!({}), "")?;
        expect(
            "requested address",
            &Some(&vec![10, 88, 0, 50]),
            &request.options.get(&REQUESTED_ADDRESS),
        )?;
        expect(
            "server",
            &Some(&vec![10, 88, 0, 1]),
            &request.options.get(&SERVER),
        )
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/client-id/01",
    rule: "The client identifier is made of the container ID, the network's and the interface's name.",
    faults: &[
        Fault::Env("CNI_CONTAINERID", "other"),
        Fault::Config("/name", "other")
    ],
    run: |bench| {
        let (_, messages) = asked(bench, json!({}), "")?;
        both_have(&messages, CLIENT_ID, &client_id("ctr1/suite/eth0"))
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/client-id/02",
    rule: "A client identifier that an option cannot hold is cut off.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1")],
    run: |bench| {
        lan(bench, USUAL)?;
        listen(bench)?;
        let config = bench.config();
        let long = "c".repeat(300);
        bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", &long)
            .reply()?
            .succeeds()?;
        let seen = heard(bench, REQUEST, 1)?.remove(0);
        expect(
            "client identifier",
            &Some(&client_id(&long[..254])),
            &seen.options.get(&CLIENT_ID),
        )
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/client-id/03",
    rule: "A client identifier under provide takes the place of the usual one.",
    faults: &[Fault::Config("/ipam/provide", "")],
    run: |bench| {
        let provide = json!({ "provide": [{ "option": "dhcp-client-identifier", "value": "me" }] });
        let (_, messages) = asked(bench, provide, "")?;
        both_have(&messages, CLIENT_ID, b"me")
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/request/01",
    rule: "The subnet mask and the routers are asked for without being configured.",
    faults: &[
        Fault::Config(
            "/ipam/request",
            "=[{\"option\": \"1\", \"skipDefault\": true}]"
        ),
        Fault::Config(
            "/ipam/request",
            "=[{\"option\": \"3\", \"skipDefault\": true}]"
        )
    ],
    run: |bench| {
        let (_, messages) = asked(bench, json!({}), "")?;
        both_ask_at_least_for(&messages, &[1, 3])
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/request/02",
    rule: "request asks for further options, by number and by name.",
    faults: &[
        Fault::Config("/ipam/request/0", ""),
        Fault::Config("/ipam/request/1", "")
    ],
    run: |bench| {
        let request = json!({ "request": [{ "option": "42" }, { "option": "host-name" }] });
        let (_, messages) = asked(bench, request, "")?;
        both_ask_at_least_for(&messages, &[1, 3, 12, 42])
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/request/03",
    rule: "skipDefault leaves out what is asked for without being configured.",
    faults: &[
        Fault::Config("/ipam/request/0/skipDefault", ""),
        Fault::Config("/ipam/request", "")
    ],
    run: |bench| {
        let request = json!({ "request": [{ "option": "subnet-mask", "skipDefault": true }, { "option": "42" }] });
        let (_, messages) = asked(bench, request, "")?;
        both_ask_for(&messages, &[1, 42])
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/request/04",
    rule: "An option that is neither a known name nor a number up to 255 is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/ipam/request", ""),
        Fault::Config("/ipam/request/0/option", "42")
    ],
    run: |bench| {
        lan(bench, USUAL)?;
        for option in ["ntp", "256"] {
            let ipam = json!({ "type": "dhcp", "request": [{ "option": option }] });
            refuses_add(bench, json!({ "ipam": ipam }), &["parse option", option])?;
        }
        Ok(())
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/provide/01",
    rule: "provide sends options, by name and by number.",
    faults: &[
        Fault::Config("/ipam/provide/0", ""),
        Fault::Config("/ipam/provide/1", ""),
        Fault::Config("/ipam/provide/2", "")
    ],
    run: |bench| {
        let provide = json!({ "provide": [
            { "option": "host-name", "value": "h1" },
            { "option": "60", "value": "vendor" },
            { "option": "user-class", "value": "user" },
        ] });
        let (_, messages) = asked(bench, provide, "")?;
        both_have(&messages, HOST_NAME, b"h1")?;
        both_have(&messages, VENDOR_CLASS, b"vendor")?;
        both_have(&messages, USER_CLASS, b"user")
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/provide/02",
    rule: "fromArg takes the value from CNI_ARGS.",
    faults: &[
        Fault::Env("CNI_ARGS", ""),
        Fault::Config("/ipam/provide/0/fromArg", "")
    ],
    run: |bench| {
        let provide = json!({ "provide": [{ "option": "12", "fromArg": "K8S_POD_NAME" }] });
        let (_, messages) = asked(bench, provide, "IgnoreUnknown=1;K8S_POD_NAME=podx")?;
        both_have(&messages, HOST_NAME, b"podx")
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/provide/03",
    rule: "An unknown option under provide is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/ipam/provide", "")
    ],
    run: |bench| {
        lan(bench, USUAL)?;
        let ipam = json!({ "type": "dhcp", "provide": [{ "option": "bogus", "value": "h1" }] });
        refuses_add(bench, json!({ "ipam": ipam }), &["parse option", "bogus"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/provide/04",
    rule: "A value of more than 255 bytes is refused; no option could hold it.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/ipam/provide/0/value", "short")
    ],
    run: |bench| {
        lan(bench, USUAL)?;
        let ipam =
            json!({ "type": "dhcp", "provide": [{ "option": "12", "value": "v".repeat(256) }] });
        refuses_add(bench, json!({ "ipam": ipam }), &["too long", "12"])
    },
    ..DHCP
});

submit!(Case {
    id: "dhcp/del/01",
    rule: "DEL releases the lease: the server is told the address and the client identifier.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "other"))
    ],
    run: |bench| {
        let (config, _) = asked(bench, json!({}), "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let release = heard(bench, RELEASE, 1)?.remove(0);
        expect("address", &LEASED, &release.client.as_str())?;
        expect(
            "server",
            &Some(&vec![10, 88, 0, 1]),
            &release.options.get(&SERVER),
        )?;
        expect(
            "client identifier",
            &Some(&client_id("ctr1/suite/eth0")),
            &release.options.get(&CLIENT_ID),
        )
    },
    ..WIRE
});

submit!(Case {
    id: "dhcp/check/01",
    rule: "CHECK of a live lease succeeds and does not ask the server for another.",
    versions: CHECKED,
    faults: &[Fault::Fail("CHECK"), Fault::Twice("ADD")],
    repairs: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = asked(bench, json!({}), "")?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds()?;
        // What was said before the release is on the record once the release is.
        heard(bench, RELEASE, 1)?;
        expect("DISCOVER messages", &1, &heard(bench, DISCOVER, 1)?.len())
    },
    ..WIRE
});

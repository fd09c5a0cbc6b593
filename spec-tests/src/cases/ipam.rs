//! host-local: which address, and what lies on disk.

use super::prelude::*;

const HOST_LOCAL: Judges = Judges::Only(&["host-local"]);

fn add_for(bench: &mut Bench, container: &str, config: &Value) -> Result<Value, Failure> {
    let call = bench.call("ADD", config).env("CNI_CONTAINERID", container);
    let result = call.reply()?.result()?;
    Ok(result["ips"][0]["address"].clone())
}

fn with_ranges(bench: &Bench, ranges: Value) -> Value {
    let mut config = bench.config();
    config["ipam"] = json!({ "type": "host-local", "ranges": ranges });
    config
}

submit! {
    Case {
        id: "host-local/order/01",
        rule: "The first address is the one behind the gateway, the next is the one behind it.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::Result("/ips/0/address", "10.88.0.9/24")],
        run: |bench| {
        let config = bench.config();
        expect(
            "first",
            &json!("10.88.0.2/24"),
            &add_for(bench, "a", &config)?,
        )?;
        expect(
            "second",
            &json!("10.88.0.3/24"),
            &add_for(bench, "b", &config)?,
        )
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/order/02",
        rule: "A freed address is not handed out again before the range has been gone through.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::After("DEL", "rm /var/lib/cni/networks/suite/last_reserved_ip.0")],
        run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "a")
            .reply()?
            .succeeds_silently()?;
        expect(
            "next",
            &json!("10.88.0.3/24"),
            &add_for(bench, "b", &config)?,
        )
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/disk/01",
        rule: "A reservation is a file named by the address with container, CR LF, interface.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::After("ADD", "echo ctr1 > /var/lib/cni/networks/suite/10.88.0.2")],
        run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        let text = std::fs::read_to_string("/var/lib/cni/networks/suite/10.88.0.2")
            .map_err(anyhow::Error::from)?;
        expect("content", &"a\r\neth0".to_owned(), &text)
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/disk/02",
        rule: "last_reserved_ip.0 holds the address given last, without a newline.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::After("ADD", "echo >> /var/lib/cni/networks/suite/last_reserved_ip.0")],
        run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        let path = "/var/lib/cni/networks/suite/last_reserved_ip.0";
        let text = std::fs::read_to_string(path).map_err(anyhow::Error::from)?;
        expect("content", &"10.88.0.2".to_owned(), &text)
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/full/01",
        rule: "A full range fails with a message that names it.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::ExitZero, Fault::Error("/msg", "full")],
        run: |bench| {
        let config = with_ranges(bench, json!([[{ "subnet": "10.88.0.0/30" }]]));
        add_for(bench, "a", &config)?;
        let error = bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", "b")
            .reply()?
            .error()?;
        let text = error["msg"].to_string();
        expect_that(
            text.contains("10.88.0.1-10.88.0.2"),
            "the message names the range",
            text,
        )
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/dual/01",
        rule: "One address is given for each range set, in order.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
        faults: &[Fault::Config("/ipam/ranges/1", "")],
        run: |bench| {
        let ranges = json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "2001:db8::/64" }]]);
        let config = with_ranges(bench, ranges);
        let result = bench.add(&config)?;
        expect("IPv4", &json!("10.88.0.2/24"), &result["ips"][0]["address"])?;
        expect(
            "IPv6",
            &json!("2001:db8::2/64"),
            &result["ips"][1]["address"],
        )
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/requested/01",
        rule: "CNI_ARGS IP asks for an address.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::Env("CNI_ARGS", "")],
        run: |bench| {
        let config = bench.config();
        let result = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.77")
            .reply()?
            .result()?;
        expect(
            "address",
            &json!("10.88.0.77/24"),
            &result["ips"][0]["address"],
        )
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/requested/02",
        rule: "An address that is taken is refused to another container.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
        faults: &[Fault::Before("ADD", "rm -f /var/lib/cni/networks/suite/10.88.0.77")],
        run: |bench| {
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IP=10.88.0.77")
            .reply()?
            .succeeds()?;
        let again = bench.call("ADD", &config).env("CNI_ARGS", "IP=10.88.0.77");
        again
            .env("CNI_CONTAINERID", "other")
            .reply()?
            .error()
            .map(drop)
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/del/01",
        rule: "DEL frees the container's address and no other.",
        level: Level::Compat,
        source: "reference behaviour",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
        faults: &[Fault::Skip("DEL"), Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/10.88.0.*")],
        run: |bench| {
        let config = bench.config();
        add_for(bench, "a", &config)?;
        add_for(bench, "b", &config)?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "a")
            .reply()?
            .succeeds_silently()?;
        let exists = |ip: &str| {
            std::path::Path::new("/var/lib/cni/networks/suite")
                .join(ip)
                .exists()
        };
        expect(
            "a and b hold",
            &(false, true),
            &(exists("10.88.0.2"), exists("10.88.0.3")),
        )
    },
        ..CASE
    }
}

submit! {
    Case {
        id: "host-local/check/01",
        rule: "CHECK fails when the reservation is gone.",
        level: Level::Must,
        source: "Section 2, CHECK",
        judges: HOST_LOCAL,
        versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
        faults: &[Fault::Skip("CHECK")],
        run: |bench| {
        let mut config = bench.config();
        let result = bench.add(&config)?;
        config["prevResult"] = result;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        std::fs::remove_file("/var/lib/cni/networks/suite/10.88.0.2")
            .map_err(anyhow::Error::from)?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
        ..CASE
    }
}

//! bridge: `flowtableUplinks`, long connections that bypass the rules. A key of podwire's: what the reference does not
//! know, nobody has to. What it does with packets needs a kernel with flowtables; what is refused, none.

use crate::cases::{prelude::*, sight::*};

use super::BRIDGE;

const FLOWTABLE: Case = Case {
    level: Level::Should,
    source: "docs/decisions/0019 of podwire",
    ..BRIDGE
};

/// The option is not seen.
const UNSEEN: Fault = Fault::Config("/flowtableUplinks", "");

submit!(Case {
    id: "bridge/flowtable/01",
    rule: "flowtableUplinks with a link that is not there, lo, the bridge itself or a name twice, and without a gateway, is refused with code 7, and nothing is left.",
    faults: &[
        UNSEEN,
        Fault::ExitZero,
        Fault::Code(999),
        Fault::Error("/msg", "no"),
        Fault::Instead(
            "ADD",
            r#""$REAL"; code=$?; ip link add veth8 type veth peer name veth9; exit $code"#
        )
    ],
    run: |bench| {
        bench.pod("pod")?;
        for contrary in [
            json!({ "flowtableUplinks": ["nonesuch0"] }),
            json!({ "flowtableUplinks": ["lo"] }),
            json!({ "flowtableUplinks": ["suite0"] }),
            json!({ "flowtableUplinks": ["eth0", "eth0"] }),
            json!({ "flowtableUplinks": ["eth0"], "isGateway": false }),
        ] {
            let config = with(bench, contrary);
            let reply = bench.call("ADD", &config).reply()?;
            reply.fails_with(7)?;
            complains(&reply, &["flowtableUplinks"])?;
            nothing_left(bench)?;
        }
        Ok(())
    },
    ..FLOWTABLE
});

submit!(Case {
    id: "bridge/flowtable/02",
    rule: "STATUS with flowtableUplinks answers code 50 where the host lacks one of the links.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[UNSEEN, Fault::ExitZero, Fault::Code(7)],
    run: |bench| {
        let config = with(bench, json!({ "flowtableUplinks": ["nonesuch0"] }));
        let reply = status(bench, &config)?;
        reply.fails_with(50)?;
        complains(&reply, &["flowtableUplinks", "nonesuch0"])
    },
    ..FLOWTABLE
});

//! Taking over what the other directory's plugins made: those that make one link in the pod, on a link
//! of the host's.

use crate::cases::{links::*, prelude::*, sight::*};

/// `m0` and pod `pod`, added by the other plugin for both families; the configuration as a runtime
/// sends it afterwards.
fn added_by_other(bench: &mut Bench) -> Result<Value, Failure> {
    master(bench)?;
    bench.pod("pod")?;
    let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    let config = with(bench, json!({ "ipam": routed(dual(), routes) }));
    let result = bench.call_other("ADD", &config)?.reply()?.result()?;
    Ok(after_add(&config, &result))
}

/// Neither interface nor reservations.
fn nothing_left(bench: &mut Bench) -> Result<(), Failure> {
    expect("links", &list(&[]), &pod_links(bench)?)?;
    expect("reservations", &list(&[]), &reserved())
}

macro_rules! taken_over {
    ($name:literal, $link:literal) => {
        submit!(Case {
            id: concat!("takeover/", $name, "/01"),
            rule: "CHECK of what the other plugin added succeeds, and finds an address gone.",
            faults: &[
                Fault::Skip("CHECK"),
                Fault::On("CHECK", &Fault::Config("/prevResult/interfaces", ""))
            ],
            run: |bench| {
                let config = added_by_other(bench)?;
                let flush = ["ip", "-n", "pod", "address", "flush", "dev", "eth0"];
                check_finds(bench, &config, &flush)
            },
            ..taken_over(&[$name], &[$link])
        });

        submit!(Case {
            id: concat!("takeover/", $name, "/02"),
            rule: "DEL removes what the other plugin made, and succeeds again.",
            faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
            run: |bench| {
                let config = added_by_other(bench)?;
                for _ in 0..2 {
                    bench.call("DEL", &config).reply()?.succeeds_silently()?;
                }
                nothing_left(bench)
            },
            ..taken_over(&[$name], &[$link])
        });

        submit!(Case {
            id: concat!("takeover/", $name, "/03"),
            rule: "DEL removes what the other plugin made also without its result.",
            faults: &[Fault::Skip("DEL")],
            run: |bench| {
                let mut config = added_by_other(bench)?;
                config["prevResult"] = json!(null);
                bench.call("DEL", &config).reply()?.succeeds_silently()?;
                nothing_left(bench)
            },
            ..taken_over(&[$name], &[$link])
        });

        submit!(Case {
            id: concat!("takeover/", $name, "/04"),
            rule: "A second ADD of what the other plugin added fails and leaves it whole.",
            faults: &[
                Fault::ExitZero,
                Fault::Before("ADD", "ip -n pod link delete eth0")
            ],
            run: |bench| {
                let config = added_by_other(bench)?;
                bench.call("ADD", &config).reply()?.error()?;
                bench.call("CHECK", &config).reply()?.succeeds_silently()
            },
            ..taken_over(&[$name], &[$link])
        });
    };
}

const fn taken_over(names: &'static [&'static str], needs: &'static [&'static str]) -> Case {
    Case {
        judges: Judges::Only(names),
        needs,
        set: Set::Takeover,
        versions: CHECKED,
        ..COMPAT
    }
}

taken_over!("macvlan", "link:macvlan");
taken_over!("ipvlan", "link:ipvlan");
taken_over!("vlan", "link:vlan");

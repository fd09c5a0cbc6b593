//! DEL behind an ADD that was refused, because somebody's interface has the name: it has no result, and nothing but
//! the interface itself to go by.

use crate::cases::{links::master, prelude::*, sight::*};

const WITHOUT_ALIASES: &str =
    "for link in $(ip -br link | cut -d ' ' -f 1 | cut -d @ -f 1); do ip link set $link alias ''; done
    ip -n pod link set eth0 alias ''";

#[allow(clippy::unnecessary_wraps, reason = "other plugins need a master")]
fn nothing(_: &mut Bench) -> Result<(), Failure> {
    Ok(())
}

/// The pod has another container's interface, of the plugin's own kind, which does not say whose it is.
fn leaves_the_others(
    bench: &mut Bench,
    prepare: fn(&mut Bench) -> Result<(), Failure>,
) -> Result<(), Failure> {
    prepare(bench)?;
    bench.pod("pod")?;
    let config = bench.config();
    let add = bench.call("ADD", &config);
    let result = add.env("CNI_CONTAINERID", "other").reply()?.result()?;
    bench.run("sh", &["-ec", WITHOUT_ALIASES])?;
    let index = |bench: &mut Bench| -> Result<Value, Failure> {
        Ok(link(bench, "pod", "eth0")?["ifindex"].clone())
    };
    let before = index(bench)?;
    bench.call("ADD", &config).reply()?.error()?;
    for _ in 0..2 {
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("index of eth0", &before, &index(bench)?)?;
    }
    let del = bench.call("DEL", &after_add(&config, &result));
    let del = del.env("CNI_CONTAINERID", "other");
    del.reply()?.succeeds_silently()?;
    expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)
}

macro_rules! taken {
    ($name:literal, $needs:expr, $prepare:path) => {
        submit!(Case {
            id: concat!($name, "/taken/01"),
            rule: "DEL behind an ADD that was refused because the pod has an interface of that name leaves it, again and again; DEL of its owner, with its result, removes it.",
            judges: Judges::Only(&[$name]),
            versions: CHECKED,
            needs: $needs,
            faults: &[
                Fault::Where("/prevResult", &Fault::Skip("DEL")),
                Fault::Before("DEL", "ip -n pod link del eth0")
            ],
            run: |bench| leaves_the_others(bench, $prepare),
            ..COMPAT
        });
    };
}

taken!("bridge", &[], nothing);
taken!("ptp", &[], nothing);
taken!("macvlan", &[], master);
taken!("ipvlan", &["link:ipvlan"], master);
taken!("vlan", &["link:vlan"], master);
taken!("dummy", &["link:dummy"], nothing);
taken!("tap", &[], nothing);

//! Real packets: who reaches whom, and which source address is seen there.

use crate::cases::{
    http,
    prelude::*,
    sight::{HOST, inside, watched, without_dad},
};

/// An address answers a ping from a namespace.
///
/// The kernel first makes sure that a new IPv6 address is no duplicate; until then a ping may end
/// at once with "unreachable".
pub(in crate::cases) fn answers(bench: &mut Bench, ns: &str, address: &str) -> Result<(), Failure> {
    let answered = bench.in_time(|bench| pings(bench, ns, &[address]));
    expect_that(answered, &format!("{address} answers {ns}"), "no answer")
}

/// An address answers a ping from a namespace that is sent from this address there.
pub(in crate::cases) fn answers_from(
    bench: &mut Bench,
    ns: &str,
    source: &str,
    target: &str,
) -> Result<(), Failure> {
    let answered = bench.in_time(|bench| pings(bench, ns, &["-I", source, target]));
    expect_that(answered, &format!("{target} answers {source}"), "no answer")
}

/// It does not answer; something else must have answered before, so that this means anything.
pub(in crate::cases) fn is_silent(
    bench: &mut Bench,
    ns: &str,
    address: &str,
) -> Result<(), Failure> {
    let answered = pings(bench, ns, &[address]);
    expect_that(
        !answered,
        &format!("{address} does not answer {ns}"),
        "it answered",
    )
}

/// Whether one ping from a namespace is answered within a second.
fn pings(bench: &mut Bench, ns: &str, target: &[&str]) -> bool {
    let ping = ["ping", "-n", "-c", "1", "-W", "1"];
    watched(bench, ns, &[&ping, target].concat()).is_ok()
}

/// A machine `outside` behind the host that knows no way to the pods: 192.0.2.2 and
/// 2001:db8:ffff::2, the host being .1 and ::1 there.
pub(in crate::cases) fn outside(bench: &mut Bench) -> Result<(), Failure> {
    bench.pod("outside")?;
    for ns in [HOST, "outside"] {
        without_dad(bench, ns)?;
    }
    let peer = ["type", "veth", "peer", "name", "uplink", "netns", "outside"];
    bench.run(
        "ip",
        &[&["link", "add", "uplink"], peer.as_slice()].concat(),
    )?;
    for (ns, last) in [(HOST, "1"), ("outside", "2")] {
        inside(bench, ns, &["ip", "link", "set", "uplink", "up"])?;
        for address in [
            format!("192.0.2.{last}/24"),
            format!("2001:db8:ffff::{last}/64"),
        ] {
            let mut args = vec!["ip", "address", "add", &address, "dev", "uplink"];
            if address.contains(':') {
                args.push("nodad");
            }
            inside(bench, ns, &args)?;
        }
    }
    Ok(())
}

/// The address that a server outside sees when the pod asks it.
pub(in crate::cases) fn seen_outside(
    bench: &mut Bench,
    ns: &str,
    server: &str,
) -> Result<String, Failure> {
    http::page(bench, "outside", "peer", "$REMOTE_ADDR")?;
    http::serve_on(bench, "outside", &format!("{server}:80"))?;
    let address = server.trim_matches(['[', ']']);
    let said = patiently(bench, |bench, limit| {
        http::told_by(bench, ns, (address, 80), "peer", limit)
    });
    let what = format!("{server} answers {ns:?}");
    expect_that(!said.is_empty(), &what, "no answer")?;
    Ok(said)
}

/// Asks until there is an answer or the bench's patience ends; then it is empty. One try takes at
/// most the time, in seconds, that it is given.
pub(in crate::cases) fn patiently(
    bench: &mut Bench,
    mut once: impl FnMut(&mut Bench, &str) -> String,
) -> String {
    let limit = format!("{:.2}", bench.patience.as_secs_f64() / 4.0);
    let mut said = String::new();
    bench.in_time(|bench| {
        said = once(bench, &limit);
        !said.is_empty()
    });
    said
}

/// The last line that a program in a namespace says, when that is an address without what is put
/// around it; empty when the program fails.
pub(in crate::cases) fn said_by(bench: &mut Bench, ns: &str, args: &[&str]) -> String {
    let said = watched(bench, ns, args).unwrap_or_default();
    let last = said.lines().last().unwrap_or_default().trim();
    let last = last.trim_matches(['[', ']']);
    last.trim_start_matches("::ffff:").to_owned()
}

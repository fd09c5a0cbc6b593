//! What the kernel and the disk show, as the compatibility cases look at it.

use std::path::Path;

use crate::cases::prelude::*;
use crate::{
    actor::Answer,
    steps::{self, Kind},
};

/// The namespace in which plugins run.
pub(in crate::cases) const HOST: &str = "";

/// Where host-local keeps the suite's network.
pub(in crate::cases) const RESERVATIONS: &str = "/var/lib/cni/networks/suite";

/// What a compatibility case is unless it says otherwise.
pub(in crate::cases) const COMPAT: Case = Case {
    level: Level::Compat,
    source: "reference behaviour",
    ..CASE
};

/// What 1.7.0 and later do with a pod's interface of IPv6 addresses, laid over an older release.
pub(in crate::cases) const KEEP_ADDRESSES: Fault = Fault::After(
    "ADD",
    "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down'",
);

/// A case of one plugin where bad input must be refused with words that users search for.
macro_rules! refused {
    ($base:expr, $id:literal, $rule:literal, $patch:tt, $words:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[
                Fault::ExitZero,
                Fault::Error("/msg", "it failed"),
                Fault::Skip("ADD")
            ],
            run: |bench| refuses_add(bench, json!($patch), &$words),
            ..$base
        });
    };
}
pub(in crate::cases) use refused;

/// The minimal configuration with these top-level keys instead; `null` removes one.
pub(in crate::cases) fn with(bench: &Bench, changes: Value) -> Value {
    let mut config = bench.config();
    for (key, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            config.as_object_mut().map(|all| all.remove(key));
        } else {
            config[key] = value.clone();
        }
    }
    config
}

/// Top-level keys of both, the second winning.
pub(in crate::cases) fn merged(mut base: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

/// Pod `pod` added with a changed configuration; returns that and the result.
pub(in crate::cases) fn attach(
    bench: &mut Bench,
    changes: Value,
) -> Result<(Value, Value), Failure> {
    bench.pod("pod")?;
    let config = with(bench, changes);
    let result = bench.add(&config)?;
    Ok((config, result))
}

/// Another pod of its own name, whose container has that name too.
pub(in crate::cases) fn attach_other(
    bench: &mut Bench,
    name: &str,
    config: &Value,
) -> Result<Value, Failure> {
    let netns = bench.pod(name)?;
    let call = bench.call("ADD", config).env("CNI_NETNS", &netns);
    call.env("CNI_CONTAINERID", name).reply()?.result()
}

/// DEL of what [`attach_other`] added.
pub(in crate::cases) fn detach_other(
    bench: &mut Bench,
    name: &str,
    config: &Value,
) -> Result<(), Failure> {
    let call = bench.call("DEL", config).env("CNI_CONTAINERID", name);
    let netns = format!("/run/netns/{name}");
    call.env("CNI_NETNS", &netns).reply()?.succeeds_silently()
}

/// ADD with this configuration must fail with all these words in message or details.
pub(in crate::cases) fn refuses_add(
    bench: &mut Bench,
    changes: Value,
    words: &[&str],
) -> Result<(), Failure> {
    if !Path::new("/run/netns/pod").exists() {
        bench.pod("pod")?;
    }
    let config = with(bench, changes);
    let reply = bench.call("ADD", &config).reply()?;
    complains(&reply, words)
}

/// The call failed with all these words in message or details.
pub(in crate::cases) fn complains(reply: &Reply, words: &[&str]) -> Result<(), Failure> {
    let error = reply.error()?;
    let text = format!("{}; {}", error["msg"], error["details"]).to_lowercase();
    for word in words {
        let what = format!("the message says {word:?}");
        expect_that(text.contains(&word.to_lowercase()), &what, &text)?;
    }
    Ok(())
}

/// Output of `ip -j …` in a namespace.
pub(in crate::cases) fn ip(bench: &mut Bench, ns: &str, args: &[&str]) -> Result<Value, Failure> {
    asked(bench, ns, args).map_err(unseen)
}

fn asked(bench: &mut Bench, ns: &str, args: &[&str]) -> anyhow::Result<Value> {
    let mut all = vec!["-j", "-d"];
    if ns != HOST {
        all.extend(["-n", ns]);
    }
    all.extend(args);
    bench.look("ip", &all)
}

fn unseen(error: anyhow::Error) -> Failure {
    Failure::new("what ip shows", "it is there", format!("{error:#}"))
}

/// What ip says of a routing table that never had a route.
const NO_TABLE: &str = "FIB table does not exist";

/// What a program showed; nothing when it complained with these words that what it was asked for
/// is not there. Any other complaint stays an error.
pub(in crate::cases) fn unless_missing<T>(
    shown: anyhow::Result<T>,
    missing: &str,
) -> anyhow::Result<Option<T>> {
    match shown {
        Ok(shown) => Ok(Some(shown)),
        Err(error) if format!("{error:#}").contains(missing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One link, as `ip -j -d link show` tells it.
pub(in crate::cases) fn link(bench: &mut Bench, ns: &str, name: &str) -> Result<Value, Failure> {
    Ok(ip(bench, ns, &["link", "show", "dev", name])?[0].clone())
}

/// Whether the link carries this flag (`UP`, `PROMISC`).
pub(in crate::cases) fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"]
        .as_array()
        .is_some_and(|flags| flags.contains(&json!(flag)))
}

/// Names of all links in a namespace.
pub(in crate::cases) fn links(bench: &mut Bench, ns: &str) -> Result<Vec<String>, Failure> {
    Ok(texts(&ip(bench, ns, &["link"])?, "ifname"))
}

/// Names of the host's links that begin with `veth`.
pub(in crate::cases) fn host_veths(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    let mut all = links(bench, HOST)?;
    all.retain(|name| name.starts_with("veth"));
    Ok(all)
}

/// The host's end of the pod's pair, as a bridge result (second) or ptp result (first) lists it.
pub(in crate::cases) fn host_end(result: &Value) -> String {
    let interfaces = result["interfaces"].as_array();
    let host_side = |entry: &&Value| {
        entry["sandbox"].is_null()
            && entry["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("veth"))
    };
    let entry = interfaces.into_iter().flatten().find(host_side);
    entry
        .and_then(|entry| entry["name"].as_str())
        .unwrap_or("no-host-end-in-the-result")
        .to_owned()
}

/// Global and host scope addresses of a link, with prefix length.
pub(in crate::cases) fn addresses(
    bench: &mut Bench,
    ns: &str,
    dev: &str,
) -> Result<Vec<String>, Failure> {
    let seen = ip(bench, ns, &["address", "show", "dev", dev])?;
    let of = |address: &Value| {
        let local = address["local"].as_str()?;
        (address["scope"] != "link").then(|| format!("{local}/{}", address["prefixlen"]))
    };
    let all = seen[0]["addr_info"].as_array();
    Ok(all.into_iter().flatten().filter_map(of).collect())
}

/// Routes of a family and table that the kernel did not make itself, sorted:
/// `default via 10.88.0.1 dev eth0 metric 5`.
pub(in crate::cases) fn routes(
    bench: &mut Bench,
    ns: &str,
    table: &str,
) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        let args = [family, "route", "show", "table", table];
        let seen = unless_missing(asked(bench, ns, &args), NO_TABLE)
            .map_err(unseen)?
            .unwrap_or_default();
        all.extend(seen.as_array().into_iter().flatten().filter_map(route));
    }
    all.sort();
    Ok(all)
}

fn route(route: &Value) -> Option<String> {
    let of_kernel = ["kernel", "ra"].contains(&route["protocol"].as_str().unwrap_or_default());
    let mut text = route["dst"].as_str()?.to_owned();
    if of_kernel || text.starts_with("fe80:") || text.starts_with("ff00:") {
        return None;
    }
    for (word, key) in [
        ("via", "gateway"),
        ("dev", "dev"),
        ("scope", "scope"),
        ("src", "prefsrc"),
    ] {
        match route[key].as_str() {
            None | Some("global") => {}
            Some(value) => text.push_str(&format!(" {word} {value}")),
        }
    }
    match route["metric"].as_u64() {
        None | Some(0 | 1024) => {}
        Some(metric) => text.push_str(&format!(" metric {metric}")),
    }
    Some(text)
}

/// How often a link-local address is looked at, with pauses of 20 ms: the kernel calls each tentative for a
/// moment, and looks for duplicates for a second at least.
const LOOKS: usize = 10;

/// That nobody looks for duplicates of the address by which a link of the host asks for neighbours. The kernel
/// gives it one with the carrier.
pub(in crate::cases) fn expect_usable_link_local(
    bench: &mut Bench,
    link: &str,
) -> Result<(), Failure> {
    let args = ["-6", "address", "show", "dev", link, "scope", "link"];
    let mut seen: Vec<Value> = Vec::new();
    let mut looks = 0;
    bench.in_time(|bench| {
        let shown = ip(bench, HOST, &args).unwrap_or_default();
        let addresses = shown[0]["addr_info"].as_array().into_iter().flatten();
        // ip shows addresses of other scopes as empty objects.
        let own = addresses.filter(|address| address["local"].is_string());
        seen = own.cloned().collect();
        looks += usize::from(!seen.is_empty());
        looks == LOOKS || is_usable(&seen)
    });
    let what = "there is one, and it is not tentative";
    expect_that(is_usable(&seen), what, json!(seen))
}

fn is_usable(addresses: &[Value]) -> bool {
    let tentative = |address: &Value| !address["tentative"].is_null();
    !addresses.is_empty() && !addresses.iter().any(tentative)
}

/// A sysctl below `/proc/sys` of a namespace.
pub(in crate::cases) fn sysctl(bench: &mut Bench, ns: &str, key: &str) -> Result<String, Failure> {
    let path = format!("/proc/sys/{key}");
    let text = watched(bench, ns, &["cat", &path])?;
    Ok(text.trim().to_owned())
}

/// Runs a program in a namespace; it must succeed.
pub(in crate::cases) fn inside(
    bench: &mut Bench,
    ns: &str,
    args: &[&str],
) -> Result<String, Failure> {
    if ns == HOST {
        return Ok(bench.run(args[0], &args[1..])?);
    }
    let all = [&["netns", "exec", ns], args].concat();
    Ok(bench.run("ip", &all)?)
}

/// Runs a program in a namespace that shows something; it must succeed.
pub(in crate::cases) fn watched(
    bench: &mut Bench,
    ns: &str,
    args: &[&str],
) -> Result<String, Failure> {
    if ns == HOST {
        return Ok(bench.watch(args[0], &args[1..])?);
    }
    let all = [&["netns", "exec", ns], args].concat();
    Ok(bench.watch("ip", &all)?)
}

/// Addresses that host-local holds, as the files in its directory say; sorted.
pub(in crate::cases) fn reserved() -> Vec<String> {
    let mut all = files(RESERVATIONS);
    all.retain(|name| name.parse::<std::net::IpAddr>().is_ok());
    all
}

/// Names of the files in a directory; none where there is none.
pub(in crate::cases) fn files(dir: &str) -> Vec<String> {
    steps::did(Kind::Look, format!("ls {dir}"));
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}

/// A file's text; empty where there is none.
pub(in crate::cases) fn text(path: &str) -> String {
    steps::did(Kind::Look, format!("cat {path}"));
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Nothing of an attachment is left: no link in the pod, no veth on the host, no reservation.
pub(in crate::cases) fn nothing_left(bench: &mut Bench) -> Result<(), Failure> {
    let none = Vec::<String>::new();
    expect("veths on the host", &none, &host_veths(bench)?)?;
    if Path::new("/run/netns/pod").exists() {
        let inside = links(bench, "pod")?;
        expect("links in the pod", &vec!["lo".to_owned()], &inside)?;
    }
    expect("reservations", &none, &reserved())
}

/// The configuration as a runtime sends it behind ADD.
pub(in crate::cases) fn after_add(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    config
}

/// CHECK of a healthy attachment succeeds; after `damage` (`ip` and its arguments) it fails.
pub(in crate::cases) fn check_finds(
    bench: &mut Bench,
    config: &Value,
    damage: &[&str],
) -> Result<(), Failure> {
    bench.call("CHECK", config).reply()?.succeeds_silently()?;
    bench.run(damage[0], &damage[1..])?;
    bench.call("CHECK", config).reply()?.error().map(drop)
}

/// CHECK succeeds, and after `nft flush ruleset` fails and says all of these words.
pub(in crate::cases) fn check_names_what_was_flushed(
    bench: &mut Bench,
    config: &Value,
    words: &[&str],
) -> Result<(), Failure> {
    bench.call("CHECK", config).reply()?.succeeds_silently()?;
    bench.run("nft", &["flush", "ruleset"])?;
    complains(&bench.call("CHECK", config).reply()?, words)
}

/// What runs a plugin that may not change the network.
pub(in crate::cases) const POWERLESS: &[&str] = &[
    "setpriv",
    "--bounding-set=-net_admin",
    "--inh-caps=-net_admin",
];

fn texts(rows: &Value, key: &str) -> Vec<String> {
    let of = |row: &Value| Some(row[key].as_str()?.to_owned());
    rows.as_array()
        .into_iter()
        .flatten()
        .filter_map(of)
        .collect()
}

/// An owned text list to compare with.
pub(in crate::cases) fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

/// `suite0`'s configuration key `ipam` for host-local with one range set per subnet.
pub(in crate::cases) fn host_local(subnets: &[&str]) -> Value {
    let sets: Vec<_> = subnets
        .iter()
        .map(|subnet| json!([{ "subnet": subnet }]))
        .collect();
    json!({ "type": "host-local", "ranges": sets })
}

/// The two families of the suite.
pub(in crate::cases) fn dual() -> Value {
    host_local(&["10.88.0.0/24", "2001:db8::/64"])
}

/// IPv6 alone.
pub(in crate::cases) fn six() -> Value {
    host_local(&["2001:db8::/64"])
}

/// An IPAM plugin of the suite's own that gives these addresses with their gateways (an empty
/// gateway is none), these routes, and nothing else; returns the key `ipam`.
pub(in crate::cases) fn told(
    bench: &mut Bench,
    addresses: &[(&str, &str)],
    routes: Value,
) -> Result<Value, Failure> {
    let entry = |(address, gateway): &(&str, &str)| match *gateway {
        "" => json!({ "address": address }),
        gateway => json!({ "address": address, "gateway": gateway }),
    };
    let entries: Vec<_> = addresses.iter().map(entry).collect();
    let mut answer = json!({ "cniVersion": "1.0.0", "ips": entries });
    if routes.is_array() {
        answer["routes"] = routes;
    }
    bench.actor("told", &[("ADD", Answer::with(&answer))])?;
    Ok(json!({ "type": "told" }))
}

/// An IPAM configuration with these routes.
pub(in crate::cases) fn routed(mut ipam: Value, routes: Value) -> Value {
    ipam["routes"] = routes;
    ipam
}

/// New links of a namespace use their IPv6 addresses at once: no duplicate address detection.
pub(in crate::cases) fn without_dad(bench: &mut Bench, ns: &str) -> Result<(), Failure> {
    let off = "for c in all default; do echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad; done";
    inside(bench, ns, &["sh", "-c", off]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_counts_as_empty() {
        let seen = |text: &'static str| unless_missing::<()>(Err(anyhow::anyhow!(text)), NO_TABLE);
        let missing = "ip -n pod route show table 77: Error: ipv4: FIB table does not exist.";
        assert_eq!(seen(missing).unwrap(), None);
        for error in [
            "ip -n pod route: Cannot open network namespace \"pod\": No such file or directory",
            "ip route show table x: Error: argument \"x\" is wrong: table id value is invalid",
            "ip route: No such file or directory (os error 2)",
        ] {
            assert!(seen(error).is_err(), "{error}");
        }
    }
}

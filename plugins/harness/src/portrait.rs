//! Namespaces as lines of text: links, addresses, routes, sysctls. Random names are replaced.

use std::{collections::BTreeMap, fmt::Write, fs};

use serde_json::Value;

use crate::{ip, sh};

/// Links (without `lo`), addresses and routes of a namespace; of the own one without a name.
pub fn network(pod: Option<&str>) -> String {
    let n = pod.map(|pod| format!("-n {pod} ")).unwrap_or_default();
    // A link's operational state is older than its carrier until the kernel has looked at it.
    let looked_at = |line: &str| {
        !line.contains("state UNKNOWN") && line.contains("state UP") == line.contains("LOWER_UP")
    };
    for _ in 0..3000 {
        if sh(&format!("ip {n}link show type veth"))
            .lines()
            .all(looked_at)
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut text = String::new();
    for link in ip(&format!("{n}-d link")).as_array().unwrap() {
        if link["ifname"] != "lo" {
            writeln!(text, "{}", link_line(link)).unwrap();
        }
    }
    for link in ip(&format!("{n}addr")).as_array().unwrap() {
        addresses(&mut text, link);
    }
    for family in ["4", "6"] {
        for route in ip(&format!("{n}-d -{family} route show table all"))
            .as_array()
            .unwrap()
        {
            if let Some(line) = route_line(family, route) {
                writeln!(text, "{line}").unwrap();
            }
        }
    }
    text
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn link_line(link: &Value) -> String {
    let info = &link["linkinfo"];
    let kind = info["info_kind"].as_str().unwrap_or("-");
    let mut flags: Vec<&str> = link["flags"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .filter(|flag| !["BROADCAST", "MULTICAST"].contains(flag))
        .collect();
    if kind == "bridge" {
        // Follow the ports with a delay.
        flags.retain(|flag| !["LOWER_UP", "NO-CARRIER"].contains(flag));
    }
    flags.sort_unstable();
    let flags = if flags.is_empty() {
        "-".to_owned()
    } else {
        flags.join(",")
    };
    let mut line = format!(
        "{}: kind={kind} mtu={} flags={flags}",
        text_of(&link["ifname"]),
        link["mtu"]
    );
    if kind != "bridge" {
        write!(line, " oper={}", text_of(&link["operstate"])).unwrap();
    }
    write!(
        line,
        " txqlen={} mac={}",
        link["txqlen"].as_u64().unwrap_or(0),
        text_of(&link["address"])
    )
    .unwrap();
    if link.get("link_netnsid").is_some() {
        line.push_str(" peer=(other netns)");
    } else if let Some(peer) = link.get("link") {
        write!(line, " peer={}", text_of(peer)).unwrap();
    }
    for (key, value) in [
        ("master", "master"),
        ("promiscuity", "promiscuity"),
        ("allmulti", "allmulti"),
    ] {
        match link.get(value) {
            None => {}
            Some(value) if value == 0 => {}
            Some(value) => write!(line, " {key}={}", text_of(value)).unwrap(),
        }
    }
    if let Some(alias) = link.get("ifalias") {
        write!(line, " alias={}", text_of(alias)).unwrap();
    }
    if info["info_slave_kind"] == "bridge" {
        let port = &info["info_slave_data"];
        let on: Vec<&str> = ["hairpin", "isolated"]
            .into_iter()
            .filter(|flag| port[*flag] == true)
            .collect();
        let on = if on.is_empty() {
            "-".to_owned()
        } else {
            on.join(",")
        };
        write!(line, " port{{state={} on={on}}}", text_of(&port["state"])).unwrap();
    }
    if kind == "bridge" {
        write!(
            line,
            " vlan_filtering={}",
            info["info_data"]["vlan_filtering"]
        )
        .unwrap();
    }
    line
}

fn addresses(text: &mut String, link: &Value) {
    if link["ifname"] == "lo" {
        return;
    }
    for address in link["addr_info"].as_array().unwrap() {
        if text_of(&address["local"]).starts_with("fe80:") {
            continue;
        }
        write!(
            text,
            "addr {}/{} dev {} scope {}",
            text_of(&address["local"]),
            address["prefixlen"],
            text_of(&link["ifname"]),
            text_of(&address["scope"])
        )
        .unwrap();
        if let Some(broadcast) = address.get("broadcast") {
            write!(text, " brd {}", text_of(broadcast)).unwrap();
        }
        if let Some(label) = address
            .get("label")
            .filter(|label| **label != link["ifname"])
        {
            write!(text, " label {}", text_of(label)).unwrap();
        }
        if address["noprefixroute"] == true {
            text.push_str(" noprefixroute");
        }
        if address["tentative"] == true && text_of(&link["ifname"]) != "cni0" {
            text.push_str(" tentative");
        }
        text.push('\n');
    }
}

fn route_line(family: &str, route: &Value) -> Option<String> {
    let dst = text_of(&route["dst"]);
    let kernels_own = ["fe80::/64", "ff00::/8"].contains(&dst.as_str());
    if route["table"] == "local" || kernels_own || route["type"] == "multicast" {
        return None;
    }
    let mut line = format!("route-{family} {dst}");
    for (key, word) in [
        ("gateway", "via"),
        ("dev", "dev"),
        ("table", "table"),
        ("protocol", "proto"),
        ("scope", "scope"),
        ("prefsrc", "src"),
        ("metric", "metric"),
    ] {
        match (key, route.get(key)) {
            ("table", Some(value)) if value == "main" => {}
            (_, Some(value)) => write!(line, " {word} {}", text_of(value)).unwrap(),
            ("scope", None) => line.push_str(" scope global"),
            _ => {}
        }
    }
    if let Some(metrics) = route["metrics"].as_array() {
        for (key, value) in metrics.iter().filter_map(Value::as_object).flatten() {
            write!(line, " {key} {value}").unwrap();
        }
    }
    for hop in route["nexthops"].as_array().into_iter().flatten() {
        write!(
            line,
            " nexthop via {} dev {}",
            text_of(&hop["gateway"]),
            text_of(&hop["dev"])
        )
        .unwrap();
    }
    Some(line)
}

/// Values below `net/ipv4` and `net/ipv6`: the global switches, and what is set per interface.
pub type Sysctls = BTreeMap<String, String>;

/// Of a namespace; of the own one without a name.
pub fn sysctls(pod: Option<&str>) -> Sysctls {
    let list = "cd /proc/sys/net; grep -rs . ipv4/conf ipv6/conf ipv4/ip_forward || true";
    let text = match pod {
        None => sh(list),
        Some(pod) => sh(&format!("ip netns exec {pod} sh -c '{list}'")),
    };
    // Per-interface forwarding follows the global switch, the MTU the link's; the secret is random.
    let noise = |key: &str| {
        let per_interface = !key.contains("/all/") && key.ends_with("/forwarding");
        per_interface
            || ["/mc_forwarding", "/stable_secret", "/mtu"]
                .iter()
                .any(|name| key.ends_with(name))
    };
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| !noise(key))
        .map(|(key, value)| (format!("net/{key}"), value.to_owned()))
        .collect()
}

/// What changed; an interface that is new is compared with the defaults.
pub fn changes(before: &Sysctls, after: &Sysctls) -> String {
    let default_of = |key: &str| -> Option<&String> {
        let (head, tail) = key.split_once("/conf/")?;
        let (_, name) = tail.rsplit_once('/')?;
        before.get(&format!("{head}/conf/default/{name}"))
    };
    let mut text = String::new();
    for (key, value) in after {
        let was = before.get(key).or_else(|| default_of(key));
        // `accept_redirects` follows `ip_forward`.
        if was != Some(value)
            && !key.ends_with("/accept_redirects")
            && !key.ends_with("v4/conf/all/forwarding")
        {
            let was = was.map_or("-", String::as_str);
            writeln!(text, "{key}: {was} -> {value}").unwrap();
        }
    }
    text
}

/// nftables and iptables rules.
pub fn rules() -> String {
    sh("nft list ruleset")
}

/// Replaces random MAC addresses and host interface names by numbered placeholders.
pub fn normalise(text: &str) -> String {
    let mut macs = Vec::new();
    let mut veths = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (taken, placeholder) = if let Some(mac) = leading_mac(rest) {
            (17, number(&mut macs, mac, "MAC"))
        } else if let Some(veth) = leading_veth(rest) {
            (12, number(&mut veths, veth, "VETH"))
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            (length, rest[..length].to_owned())
        };
        out.push_str(&placeholder);
        rest = &rest[taken..];
    }
    out
}

fn number<'a>(seen: &mut Vec<&'a str>, text: &'a str, kind: &str) -> String {
    let at = seen.iter().position(|one| *one == text).unwrap_or_else(|| {
        seen.push(text);
        seen.len() - 1
    });
    format!("<{kind}{}>", at + 1)
}

/// Not those that a test gives (`c2:11:22:..`), nor the one of a bridge without ports.
fn leading_mac(text: &str) -> Option<&str> {
    let mac = text.get(..17)?;
    let given = mac.starts_with("c2:11:22") || mac == "00:00:00:00:00:00";
    let well_formed = mac.bytes().enumerate().all(|(at, byte)| match at % 3 {
        2 => byte == b':',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    });
    (well_formed && !given).then_some(mac)
}

fn leading_veth(text: &str) -> Option<&str> {
    let veth = text.get(..12)?;
    let digits = veth.strip_prefix("veth")?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then_some(veth)
}

/// Regular files and directories below the reservations, with their content.
pub fn files() -> String {
    let mut text = String::new();
    list("/var/lib/cni/networks", &mut text);
    text
}

fn list(path: &str, text: &mut String) {
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        let path = format!("{path}/{name}");
        match fs::read_to_string(&path) {
            Ok(content) => writeln!(text, "{path} {content:?}").unwrap(),
            Err(_) => {
                writeln!(text, "{path} dir").unwrap();
                list(&path, text);
            }
        }
    }
}

//! `netd status`: the state for people. Lines break at 80 columns where words allow it; what
//! other nodes publish is printed without its control characters.

use std::fmt::Write as _;

use serde_json::Value;

use crate::health::{Level, Problem, Severity};
use crate::status::{
    DeviceState, Forwarder, PeerState, Reach, Reachable, Served, SourcePorts, State, TunnelPeer,
};

/// Columns of a line.
const WIDTH: usize = 80;
/// Columns before the text of a line.
const INDENT: usize = 11;
/// So many peers are printed unless all are asked for.
const PEERS: usize = 20;

/// How the text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// With colours.
    pub colour: bool,
    /// With every peer, not the first ones alone.
    pub all_peers: bool,
}

/// What `netd status` prints.
pub fn text(state: &State, look: Look) -> String {
    let mut text = String::new();
    for (name, value) in summary(state, look) {
        line(&mut text, name, &value);
    }
    for device in &state.devices {
        line(&mut text, "device", &described(device));
    }
    if let Some(forwarder) = &state.forwarder {
        line(&mut text, "forwarder", &carried(forwarder));
    }
    if state.firewall.source_ports == Some(SourcePorts::Disabled) {
        let why = "source ports are not chosen at random (-ip-masq-fully-random-disable)";
        line(&mut text, "masquerade", why);
    }
    for problem in &state.problems {
        tell(&mut text, problem, look);
    }
    peers(&mut text, &state.peers.nodes, look);
    probes(&mut text, &state.peers.nodes, look);
    tunnels(&mut text, &state.tunnels, look);
    repairs(&mut text, state);
    text
}

/// A line for each part of netd.
fn summary(state: &State, look: Look) -> [(&'static str, String); 9] {
    let lease = match state.lease.expires_in {
        None => shown(&state.lease.subnets),
        Some(left) => format!("{}, {} left", shown(&state.lease.subnets), age(left)),
    };
    let interface = &state.interface;
    let (peers, datapath) = (&state.peers, &state.datapath);
    let level = paint(look, colour_of(state.level), &state.level.to_string());
    [
        (
            "netd",
            format!("{} {level}, up {}", state.version, age(state.uptime)),
        ),
        ("backend", shown(&state.backend)),
        ("store", shown(&state.store.name)),
        ("lease", lease),
        (
            "interface",
            format!(
                "{} {} public {} ({})",
                shown(&interface.name),
                shown(&interface.addresses.join(" ")),
                shown(&interface.public.join(" ")),
                shown(&interface.because)
            ),
        ),
        ("mtu", state.mtu.to_string()),
        (
            "peers",
            format!("{} known, {} not served", peers.known, peers.unserved),
        ),
        (
            "datapath",
            format!(
                "{} routes, {} neighbours, {} FDB entries; {} failing, {} in conflict",
                datapath.routes,
                datapath.neighbours,
                datapath.fdb,
                datapath.failing,
                datapath.conflicts
            ),
        ),
        (
            "work",
            format!(
                "{} passes, {} changes, {} repairs, {} firewall repairs",
                datapath.passes, datapath.changes, datapath.repairs, state.firewall.repairs
            ),
        ),
    ]
}

/// `process 4711, 1.5 MiB sent, 3.0 KiB received; dropped: 7 spoofed`
fn carried(forwarder: &Forwarder) -> String {
    let process = match (forwarder.running, forwarder.pid) {
        (true, Some(pid)) => format!("process {pid}"),
        _ => "not running".to_owned(),
    };
    let counts = &forwarder.counts;
    let (sent, received) = (size(counts.sent.bytes), size(counts.received.bytes));
    let dropped = counts.dropped.iter().filter(|(_, count)| **count > 0);
    let dropped: Vec<_> = dropped
        .map(|(reason, count)| format!("{count} {}", plain(reason)))
        .collect();
    let dropped = match dropped.is_empty() {
        true => "nothing dropped".to_owned(),
        false => format!("dropped: {}", dropped.join(", ")),
    };
    format!("{process}, {sent} sent, {received} received; {dropped}")
}

/// A problem, since when, and what to do.
fn tell(text: &mut String, problem: &Problem, look: Look) {
    let colour = match problem.severity {
        Severity::NotReady => RED,
        Severity::Degraded => YELLOW,
        Severity::Notice => PLAIN,
    };
    let name = format!("{:<10}", problem.severity.to_string());
    let name = paint(look, colour, &name);
    wrapped(text, &name, &plain(&problem.to_string()));
    if !problem.remedy.is_empty() {
        let what = plain(&problem.remedy);
        wrapped(text, &" ".repeat(INDENT - 1), &format!("-> {what}"));
    }
    if !problem.command.is_empty() {
        // In one line, however long: it is there to be copied.
        let _ = writeln!(text, "{:INDENT$}   {}", "", plain(&problem.command));
    }
}

fn peers(text: &mut String, nodes: &[PeerState], look: Look) {
    if nodes.is_empty() {
        return;
    }
    let mut sorted: Vec<&PeerState> = nodes.iter().collect();
    // What is wrong comes first; otherwise they are in the order of their keys.
    sorted.sort_by_key(|node| node.state == Served::Programmed);
    let shown = match look.all_peers {
        true => sorted.len(),
        false => sorted.len().min(PEERS),
    };
    let heads = ["SUBNET", "NODE", "BACKEND", "STATE", "CHANGED"].map(str::to_owned);
    let mut rows = vec![heads];
    rows.extend(sorted[..shown].iter().flat_map(|node| lines_of(node)));
    text.push('\n');
    table(text, &rows);
    let more = &sorted[shown..];
    if !more.is_empty() {
        let wrong = more.iter().filter(|node| node.state != Served::Programmed);
        let wrong = match wrong.count() {
            0 => "all programmed".to_owned(),
            wrong => format!("{wrong} of them not programmed"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "and {} more, {wrong}: netd status --peers",
            more.len()
        );
    }
}

/// With its MAC or its public key.
fn described(device: &DeviceState) -> String {
    let identity = [device.mac.as_str(), device.public_key.as_str()].concat();
    let checksums = match device.checksum_offload {
        Some(false) => ", checksums by the kernel",
        _ => "",
    };
    format!(
        "{} {} mtu {}{checksums}",
        device.name,
        shown(&identity),
        device.mtu
    )
}

/// How the probes went: what is wrong comes first.
fn probes(text: &mut String, nodes: &[PeerState], look: Look) {
    let mut paths: Vec<&Reach> = nodes.iter().flat_map(|node| &node.reach).collect();
    if paths.is_empty() {
        return;
    }
    paths.sort_by_key(|reach| reach.state == Reachable::Yes);
    let shown = match look.all_peers {
        true => paths.len(),
        false => paths.len().min(PEERS),
    };
    let heads = [
        "PROBED",
        "REACHED",
        "ROUND TRIP",
        "LOST",
        "LOST OF FULL SIZE",
    ]
    .map(str::to_owned);
    let mut rows = vec![heads];
    rows.extend(paths[..shown].iter().map(|reach| {
        let trip = reach.round_trip_us;
        [
            plain(&reach.subnet),
            reached(reach.state).to_owned(),
            trip.map(|micros| format!("{:.2} ms", micros as f64 / 1e3))
                .unwrap_or_default(),
            format!("{} of {}", reach.lost, reach.sent),
            format!("{} of {}", reach.full_lost, reach.full_sent),
        ]
    }));
    text.push('\n');
    table(text, &rows);
    if let Some(more @ 1..) = paths.len().checked_sub(shown) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "and {more} more: netd status --peers");
    }
}

fn reached(state: Reachable) -> &'static str {
    match state {
        Reachable::Unknown => "not known yet",
        Reachable::Yes => "yes",
        Reachable::Lossy => "with losses",
        Reachable::SmallOnly => "small packets only",
        Reachable::OneWay => "one direction only",
        Reachable::No => "no",
        Reachable::Silent => "never answered",
    }
}

fn tunnels(text: &mut String, tunnels: &[TunnelPeer], look: Look) {
    if tunnels.is_empty() {
        return;
    }
    let number = match look.all_peers {
        true => tunnels.len(),
        false => tunnels.len().min(PEERS),
    };
    let heads = ["TUNNEL TO", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT"].map(str::to_owned);
    let mut rows = vec![heads];
    rows.extend(tunnels[..number].iter().map(|peer| {
        let handshake = peer.last_handshake.map(|ago| format!("{} ago", age(ago)));
        [
            peer.allowed_ips.join(" "),
            shown(&peer.endpoint),
            handshake.unwrap_or_else(|| "none yet".to_owned()),
            size(peer.received),
            size(peer.sent),
        ]
    }));
    text.push('\n');
    table(text, &rows);
    if let Some(more @ 1..) = tunnels.len().checked_sub(number) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "and {more} more: netd status --peers");
    }
}

/// `1.5 MiB`
fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                unit => format!("{size:.1} {unit}"),
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A row for each family that the node has.
fn lines_of(node: &PeerState) -> Vec<[String; 5]> {
    let at = |list: &[String], n: usize| list.get(n).map(|text| plain(text)).unwrap_or_default();
    let rows = node.subnets.len().max(node.public.len()).max(1);
    let row = |n| {
        let is_v6 = at(&node.subnets, n).contains(':');
        let data = if is_v6 {
            &node.backend_v6_data
        } else {
            &node.backend_data
        };
        let (state, age) = match n {
            0 => (word(node.state).to_owned(), age(node.seconds)),
            _ => Default::default(),
        };
        let backend = [plain(&node.backend), in_short(data.as_ref())];
        let backend = backend.join(" ").trim().to_owned();
        [
            at(&node.subnets, n),
            at(&node.public, n),
            backend,
            state,
            age,
        ]
    };
    (0..rows).map(row).collect()
}

/// What of a backend's data people look for: the VTEP's MAC, or the beginning of a key.
fn in_short(data: Option<&Value>) -> String {
    let of = |key| data.and_then(|data| data[key].as_str()).map(plain);
    let key = || of("PublicKey").map(|key| key.chars().take(8).chain(['…']).collect());
    of("VtepMAC").or_else(key).unwrap_or_default()
}

fn word(state: Served) -> &'static str {
    match state {
        Served::Programmed => "ok",
        Served::Held => "fought",
        Served::Conflict => "conflict",
        Served::Refused => "refused",
        Served::Unserved => "not served",
    }
}

fn repairs(text: &mut String, state: &State) {
    if state.repaired.is_empty() {
        return;
    }
    text.push_str("\nput back lately\n");
    for repair in &state.repaired {
        let times = match repair.count {
            1 => String::new(),
            count => format!(", {count} times"),
        };
        let what = format!(
            "{} ago{times}: {}",
            age(repair.seconds),
            plain(&repair.object)
        );
        wrapped(text, " ", &what);
    }
}

/// Columns as wide as they must be, two blanks apart.
fn table<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
}

/// A line with a name in front; it breaks before the edge.
pub(crate) fn line(text: &mut String, name: &str, value: &str) {
    wrapped(text, &format!("{name:<10}"), value);
}

/// `name`, which is as wide as the indentation allows, and words that break before the edge.
fn wrapped(text: &mut String, name: &str, words: &str) {
    text.push_str(name);
    let indent = if name.trim().is_empty() && name.len() < INDENT - 1 {
        2
    } else {
        INDENT
    };
    let mut column = indent - 1;
    for (n, word) in words.split(' ').enumerate() {
        let width = word.chars().filter(|c| !c.is_control()).count();
        if n > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

/// `2h 3m`: the two largest units.
fn age(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, unit)| seconds >= *unit);
    let first = first.unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (n, (name, unit)) in units.iter().enumerate().skip(first).take(2) {
        let count = rest / unit;
        rest %= unit;
        if count > 0 || n == first {
            parts.push(format!("{count}{name}"));
        }
    }
    parts.join(" ")
}

/// `-` where there is nothing.
fn shown(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => plain(text),
    }
}

/// Nothing that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

const RED: &str = "31";
const YELLOW: &str = "33";
const GREEN: &str = "32";
const PLAIN: &str = "0";

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::NotReady => RED,
        Level::Degraded => YELLOW,
        Level::Ready => GREEN,
    }
}

/// ECMA-48 "select graphic rendition".
fn paint(look: Look, colour: &str, text: &str) -> String {
    match look.colour && colour != PLAIN {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::state;
    use super::*;

    #[test]
    fn people_read_what_the_json_says() {
        let text = text(&state(), Look::default());
        assert!(
            text.starts_with("netd       0.1.0 degraded, up 2h 3m\n"),
            "{text}"
        );
        for expected in [
            "lease      10.5.72.0/24, 23h 53m left\n",
            "degraded   10.5.9.0/24 is not served: not on-link: next hop 192.0.2.9",
            "           -> join the nodes by one link\n              ip link show\n",
            "SUBNET       NODE       BACKEND                  STATE       CHANGED\n\
             10.5.9.0/24  192.0.2.9  vxlan 02:00:00:00:00:09  not served  1h 1m\n\
             10.5.7.0/24  192.0.2.7  vxlan 02:00:00:00:00:07  ok          1h 1m\n",
            "device     flannel.1 02:00:00:00:00:01 mtu 1450, checksums by the kernel\n",
            "device     flannel-wg AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= mtu 1420\n",
            "TUNNEL TO    ENDPOINT         HANDSHAKE  RECEIVED  SENT\n\
             10.5.7.0/24  192.0.2.7:51820  12s ago    1.5 MiB   92 B\n",
            "  5s ago, 3 times: route 10.5.7.0/24 via 10.5.7.0 dev flannel.1\n",
        ] {
            assert!(text.contains(expected), "{expected}\nin\n{text}");
        }
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= WIDTH), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn source_ports_are_told_of_where_somebody_decided_against_chance() {
        for (ports, told) in [
            (None, false),
            (Some(SourcePorts::Random), false),
            (Some(SourcePorts::Refused), false),
            (Some(SourcePorts::Disabled), true),
        ] {
            let mut state = state();
            state.firewall.source_ports = ports;
            let text = text(&state, Look::default());
            let line = "\nmasquerade source ports are not chosen at random (-ip-masq-fully-random-disable)\n";
            assert_eq!(text.contains(line), told, "{ports:?}\n{text}");
        }
    }

    #[test]
    fn the_widest_ipv4_addresses_fit() {
        let mut state = state();
        state.peers.nodes[1].seconds = 86_399;
        state.peers.nodes[1].subnets = vec!["10.255.255.192/28".to_owned()];
        state.peers.nodes[1].public = vec!["192.168.255.255".to_owned()];
        let text = text(&state, Look::default());
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= WIDTH), "{text}");
    }

    #[test]
    fn thousands_of_peers_are_a_screen_and_a_number() {
        let mut state = state();
        let node = state.peers.nodes[0].clone();
        state.peers.nodes.extend(std::iter::repeat_n(node, 5000));
        let some = text(&state, Look::default());
        assert!(some.lines().count() < 80, "{some}");
        assert!(
            some.contains("and 4982 more: netd status --peers\n"),
            "{some}"
        );
        assert!(
            some.contains("and 4982 more, all programmed: netd status --peers\n"),
            "{some}"
        );
        let look = Look {
            all_peers: true,
            ..Look::default()
        };
        assert!(text(&state, look).lines().count() > 5000);
    }

    #[test]
    fn both_families_of_a_peer_are_two_rows() {
        let mut state = state();
        let node = &mut state.peers.nodes[1];
        node.subnets.push("fd00:1:2:3::/64".to_owned());
        node.public.push("2001:db8::9".to_owned());
        let text = text(&state, Look::default());
        assert!(
            text.contains("\nfd00:1:2:3::/64  2001:db8::9  vxlan 02:00"),
            "{text}"
        );
    }

    #[test]
    fn nobody_else_writes_to_the_terminal() {
        let mut state = state();
        state.peers.nodes[1].backend = "\x1b[2Jvxlan".to_owned();
        state.problems[0].what = "bad\x07\nthing".to_owned();
        let text = text(&state, Look::default());
        assert!(text.contains("?[2Jvxlan"), "{text}");
        assert!(text.contains("bad??thing"), "{text}");
    }

    #[test]
    fn colours_are_for_terminals() {
        let look = Look {
            colour: true,
            ..Look::default()
        };
        let text = text(&state(), look);
        assert!(text.contains("\x1b[33mdegraded\x1b[0m, up"), "{text}");
    }

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_700, "1h 1m"),
            (86_400, "1d"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn an_older_netd_is_read_too() {
        let read: State = serde_json::from_str(r#"{"version":"0.0.9","new":1}"#).expect("JSON");
        let text = text(&read, Look::default());
        assert!(
            text.starts_with("netd       0.0.9 not ready, up 0s\n"),
            "{text}"
        );
    }
}

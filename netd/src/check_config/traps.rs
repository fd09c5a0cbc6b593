//! What is right and still not what somebody may think (flannel-compat 1, 2 and 0).

use std::net::IpAddr;

use cluster::Object;

/// What is said of values.
pub(super) fn warnings(object: &Object) -> Vec<String> {
    let on = |key, usual| object.bool(key).ok().flatten().unwrap_or(usual);
    let (v4, v6) = (on("EnableIPv4", true), on("EnableIPv6", false));
    let mut warnings = Vec::new();
    warnings.extend(without_backend(object));
    warnings.extend(host_bits(object, "Network"));
    warnings.extend(host_bits(object, "IPv6Network"));
    warnings.extend(off(object, v4, "EnableIPv4", &V4));
    warnings.extend(off(object, v6, "EnableIPv6", &V6));
    warnings.extend(families(v4, v6).map(str::to_owned));
    warnings.extend(options(object, v6));
    warnings
}

const V4: [&str; 4] = ["Network", "SubnetLen", "SubnetMin", "SubnetMax"];
const V6: [&str; 4] = [
    "IPv6Network",
    "IPv6SubnetLen",
    "IPv6SubnetMin",
    "IPv6SubnetMax",
];

fn without_backend(object: &Object) -> Option<String> {
    let said = "Backend: without it the backend is udp, although flannel's documentation says \
                vxlan; write {\"Type\": \"vxlan\"} or another";
    object.get("Backend").is_none().then(|| said.to_owned())
}

/// `10.5.9.9/16` is read as `10.5.0.0/16`.
fn host_bits(object: &Object, key: &'static str) -> Option<String> {
    let text = object.str(key).ok()??;
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let network = ipnetwork::IpNetwork::new(address, length.parse().ok()?).ok()?;
    let read = network.network();
    (read != address).then(|| format!("{key}: {text:?} has host bits set; {read}/{length} is read"))
}

/// Keys of a family that is off.
fn off(object: &Object, on: bool, switch: &str, keys: &[&str]) -> Vec<String> {
    let given = keys.iter().filter(|key| !on && object.get(key).is_some());
    let said = given.map(|key| {
        let turn = match switch {
            "EnableIPv6" => "it is off unless it says true",
            _ => "it says false",
        };
        format!("{key}: no node uses it without {switch}; {turn}")
    });
    said.collect()
}

fn families(v4: bool, v6: bool) -> Option<&'static str> {
    match (v4, v6) {
        (true, true) => Some(
            "EnableIPv6: a flanneld that still runs with the IPv4 configuration stops following \
             leases, without a word, as soon as one node publishes both families in etcd: stop all \
             of them, delete the keys under subnets/, then start the daemons",
        ),
        (false, true) => Some(
            "EnableIPv4: false: with etcd all flanneld of a cluster without IPv4 take one and the \
             same lease; netd does not, so let all nodes run netd",
        ),
        _ => None,
    }
}

fn options(object: &Object, v6: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(Ok(backend)) = object.get("Backend").map(Object::try_from) else {
        return warnings;
    };
    let kind = backend.str("Type").ok().flatten().unwrap_or_default();
    let number = |key| backend.integer(key).ok().flatten();
    if let Some(vni) = number("VNI").filter(|vni| *vni > 65_535) {
        warnings.push(format!(
            "Backend.VNI: {vni}: nodes with flannel up to 0.20 use {} instead, and are not reached",
            vni % 65_536
        ));
    }
    if kind.eq_ignore_ascii_case("alloc") && kind != "alloc" {
        warnings.push(format!(
            "Backend.Type: {kind:?}: flannel compares this one letter by letter; write \"alloc\""
        ));
    }
    let v4_only = ["udp", "ipip", "ipsec", "alloc"];
    if v6 && v4_only.iter().any(|only| kind.eq_ignore_ascii_case(only)) {
        warnings.push(format!(
            "EnableIPv6: flannel's backend {kind} has IPv4 alone; vxlan, wireguard and host-gw have \
             both"
        ));
    }
    if backend
        .str("PSK")
        .ok()
        .flatten()
        .is_some_and(|psk| !psk.is_empty())
    {
        warnings.push(
            "Backend.PSK: everybody who may read the configuration in the store reads the key; netd \
             -wireguard-psk-file takes it from a file of the node instead"
                .to_owned(),
        );
    }
    warnings
}

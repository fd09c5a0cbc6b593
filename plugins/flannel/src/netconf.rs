//! The configuration for the delegate.

use cluster::SubnetEnv;
use cni::{Call, Error, Route, code};
use serde_json::{Map, Value, json};

use super::config::Config;

/// `type` of a delegate's configuration, `bridge` when it has none.
pub(super) fn delegate_type(netconf: &Map<String, Value>) -> &str {
    netconf
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("bridge")
}

/// What the user wrote under `delegate` and `ipam`, completed with what subnet.env says.
///
/// # Errors
/// `ipam.routes` is no list of routes.
pub(super) fn build(
    config: &Config,
    call: &Call<'_>,
    environment: &SubnetEnv,
) -> Result<Map<String, Value>, Error> {
    let mut netconf = without_ipam(config, call);
    let ipam = ipam(config, environment)?;
    netconf.insert("ipam".to_owned(), Value::Object(ipam));
    let mut default = |key: &str, value: Value| {
        netconf.entry(key).or_insert(value);
    };
    default("type", "bridge".into());
    // One of the two masquerades: netd for the whole node, or else the bridge for each pod.
    default("ipMasq", (!environment.ip_masq).into());
    default("mtu", environment.mtu.into());
    if delegate_type(&netconf) == "bridge" {
        netconf.entry("isGateway").or_insert(true.into());
    }
    Ok(netconf)
}

/// What releases an attachment of which nothing is known: by its name, and masqueraded or not.
pub(super) fn for_release(
    config: &Config,
    call: &Call<'_>,
    environment: Option<&SubnetEnv>,
) -> Map<String, Value> {
    let complete = environment.and_then(|environment| build(config, call, environment).ok());
    let mut netconf = complete.unwrap_or_else(|| {
        let mut netconf = without_ipam(config, call);
        let ipam = Value::Object(typed_ipam(config));
        netconf.insert("ipam".to_owned(), ipam);
        netconf.entry("type").or_insert("bridge".into());
        netconf
    });
    netconf.insert("ipMasq".to_owned(), true.into());
    netconf
}

fn without_ipam(config: &Config, call: &Call<'_>) -> Map<String, Value> {
    let mut netconf = config.delegate.clone();
    let mut set = |key: &str, value: Value| netconf.insert(key.to_owned(), value);
    set("name", call.network.as_str().into());
    if !config.cni_version.is_empty() {
        set("cniVersion", config.cni_version.clone().into());
    }
    if let Some(runtime_config) = &config.runtime_config {
        set("runtimeConfig", runtime_config.clone());
    }
    netconf
}

fn typed_ipam(config: &Config) -> Map<String, Value> {
    let mut ipam = config.ipam.clone();
    ipam.entry("type").or_insert("host-local".into());
    ipam
}

fn ipam(config: &Config, environment: &SubnetEnv) -> Result<Map<String, Value>, Error> {
    let mut ipam = typed_ipam(config);
    let subnets = environment.subnets();
    let ranges: Vec<Value> = subnets
        .iter()
        .map(|subnet| json!([{ "subnet": subnet.to_string() }]))
        .collect();
    ipam.insert("ranges".to_owned(), ranges.into());
    let mut routes = own_routes(&ipam)?;
    let networks = environment.networks.iter().map(ToString::to_string);
    let networks = networks.chain(environment.ipv6_networks.iter().map(ToString::to_string));
    routes.extend(networks.map(|network| json!({ "dst": network })));
    ipam.insert("routes".to_owned(), routes.into());
    Ok(ipam)
}

/// The user's routes, reduced to the keys that a route has.
fn own_routes(ipam: &Map<String, Value>) -> Result<Vec<Value>, Error> {
    let invalid = |problem: String| {
        Error::new(
            code::INVALID_CONFIG,
            format!("'ipam.routes' cannot be read: {problem}"),
        )
    };
    let Some(written) = ipam.get("routes").filter(|routes| !routes.is_null()) else {
        return Ok(Vec::new());
    };
    let routes: Vec<Route> =
        cni::json::from_value(written.clone()).map_err(|error| invalid(error.to_string()))?;
    let value =
        |route: &Route| serde_json::to_value(route).map_err(|error| invalid(error.to_string()));
    routes.iter().map(value).collect()
}

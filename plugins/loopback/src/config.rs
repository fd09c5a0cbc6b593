//! The keys that every configuration may hold. The plugin uses none of them; ones of the wrong
//! type are refused, as the reference refuses them, so that a mistake is seen here and not by
//! the next plugin of the chain.
use cni::{Call, Dns};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(rename = "dns")]
    _dns: Dns,
    #[serde(rename = "ipam")]
    _ipam: Ipam,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Ipam {
    /// Not used.
    #[serde(rename = "type")]
    _plugin: String,
}

/// Fails where a common key is of the wrong type.
pub(crate) fn check(call: &Call<'_>) -> Result<(), cni::Error> {
    let read = cni::json::from_slice::<Config>(call.stdin);
    read.map(drop)
        .map_err(|error| cni::Error::from(error).context("failed to parse network config"))
}

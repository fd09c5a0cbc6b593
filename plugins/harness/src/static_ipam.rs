//! An IPAM plugin `static`: gives what the configuration lists.

use cni::{
    AddResult, Attachment, Detachment, Dns, Error, IpConfig, Plugin, Route, ValidAttachment,
    call::Call,
};
use serde::Deserialize;

pub static STATIC: Static = Static;

pub struct Static;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Conf {
    ipam: Ipam,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    addresses: Vec<Address>,
    routes: Vec<Route>,
    dns: Dns,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    address: String,
    gateway: Option<String>,
}

impl Plugin for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Ipam
    }

    fn schema(&self) -> cni::PluginSchema {
        cni::PluginSchema::of::<()>("a stub", "{}")
    }

    fn add(&self, call: &Call<'_>, _: &Attachment) -> Result<AddResult, Error> {
        let Conf { ipam } = call.config()?;
        let ips = ipam.addresses.into_iter().map(|given| IpConfig {
            address: given.address.parse().unwrap(),
            gateway: given.gateway.map(|gateway| gateway.parse().unwrap()),
            interface: None,
        });
        Ok(AddResult {
            ips: ips.collect(),
            routes: ipam.routes,
            dns: ipam.dns,
            ..AddResult::default()
        })
    }

    fn del(&self, _: &Call<'_>, _: &Detachment) -> Result<(), Error> {
        Ok(())
    }

    fn check(&self, _: &Call<'_>, _: &Attachment) -> Result<(), Error> {
        Ok(())
    }

    fn gc(&self, _: &Call<'_>, _: Option<&[ValidAttachment]>) -> Result<(), Error> {
        Ok(())
    }

    fn status(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }
}

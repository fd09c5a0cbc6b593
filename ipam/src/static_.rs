//! The IPAM plugin `static`: addresses as told. It keeps nothing.

mod config;
mod error;

use cni::{
    AddResult, Attachment, Call, Detachment, IpConfig, Plugin, PluginSchema, ValidAttachment, code,
};

pub use error::Error;

use crate::route;
use config::{Config, Source};

/// Hands on the addresses of the configuration, or those that the runtime asks for.
#[derive(Debug)]
pub struct Static;

/// The plugin as it runs on a node.
pub static STATIC: Static = Static;

fn try_add(call: &Call<'_>) -> Result<AddResult, Error> {
    let config = Config::load(call, Source::Everything)?;
    Ok(AddResult {
        ips: config.ips,
        routes: config.routes,
        dns: config.dns,
        ..AddResult::default()
    })
}

/// Every address that ADD would give stands in `prevResult`, prefix and gateway included. Others
/// beside them are not ours to judge.
fn try_check(call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
    let config = Config::load(call, Source::Everything)?;
    let previous = call.prev_result().map_err(Error::Protocol)?;
    let previous = previous.ok_or(Error::NoPreviousResult)?;
    config
        .ips
        .iter()
        .try_for_each(|ip| find(ip, &previous.ips, attachment))
}

fn find(wanted: &IpConfig, ips: &[IpConfig], attachment: &Attachment) -> Result<(), Error> {
    let ifname = || attachment.ifname.as_str().to_owned();
    let mut same = ips
        .iter()
        .filter(|ip| ip.address.ip() == wanted.address.ip())
        .peekable();
    let Some(first) = same.peek().copied() else {
        return Err(Error::Missing {
            address: wanted.address,
            ifname: ifname(),
        });
    };
    match same.any(|ip| ip.address == wanted.address && ip.gateway == wanted.gateway) {
        true => Ok(()),
        false => Err(Error::Mismatch {
            wanted: Box::new(wanted.clone()),
            found: Box::new(first.clone()),
            ifname: ifname(),
        }),
    }
}

impl Plugin for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Ipam
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::Net>(
            "hands on the addresses that the configuration holds",
            include_str!("../static.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        let config = Config::load(call, Source::WithoutArgs)?;
        Ok(route::check(&config.routes).map_err(Error::from)?)
    }

    fn add(&self, call: &Call<'_>, _: &Attachment) -> Result<AddResult, cni::Error> {
        Ok(try_add(call)?)
    }

    /// There is nothing to release, whatever the configuration says.
    fn del(&self, _: &Call<'_>, _: &Detachment) -> Result<(), cni::Error> {
        Ok(())
    }

    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
        Ok(try_check(call, attachment)?)
    }

    /// There is nothing that could be left over.
    fn gc(&self, _: &Call<'_>, _: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
        Ok(())
    }

    /// Fails where ADD would fail for any container. No address at all is no failure: the runtime
    /// may ask for one with ADD.
    fn status(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        let loaded = Config::load(call, Source::WithoutArgs);
        loaded.map(drop).map_err(|error| {
            let text = "static cannot give addresses";
            let printed = cni::Error::new(code::PLUGIN_NOT_AVAILABLE, text);
            let printed = printed.with_details(error.to_string());
            cni::Error {
                source: Some(Box::new(error)),
                ..printed
            }
        })
    }
}

#[cfg(test)]
mod tests;

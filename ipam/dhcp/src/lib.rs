//! The IPAM plugin `dhcp`, and the daemon that holds its leases ([`daemon`]).
//!
//! The plugin asks the daemon over a unix socket, in the reference's protocol, so that either
//! side may be the reference's. The daemon speaks DHCP on the pod's interface, and keeps what was
//! leased: it renews, and gives back with DEL.

mod client;
mod config;
pub mod daemon;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gob;
mod protocol;
mod rpc;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cni::{AddResult, Attachment, Call, Detachment, Plugin, PluginSchema, ValidAttachment, code};

pub use error::{EncodingError, Error};
pub use gob::GobError;
pub use protocol::ask::OptionError;

use client::Daemon;
use config::Config;
use protocol::ask;
use rpc::Arguments;

/// Gets addresses from the network's DHCP server.
#[derive(Debug)]
pub struct Dhcp;

/// The plugin as it runs on a node.
pub static DHCP: Dhcp = Dhcp;

fn try_add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error> {
    let socket = configured_socket(call)?;
    Daemon::dial(&socket)?.allocate(&arguments(call, &attachment.into()))
}

/// What the daemon will say of the options with ADD.
fn try_validate(call: &Call<'_>) -> Result<(), Error> {
    let config = Config::read(call.stdin).map_err(Error::Config)?;
    let ipam = config.ipam.ok_or(Error::NoIpam)?;
    ask::Client::new("", &ipam.provide, &ipam.request, &BTreeMap::new())?;
    Ok(())
}

/// The lease is there, and it is what ADD gave.
fn try_check(call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
    let socket = configured_socket(call)?;
    let leased = Daemon::dial(&socket)?.check(&arguments(call, &attachment.into()))?;
    let Some(previous) = call.prev_result().map_err(Error::Protocol)? else {
        return Ok(());
    };
    let holds = |address| previous.ips.iter().any(|ip| ip.address == address);
    let missing = leased.ips.iter().find(|ip| !holds(ip.address));
    missing.map_or(Ok(()), |ip| {
        Err(Error::OtherLease {
            leased: ip.address.to_string(),
        })
    })
}

/// Where nobody listens nobody keeps the lease: a daemon that starts later looks first whether
/// the interface is still there.
fn try_del(call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
    // Unreadable is as good as unchanged: DEL must not fail for it.
    let socket = Config::read(call.stdin).unwrap_or_default().socket();
    let mut daemon = match Daemon::dial(&socket) {
        Err(error) if error.is_away() => return Ok(()),
        daemon => daemon?,
    };
    daemon.release(&arguments(call, attachment))
}

fn try_gc(call: &Call<'_>, valid: &[ValidAttachment]) -> Result<(), Error> {
    let socket = Config::read(call.stdin).unwrap_or_default().socket();
    let mut daemon = match Daemon::dial(&socket) {
        Err(error) if error.is_away() => return Ok(()),
        daemon => daemon?,
    };
    let listed = serde_json::json!({
        "name": call.network.as_str(),
        "cni.dev/valid-attachments": valid,
    });
    daemon.collect(&Arguments {
        stdin: listed.to_string().into_bytes(),
        ..Arguments::default()
    })
}

fn configured_socket(call: &Call<'_>) -> Result<PathBuf, Error> {
    let config = Config::read(call.stdin).map_err(Error::Config)?;
    match config.ipam {
        Some(_) => Ok(config.socket()),
        None => Err(Error::NoIpam),
    }
}

/// The daemon has another working directory.
fn arguments(call: &Call<'_>, attachment: &Detachment) -> Arguments {
    let variable = |name: &str| call.env.get(name).cloned().unwrap_or_default();
    let netns = attachment.netns.as_deref().map(|path| {
        let absolute = std::path::absolute(Path::new(path));
        absolute.map_or_else(|_| path.to_owned(), |path| path.display().to_string())
    });
    Arguments {
        container: attachment.container_id.as_str().to_owned(),
        netns: netns.unwrap_or_default(),
        ifname: attachment.ifname.as_str().to_owned(),
        args: variable("CNI_ARGS"),
        path: variable("CNI_PATH"),
        stdin: call.stdin.to_vec(),
    }
}

impl Plugin for Dhcp {
    fn name(&self) -> &'static str {
        "dhcp"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Ipam
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<Config>(
            "gets addresses from the network's DHCP server, by a daemon that keeps them",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        Ok(try_validate(call)?)
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
        Ok(try_add(call, attachment)?)
    }

    fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
        Ok(try_del(call, attachment)?)
    }

    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
        Ok(try_check(call, attachment)?)
    }

    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
        match valid {
            Some(valid) => Ok(try_gc(call, valid)?),
            None => Ok(()),
        }
    }

    /// Fails where no daemon listens. Whether a server would answer is known only in a pod.
    fn status(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        let socket = try_validate(call).and_then(|()| configured_socket(call));
        let reached = socket.and_then(|socket| Daemon::dial(&socket));
        reached.map(drop).map_err(|error| {
            let text = "dhcp cannot get addresses";
            let printed = cni::Error::new(code::PLUGIN_NOT_AVAILABLE, text);
            let printed = printed.with_details(error.to_string());
            cni::Error {
                source: Some(Box::new(error)),
                ..printed
            }
        })
    }
}

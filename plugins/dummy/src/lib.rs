//! The CNI plugin `dummy`: an interface that leads nowhere and holds addresses, which the pod reaches
//! itself by.
//!
//! Owns the interface, found by its alias. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN (to enter the pod's
//! namespace).

mod config;
mod error;

use attach::{
    Attaching, NewPodLink,
    check::{Checking, is_up},
    release,
};
use cni::{
    AddResult, Attachment, Call, Detachment, Dns, Plugin, PluginSchema, Role, ValidAttachment,
};
use kernel::{LinkKind, NewKind, Undo};

use crate::{config::Config, error::Error};

/// The plugin.
pub static DUMMY: Dummy = Dummy;

/// `dummy`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dummy;

/// Where the pod's interface stands in the result.
const INTERFACE: usize = 0;

impl Plugin for Dummy {
    fn name(&self) -> &'static str {
        "dummy"
    }

    fn role(&self) -> Role {
        Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "an interface that leads nowhere and holds addresses of the pod",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        config::Config::read(call).map(drop)
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
        let config = Config::read(call)?;
        let base = Attaching::start(call, attachment, &config.ipam)?;
        Ok(base.run(|undo| steps(&base, undo))?)
    }

    fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
        release::del_link(call, attachment, |kind| *kind == LinkKind::Dummy)
    }

    /// Whether the attachment is as ADD left it, whether podwire or the reference plugin made it.
    /// What later plugins of a chain add is no failure.
    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
        let config = Config::read(call)?;
        let checking = Checking::start(call, attachment, &config.ipam)?;
        let link = checking.pod_link("dummy", |kind| *kind == LinkKind::Dummy)?;
        is_up(&link)?;
        checking.addresses_and_routes(&link)
    }

    fn gc(&self, call: &Call<'_>, _valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
        release::gc_link(call)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        config::status(call)
    }
}

/// Attaches the container: each step leaves its inverse on the undo stack.
fn steps<'a>(base: &'a Attaching<'a>, undo: &mut Undo<'a>) -> Result<AddResult, Error> {
    let wanted = NewPodLink {
        kind: NewKind::Dummy,
        parent: None,
        mtu: None,
        mac: None,
    };
    let link = base.make_link(&wanted, undo)?;
    // As the reference plugin: the configuration's DNS settings do not count, those of IPAM do.
    let result = base.addresses(INTERFACE, &Dns::default(), undo)?;
    Ok(base.configure(&link, result)?)
}

//! The CNI plugin `portmap`: ports of the host that lead to ports of the pod. It works on what the
//! plugins before it in the list made.
//!
//! Owns table `inet podwire_portmap`, or, where the configuration asks for iptables, the chains of the
//! reference plugin; each element and chain names its attachment. Needs CAP_NET_ADMIN, and
//! CAP_SYS_ADMIN to see whether pods live whose mappings somebody flushed.

mod add;
mod check;
mod conditions;
mod config;
mod connections;
mod del;
mod error;
mod iptables;
mod localnet;
mod mapping;
mod native;
mod owner;
mod record;
mod settings;

use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

pub use record::PortMappings;
pub use settings::Settings;

/// The plugin.
pub static PORTMAP: Portmap = Portmap;

/// `portmap`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portmap;

impl Plugin for Portmap {
    fn name(&self) -> &'static str {
        "portmap"
    }

    fn role(&self) -> Role {
        Role::Chained
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "ports of the host that lead to ports of the pod",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        let settings = config::NetConf::read(call)?.check();
        settings.map(drop).map_err(cni::Error::internal)
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error> {
        add::add(call, attachment)
    }

    fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
        del::del(call, attachment)
    }

    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
        check::check(call, attachment)
    }

    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        del::gc(call, valid)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        check::status(call)
    }
}

//! The CNI plugin `sbr`: source-based routing. What the pod sends from an address of this interface
//! is routed by a table of that address, so that a pod with several interfaces answers by the one it
//! was asked on.
//!
//! Owns, in the pod's namespace, a rule for each address and the table that it leads to. Needs
//! CAP_NET_ADMIN there and CAP_SYS_ADMIN to enter it.

mod add;
mod check;
mod config;
mod del;
mod error;
mod plan;
mod pod;

use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

/// The plugin.
pub static SBR: Sbr = Sbr;

/// `sbr`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sbr;

impl Plugin for Sbr {
    fn name(&self) -> &'static str {
        "sbr"
    }

    fn role(&self) -> Role {
        Role::Chained
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "a routing table for each address of the pod's interface, by which goes what the pod sends from it",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        config::Config::read(call).map(drop)
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

    /// All that the plugin makes is in the pod's namespace and goes with it.
    fn gc(&self, _: &Call<'_>, _: Option<&[ValidAttachment]>) -> Result<(), Error> {
        Ok(())
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        config::status(call)
    }
}

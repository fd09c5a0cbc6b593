//! The CNI plugin `bandwidth`: limits what a pod receives and sends. Chained, behind a plugin that
//! makes a veth pair.
//!
//! Owns the qdiscs at the host's end of the pair and the ifb of what the pod sends, found by its
//! computed name and alias. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN (to look into the pod's
//! namespace).

mod add;
mod check;
mod config;
mod del;
mod error;
mod gc;
mod host;
mod ifb;
mod limit;
mod shape;
mod status;

use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, SpecVersion,
    ValidAttachment,
};

/// The plugin.
pub static BANDWIDTH: Bandwidth = Bandwidth;

/// `bandwidth`, for the versions whose results list interfaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bandwidth;

impl Plugin for Bandwidth {
    fn name(&self) -> &'static str {
        "bandwidth"
    }

    fn role(&self) -> Role {
        Role::Chained
    }

    fn versions(&self) -> &'static [SpecVersion] {
        &[
            SpecVersion::V0_3_0,
            SpecVersion::V0_3_1,
            SpecVersion::V0_4_0,
            SpecVersion::V1_0_0,
            SpecVersion::V1_1_0,
        ]
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "limits what the pod receives and sends",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        config::Config::read(call)?.map(drop).map_err(Into::into)
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
        gc::gc(call, valid)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        status::status(call)
    }
}

//! The CNI plugin `ptp`: a veth pair between the pod and the host, and routes both ways. The host
//! is the pod's gateway and the only neighbour it has.
//!
//! Owns the pair, found by its computed name and alias; addresses and routes go with it. Needs
//! CAP_NET_ADMIN and CAP_SYS_ADMIN (to enter the pod's namespace).

mod add;
mod check;
mod config;
mod error;
mod host;

use attach::{flowtable, release};
use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

/// The plugin.
pub static PTP: Ptp = Ptp;

/// `ptp`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ptp;

/// Where the ends of the pair stand in the result.
const HOST_END: usize = 0;
const POD_END: usize = 1;

impl Plugin for Ptp {
    fn name(&self) -> &'static str {
        "ptp"
    }

    fn role(&self) -> Role {
        Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "a veth pair between the pod and the host, which is the pod's only neighbour",
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
        release::del(call, attachment, HOST_END, |detaching, errors| {
            errors.note(flowtable::forget(call, detaching.identity));
        })
    }

    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
        check::check(call, attachment)
    }

    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        release::gc(call, valid, |_, _| {})
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        config::status(call)
    }
}

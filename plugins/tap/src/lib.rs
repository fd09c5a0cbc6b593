//! The CNI plugin `tap`: a tap device in the pod, which a program there, such as a virtual machine's,
//! opens.
//!
//! Owns the device, found by its alias. Needs CAP_NET_ADMIN, CAP_SYS_ADMIN (to enter the pod's
//! namespace) and /dev/net/tun.

mod add;
mod check;
mod config;
mod error;

use attach::release;
use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

/// The plugin.
pub static TAP: Tap = Tap;

/// `tap`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tap;

/// Where the pod's interface stands in the result.
const INTERFACE: usize = 0;

impl Plugin for Tap {
    fn name(&self) -> &'static str {
        "tap"
    }

    fn role(&self) -> Role {
        Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "a tap device in the pod, which a program there opens",
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
        release::del_link(call, attachment, config::is_tap)
    }

    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
        check::check(call, attachment)
    }

    fn gc(&self, call: &Call<'_>, _valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        release::gc_link(call)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        config::status(call)
    }
}

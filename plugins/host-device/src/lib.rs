//! The CNI plugin `host-device`: a link of the host's moves into the pod, and back when the pod
//! goes.
//!
//! Owns nothing: the device is the host's. While it is in the pod its alias is its name on the host,
//! by which DEL finds it, whoever's ADD it was. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN (to enter the
//! pod's namespace).

mod add;
mod before;
mod bus;
mod check;
mod config;
mod del;
mod error;
mod find;
mod guest;

use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

/// The plugin.
pub static HOST_DEVICE: HostDevice = HostDevice;

/// `host-device`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostDevice;

impl Plugin for HostDevice {
    fn name(&self) -> &'static str {
        "host-device"
    }

    fn role(&self) -> Role {
        Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "a link of the host's, moved into the pod and back",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        config::validate(call)
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
        config::status(call)
    }
}

//! The CNI plugin `tuning`: sysctls of the pod and attributes of its interface, for a pod that an
//! interface plugin has attached. Chained.
//!
//! Owns nothing but a file with what was there before, which DEL gives back. Needs CAP_NET_ADMIN
//! and CAP_SYS_ADMIN (to enter the pod's namespace).

mod add;
mod allow_list;
mod attributes;
mod check;
mod config;
mod del;
mod error;
mod gc;
mod kept;
mod pod;
mod status;
mod sysctl;

use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

/// The plugin.
pub static TUNING: Tuning = Tuning;

/// `tuning`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tuning;

impl Plugin for Tuning {
    fn name(&self) -> &'static str {
        "tuning"
    }

    fn role(&self) -> Role {
        Role::Chained
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "sysctls of the pod, and MAC address, MTU, promiscuous and multicast mode and queue \
             length of its interface",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        config::Config::read_keys(call, "eth0")?
            .map(drop)
            .map_err(Error::from)
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

//! The CNI plugin `ipvlan`: an interface of the pod's own on a link of the host, whose MAC address
//! it shares. Alone, or behind plugins that made that link and chose addresses.
//!
//! Owns the interface, found by its alias; shares the link below it with everyone on the host. Needs
//! CAP_NET_ADMIN and CAP_SYS_ADMIN (to enter the pod's namespace).

mod add;
mod check;
mod config;
mod error;

use attach::release;
use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, ValidAttachment,
};

/// The plugin.
pub static IPVLAN: Ipvlan = Ipvlan;

/// `ipvlan`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ipvlan;

/// Where the pod's interface stands in the result.
const INTERFACE: usize = 0;

impl Plugin for Ipvlan {
    fn name(&self) -> &'static str {
        "ipvlan"
    }

    fn role(&self) -> Role {
        Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "an interface of the pod's own on a link of the host, whose MAC address it shares",
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
        release::del_link(call, attachment, config::is_ipvlan)
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

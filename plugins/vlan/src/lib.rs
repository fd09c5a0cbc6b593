//! The CNI plugin `vlan`: an interface of the pod's own for one VLAN (IEEE 802.1Q) of a link of the
//! host.
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
pub static VLAN: Vlan = Vlan;

/// `vlan`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vlan;

/// Where the pod's interface stands in the result.
const INTERFACE: usize = 0;

impl Plugin for Vlan {
    fn name(&self) -> &'static str {
        "vlan"
    }

    fn role(&self) -> Role {
        Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "an interface of the pod's own for one VLAN of a link of the host",
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
        release::del_link(call, attachment, config::is_vlan)
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

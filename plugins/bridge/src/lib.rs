//! The CNI plugin `bridge`: a veth pair between the pod and a bridge on the host.
//!
//! Owns the pair, found by its computed name and alias; shares the bridge, its addresses and
//! sysctls with everyone on the host and never removes them. Needs CAP_NET_ADMIN and
//! CAP_SYS_ADMIN (to enter the pod's namespace).

mod add;
mod check;
mod config;
mod del;
mod device;
mod error;
mod flood_suppression;
mod gateway;
mod lock;
mod sharing;
pub mod spoof_check;
mod status;
mod vlan;
mod vlan_gateway;

use cni::{AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, ValidAttachment};

/// The plugin.
pub static BRIDGE: Bridge = Bridge;

/// `bridge`, for all versions of the specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bridge;

impl Plugin for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "a veth pair between the pod and a bridge on the host",
            include_str!("../example.conflist"),
        )
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        config::Config::for_add(call).map(drop)
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
        status::status(call)
    }
}

//! The CNI plugin `vrf`: the pod's interface goes into a VRF, a routing domain of its own in the pod.
//!
//! Shares the VRF with all interfaces that name it; it goes with the last of them. Needs CAP_NET_ADMIN
//! in the pod's namespace and CAP_SYS_ADMIN to enter it.

mod add;
mod check;
mod config;
mod del;
mod device;
mod error;

use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, SpecVersion,
    ValidAttachment,
};

/// The plugin.
pub static VRF: Vrf = Vrf;

/// `vrf`, for the versions of the specification from 0.3.1 on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vrf;

impl Plugin for Vrf {
    fn name(&self) -> &'static str {
        "vrf"
    }

    fn role(&self) -> Role {
        Role::Chained
    }

    fn versions(&self) -> &'static [SpecVersion] {
        &[
            SpecVersion::V0_3_1,
            SpecVersion::V0_4_0,
            SpecVersion::V1_0_0,
            SpecVersion::V1_1_0,
        ]
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "the pod's interface in a routing domain of its own, a VRF in the pod",
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

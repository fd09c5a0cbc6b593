//! The CNI plugin `firewall`: forwarded packets of the pod pass the host's packet filter, both
//! ways, and pods of other bridges do not reach it if its policy says so.
//!
//! Chained behind the plugin that gave the addresses. Owns one element of an nftables set for each
//! address, which names its owner; or the reference plugin's two rules of iptables; or a source
//! of a zone of firewalld. Needs CAP_NET_ADMIN.

mod add;
mod backend;
mod check;
mod config;
mod del;
mod error;
mod firewalld;
mod iptables;
mod native;
mod reference;
mod rules;

use attach::status::not_available;
use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, Role, SpecVersion,
    ValidAttachment,
};

pub use config::{Backend, Isolation, Policy};
pub use native::{has_passage, is_of_passage, remove_passage};
pub use rules::{Firewall as FirewallRules, Wanted};

/// The plugin.
pub static FIREWALL: Firewall = Firewall;

/// `firewall`, for versions 0.4.0 and later: earlier ones hand no result to CHECK and DEL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Firewall;

impl Plugin for Firewall {
    fn name(&self) -> &'static str {
        "firewall"
    }

    fn role(&self) -> Role {
        Role::Chained
    }

    fn versions(&self) -> &'static [SpecVersion] {
        &[
            SpecVersion::V0_4_0,
            SpecVersion::V1_0_0,
            SpecVersion::V1_1_0,
        ]
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::NetConf>(
            "lets the pod's packets through the host's packet filter, and keeps other pods out",
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

    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        del::gc(call, valid)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        let config = config::Config::read(call).map_err(not_available)?;
        backend::usable(&config).map_err(not_available)
    }
}

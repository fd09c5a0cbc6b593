//! The CNI plugin `flannel` (also called by its backends' names), which attaches a pod to the
//! subnet leased to its node: it makes a
//! configuration for `bridge` and `host-local` out of its own and of subnet.env, and hands the
//! work to them.
//!
//! What it handed over lies in `<dataDir>/<containerID>`, so that DEL works without subnet.env;
//! the files are those of flannel's plugin, and either plugin can delete the other's pods.

mod config;
mod environment;
mod netconf;
mod segments;
mod state;

use std::path::Path;

use cni::call::VALID_ATTACHMENTS;
use cni::{
    AddResult, Attachment, Call, Detachment, Error, Plugin, PluginSchema, ValidAttachment, code,
};
use serde_json::{Map, Value};

use config::Config;
use environment::Wait;
use state::{Sought, State, Trace};

/// What must be there before pods can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A valid subnet.env.
    SubnetFile,
    /// That, and a device `flannel.<VNI>` that is up.
    VxlanDevice,
}

/// The plugin `flannel`: the same with either backend.
pub static FLANNEL: SubnetPlugin = SubnetPlugin::new(
    "flannel",
    Needs::SubnetFile,
    include_str!("../example.conflist"),
);

/// The plugin; its names differ in what STATUS asks for.
#[derive(Clone, Copy, Debug)]
pub struct SubnetPlugin {
    name: &'static str,
    needs: Needs,
    example: &'static str,
}

impl SubnetPlugin {
    /// The plugin called `name`; `example` is a list with it.
    pub const fn new(name: &'static str, needs: Needs, example: &'static str) -> Self {
        Self {
            name,
            needs,
            example,
        }
    }
}

impl Plugin for SubnetPlugin {
    fn name(&self) -> &'static str {
        self.name
    }

    fn role(&self) -> cni::Role {
        cni::Role::Meta
    }

    fn schema(&self) -> PluginSchema {
        let about = match self.needs {
            Needs::SubnetFile => "attaches the pod to the subnet that is leased to the node",
            Needs::VxlanDevice => {
                "attaches the pod to the subnet that is leased to the node, where VXLAN joins them"
            }
        };
        PluginSchema::of::<config::Written>(about, self.example)
    }

    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        Config::read(call).map(drop)
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error> {
        let config = Config::read(call)?;
        let delegate = call.interface_delegate(config.delegate_type())?;
        let environment = environment::load(&config.subnet_file, Wait::Briefly)?;
        let netconf = netconf::build(&config, call, &environment)?;
        segments::require_no_tunnel(&netconf)?;
        let text = cni::json::to_string_compact(&Value::Object(netconf));
        let state = State::new(&config.data_dir, call, attachment);
        let slot = state.slot(|| has_interface(attachment))?;
        let saved = slot.save(text.as_bytes())?;
        let call = call.with_config(call.network.clone(), text.as_bytes());
        let added = delegate.add(&call, attachment)?;
        saved.keep();
        Ok(added)
    }

    /// Without a state file there is nothing, unless the file was lost: then the present
    /// subnet.env serves, if there is one. A file that tells nothing says that there was
    /// something: all that can be found by the attachment's name is released.
    fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
        let config = Config::read(call)?;
        match State::new(&config.data_dir, call, attachment).find() {
            Sought::State(found) => {
                let delegate = call.interface_delegate(found.delegate_type())?;
                delegate.del(
                    &call.with_config(call.network.clone(), found.text()),
                    attachment,
                )?;
                found.remove()
            }
            Sought::Broken(broken) => {
                tracing::warn!("{broken}");
                release_by_name(&config, call, attachment)?;
                broken.remove()
            }
            Sought::Nothing => del_without_state(&config, call, attachment),
        }
    }

    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
        let config = Config::read(call)?;
        let mut netconf = match State::new(&config.data_dir, call, attachment).find() {
            Sought::State(found) => found.into_netconf(),
            Sought::Broken(broken) => return Err(Error::msg(broken.to_string())),
            Sought::Nothing => {
                return Err(Error::msg(format!(
                    "container {} has no attachment {} to network {}: no state file in {}",
                    attachment.container_id,
                    attachment.ifname,
                    call.network,
                    config.data_dir.display()
                )));
            }
        };
        if let Some(previous) = &config.prev_result {
            netconf.insert("prevResult".to_owned(), previous.clone());
        }
        let delegate = call.interface_delegate(netconf::delegate_type(&netconf))?;
        let text = cni::json::to_string_compact(&Value::Object(netconf));
        delegate.check(
            &call.with_config(call.network.clone(), text.as_bytes()),
            attachment,
        )
    }

    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        let config = Config::read(call)?;
        let Some(mut netconf) = any_netconf(&config, call)? else {
            return Ok(());
        };
        if let Some(valid) = valid {
            let list = serde_json::to_value(valid).map_err(Error::internal)?;
            for key in VALID_ATTACHMENTS {
                netconf.insert(key.to_owned(), list.clone());
            }
        }
        let delegate = call.interface_delegate(netconf::delegate_type(&netconf))?;
        let text = cni::json::to_string_compact(&Value::Object(netconf));
        delegate.gc(&call.with_config(call.network.clone(), text.as_bytes()))?;
        match valid {
            Some(valid) => state::collect(&config.data_dir, &call.network, valid),
            None => Ok(()),
        }
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        let config = Config::read(call)?;
        let environment =
            environment::load(&config.subnet_file, Wait::No).map_err(not_available)?;
        if self.needs == Needs::VxlanDevice {
            require_vxlan_device()?;
        }
        let netconf = netconf::build(&config, call, &environment)?;
        segments::require_no_tunnel(&netconf).map_err(not_available)?;
        let delegate = call
            .interface_delegate(netconf::delegate_type(&netconf))
            .map_err(Error::for_status)?;
        let text = cni::json::to_string_compact(&Value::Object(netconf));
        delegate.status(&call.with_config(call.network.clone(), text.as_bytes()))
    }
}

/// Whether the container has the attachment's interface. A namespace that cannot be looked at has
/// none; the delegate says what is wrong with it.
fn has_interface(attachment: &Attachment) -> bool {
    let look = |path: &str| -> Result<bool, Box<dyn std::error::Error>> {
        let name = attachment.ifname.as_str().parse()?;
        let container = kernel::NetNs::open(path)?;
        Ok(kernel::Netlink::open_in(&container)?.link(&name)?.is_some())
    };
    look(&attachment.netns).unwrap_or_default()
}

/// Deleting what does not exist succeeds, so this costs nothing but time; where nobody is
/// there to do it, nothing can have been attached.
fn del_without_state(
    config: &Config,
    call: &Call<'_>,
    attachment: &Detachment,
) -> Result<(), Error> {
    let Ok(environment) = environment::load(&config.subnet_file, Wait::No) else {
        return Ok(());
    };
    let Ok(delegate) = call.interface_delegate(config.delegate_type()) else {
        return Ok(());
    };
    let netconf = netconf::build(config, call, &environment)?;
    let text = cni::json::to_string_compact(&Value::Object(netconf));
    delegate.del(
        &call.with_config(call.network.clone(), text.as_bytes()),
        attachment,
    )
}

/// DEL of what may have been made with another subnet.env, or while there was one.
fn release_by_name(config: &Config, call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
    let environment = environment::load(&config.subnet_file, Wait::No).ok();
    let netconf = netconf::for_release(config, call, environment.as_ref());
    let delegate = call.interface_delegate(netconf::delegate_type(&netconf))?;
    let text = cni::json::to_string_compact(&Value::Object(netconf));
    delegate.del(
        &call.with_config(call.network.clone(), text.as_bytes()),
        attachment,
    )
}

/// The delegate's configuration from subnet.env, or else as any attachment has it; `None`
/// when nothing was ever attached.
fn any_netconf(config: &Config, call: &Call<'_>) -> Result<Option<Map<String, Value>>, Error> {
    match environment::load(&config.subnet_file, Wait::No) {
        Ok(environment) => netconf::build(config, call, &environment).map(Some),
        Err(_) => Ok(match state::trace(&config.data_dir, &call.network)? {
            Trace::Netconf(netconf) => Some(netconf),
            Trace::Broken => Some(netconf::for_release(config, call, None)),
            Trace::None => None,
        }),
    }
}

/// The specification's code for 'ADD cannot be serviced'.
fn not_available(error: Error) -> Error {
    Error {
        code: code::PLUGIN_NOT_AVAILABLE,
        ..error
    }
}

/// One of netd's devices, up. Without it pods that run do not reach those of other nodes either.
fn require_vxlan_device() -> Result<(), Error> {
    let links = kernel::Netlink::open()
        .and_then(|netlink| netlink.links())
        .map_err(Error::internal)?;
    let is_device = |link: &kernel::Link| {
        matches!(link.kind, kernel::LinkKind::Vxlan(_))
            && cluster::is_vxlan_device(link.name.as_str())
    };
    match links.iter().find(|link| is_device(link)) {
        Some(link) if link.up => Ok(()),
        Some(link) => Err(limited(format!("device {} is down", link.name))),
        None => Err(limited("there is no device flannel.<VNI>".to_owned())),
    }
}

fn limited(what: String) -> Error {
    let msg = format!("the pod network is not ready: {what}");
    Error::new(code::PLUGIN_LIMITED, msg)
        .with_details("netd or flanneld with the backend vxlan makes it; see `netd status`")
}

/// An input or output failure of one file.
fn io_failure(operation: &str, path: &Path, error: std::io::Error) -> Error {
    let msg = format!("cannot {operation} {}: {error}", path.display());
    Error {
        source: Some(Box::new(error)),
        ..Error::new(code::IO_FAILURE, msg)
    }
}

#[cfg(test)]
mod tests;

//! What a plugin sees of a call, and the trait it implements.
use std::{collections::BTreeMap, path::PathBuf};
use serde::de::DeserializeOwned;
use crate::{AddResult, ContainerId, Error, IfName, NetworkName, SpecVersion, delegate::Delegate, invocation::Env};

/// Which interface of which container: the key of ADD, DEL and CHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment { pub container_id: ContainerId, pub ifname: IfName, /// `CNI_NETNS` as given; `None` when unset or empty (DEL only)
    pub netns: Option<String> }
/// One entry of `cni.dev/valid-attachments`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValidAttachment { pub container_id: String, pub ifname: String }

/// A CNI plugin. Handlers are synchronous; errors that are `cni::Error` are printed unchanged.
pub trait Plugin: Sync {
    fn name(&self) -> &'static str;
    fn versions(&self) -> &'static [SpecVersion] { SpecVersion::ALL }
    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error>;
    fn del(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error>;
    fn check(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<(), Error> { Ok(()) }
    /// `valid`: `None` when the list is absent ("unknown": remove nothing), empty when nothing is valid.
    fn gc(&self, _call: &Call<'_>, _valid: Option<&[ValidAttachment]>) -> Result<(), Error> { Ok(()) }
    fn status(&self, _call: &Call<'_>) -> Result<(), Error> { Ok(()) }
}

/// Everything of a call but the attachment. Cheap to clone; a meta plugin makes a changed one.
#[derive(Clone)]
pub struct Call<'a> {
    pub network: NetworkName,
    pub version: SpecVersion,
    /// The configuration's exact bytes, as a delegate must receive them.
    pub stdin: &'a [u8],
    pub env: &'a Env,
    pub registry: &'a [&'a dyn Plugin],
}

impl<'a> Call<'a> {
    /// The configuration as `T`, read by [`crate::json`]; failure is code 999 `failed to load netconf: ...`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> { todo!() }
    /// `prevResult` of the configuration (cni-compat 1.9.1).
    pub fn prev_result(&self) -> Result<Option<AddResult>, Error> { todo!() }
    /// `CNI_ARGS` with the keys that the plugin knows (1.10).
    pub fn cni_args(&self, _known: &[&str]) -> Result<CniArgs, Error> { todo!() }
    /// `CNI_PATH`, split.
    pub fn path(&self) -> Vec<PathBuf> { todo!() }
    /// The delegate of this name: in-process when CNI_PATH resolves to our own build, executed otherwise (1.12).
    pub fn delegate(&self, _plugin_type: &str) -> Result<Delegate<'a>, Error> { todo!() }
    /// The same call with another configuration (a meta plugin's delegate).
    pub fn with_config<'b>(&self, _network: NetworkName, _stdin: &'b [u8]) -> Call<'b> where 'a: 'b { todo!() }
}
/// Values of the known keys of `CNI_ARGS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniArgs(pub BTreeMap<String, String>);

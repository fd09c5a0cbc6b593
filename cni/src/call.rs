//! What a plugin sees of a call, and the trait it implements.

mod args;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use args::CniArgs;

use crate::delegate::{self, Delegate};
use crate::invocation::Env;
use crate::json::{self, JsonError, Node};
use crate::{AddResult, ContainerId, Error, IfName, NetworkName, PluginSchema, SpecVersion, code};

/// Which interface of which container: the key of ADD, DEL and CHECK.
/// ADD and CHECK always have a namespace, DEL may have lost it: see [`Detachment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment<N = String> {
    /// `CNI_CONTAINERID`.
    pub container_id: ContainerId,
    /// `CNI_IFNAME`.
    pub ifname: IfName,
    /// `CNI_NETNS` as given, never empty.
    pub netns: N,
}

/// An attachment to be released, whose namespace may be unknown: `CNI_NETNS` unset or empty.
pub type Detachment = Attachment<Option<String>>;

impl From<&Attachment> for Detachment {
    fn from(attachment: &Attachment) -> Self {
        Self {
            container_id: attachment.container_id.clone(),
            ifname: attachment.ifname.clone(),
            netns: Some(attachment.netns.clone()),
        }
    }
}

/// One entry of `cni.dev/valid-attachments` (CNI specification 1.1.0, section "GC").
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(default)]
pub struct ValidAttachment {
    /// The container's ID.
    #[serde(rename = "containerID")]
    #[schemars(extend("examples" = ["0123456789abcdef"]))]
    pub container_id: String,
    /// Name of the interface in the container.
    #[schemars(extend("examples" = ["eth0"]))]
    pub ifname: String,
}

/// An entry that names an attachment as ADD would take it.
fn checked_entry(
    key: &str,
    at: usize,
    entry: Option<ValidAttachment>,
) -> Result<ValidAttachment, Error> {
    let entry = entry.unwrap_or_default();
    let container_id = entry.container_id.parse::<ContainerId>().map(drop);
    let named = container_id.and(entry.ifname.parse::<IfName>().map(drop));
    let refused = |error: Error| {
        let ValidAttachment {
            container_id,
            ifname,
        } = &entry;
        let msg = format!(
            "{key}[{at}] (containerID {container_id:?}, ifname {ifname:?}) is no attachment: {error}; \
             nothing is removed"
        );
        Error::new(code::INVALID_CONFIG, msg)
    };
    named.map_err(refused)?;
    Ok(entry)
}

/// What a plugin is for, and so who may delegate to it: a meta plugin to an interface plugin, an
/// interface plugin to an IPAM plugin. In this order no plugin can come to call itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes an interface in the container.
    Interface,
    /// Hands out addresses.
    Ipam,
    /// Works on what earlier plugins of the list made.
    Chained,
    /// Makes a configuration for an interface plugin and leaves the work to it.
    Meta,
}

/// A CNI plugin. Handlers are synchronous; errors that are [`crate::Error`] are printed unchanged.
/// Only ADD returns something; the other commands succeed silently.
pub trait Plugin: Sync {
    /// The name of the executable, which is `type` in configurations.
    fn name(&self) -> &'static str;

    /// What the plugin is for.
    fn role(&self) -> Role;

    /// Versions of the specification that the plugin accepts in `cniVersion`.
    fn versions(&self) -> &'static [SpecVersion] {
        SpecVersion::ALL
    }

    /// What its configuration may hold, from the type that it is read into: see
    /// [`crate::schema`].
    fn schema(&self) -> PluginSchema;

    /// Whether ADD would take the configuration: nothing is done, and nothing looked at but the
    /// configuration. Where a plugin says no more, that is whether it can be read.
    ///
    /// # Errors
    /// What ADD would say.
    fn validate(&self, call: &Call<'_>) -> Result<(), Error> {
        self.schema().read(call.stdin).map_err(not_loaded)
    }

    /// Attaches the container. A failure must leave nothing behind.
    ///
    /// # Errors
    /// What the caller is told.
    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error>;

    /// Releases everything of the attachment. Must succeed when there is nothing, and twice.
    ///
    /// # Errors
    /// What the caller is told.
    fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), Error>;

    /// Finds out whether the attachment is as ADD left it.
    ///
    /// # Errors
    /// What is missing or different.
    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error>;

    /// Removes everything of the network that is not listed. `valid`: `None` when the list is
    /// absent ("unknown": remove nothing), empty when nothing is valid. Not called where the
    /// configuration says `disableGC`.
    ///
    /// # Errors
    /// What could not be removed, after trying everything.
    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error>;

    /// Says whether ADD can be serviced.
    ///
    /// # Errors
    /// Code 50 or 51 with what is missing.
    fn status(&self, call: &Call<'_>) -> Result<(), Error>;
}

/// Everything of a call but the attachment. Cheap to clone; a meta plugin makes a changed one.
#[derive(Clone)]
pub struct Call<'a> {
    /// `name` of the configuration.
    pub network: NetworkName,
    /// `cniVersion` of the configuration.
    pub version: SpecVersion,
    /// The configuration's exact bytes, as a delegate must receive them.
    pub stdin: &'a [u8],
    /// The environment of the call.
    pub env: &'a Env,
    /// Every plugin of this executable, for in-process delegation.
    pub registry: &'a [&'a dyn Plugin],
}

impl<'a> Call<'a> {
    /// The configuration as `T`, read by [`crate::json`].
    ///
    /// # Errors
    /// Code 999 `failed to load netconf: ...`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        json::from_slice(self.stdin).map_err(not_loaded)
    }

    /// `prevResult` of the configuration, which must be of the configuration's family of versions
    /// or not say its version; `None` when there is none.
    ///
    /// # Errors
    /// Code 999: not an object (`failed to load netconf: ...`), or not a result of this version
    /// (`could not parse prevResult: ...`).
    pub fn prev_result(&self) -> Result<Option<AddResult>, Error> {
        let config = Node::parse(self.stdin).map_err(not_loaded)?;
        match config.get("prevResult") {
            None => Ok(None),
            Some(node @ Node::Object(_)) => AddResult::parse_node(node, self.version)
                .map(Some)
                .map_err(|e| e.context("could not parse prevResult")),
            Some(other) => Err(not_loaded(JsonError(format!(
                "json: cannot unmarshal {} into key \"prevResult\" of type object",
                other.kind()
            )))),
        }
    }

    /// The attachments that GC must keep: `cni.dev/valid-attachments`, or `cni.dev/attachments`
    /// as drafts of the specification called it. `None` when neither key is there. A `null` is an
    /// empty list: libcni writes it when no attachment is left.
    ///
    /// # Errors
    /// Code 999 `failed to load netconf: ...` for a list of the wrong type; code 7 for an entry that
    /// is no attachment. Nobody knows which one is meant by it, and taken for none it would be removed.
    pub fn valid_attachments(&self) -> Result<Option<Vec<ValidAttachment>>, Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Lists {
            #[serde(rename = "cni.dev/valid-attachments")]
            valid: Option<Vec<Option<ValidAttachment>>>,
            #[serde(rename = "cni.dev/attachments")]
            draft: Option<Vec<Option<ValidAttachment>>>,
        }
        let document = Node::parse(self.stdin).map_err(not_loaded)?;
        let lists: Lists = json::from_node(&document).map_err(not_loaded)?;
        let lists = VALID_ATTACHMENTS
            .into_iter()
            .zip([lists.valid, lists.draft]);
        for (key, listed) in lists {
            if let Some(listed) = listed {
                let checked = listed.into_iter().enumerate();
                let checked = checked.map(|(at, entry)| checked_entry(key, at, entry));
                return checked.collect::<Result<_, _>>().map(Some);
            }
        }
        let is_stated = VALID_ATTACHMENTS.iter().any(|key| document.has(key));
        Ok(is_stated.then(Vec::new))
    }

    /// Whether the configuration says `disableGC`, as a list may: a boolean, or the word for one.
    ///
    /// # Errors
    /// Code 999 `failed to load netconf: ...` for another value.
    pub fn is_gc_disabled(&self) -> Result<bool, Error> {
        let document = Node::parse(self.stdin).map_err(not_loaded)?;
        json::flag(document.get("disableGC"), "disableGC")
            .map_err(|problem| not_loaded(JsonError(problem)))
    }

    /// `CNI_ARGS` with the keys that the plugin knows; see [`CniArgs::parse`].
    ///
    /// # Errors
    /// As [`CniArgs::parse`].
    pub fn cni_args(&self, known: &[&str]) -> Result<CniArgs, Error> {
        CniArgs::parse(self.env.get("CNI_ARGS").map_or("", String::as_str), known)
    }

    /// The directories of `CNI_PATH`.
    pub fn path(&self) -> Vec<PathBuf> {
        match self.env.get("CNI_PATH").map(String::as_str) {
            None | Some("") => Vec::new(),
            Some(path) => path.split(':').map(PathBuf::from).collect(),
        }
    }

    /// The IPAM plugin that is called `plugin_type`: in-process when `CNI_PATH` resolves to our
    /// own build, executed otherwise.
    ///
    /// # Errors
    /// Code 7 when it is known to be no IPAM plugin; code 999 when there is no such plugin in
    /// `CNI_PATH`.
    pub fn ipam_delegate(&self, plugin_type: &str) -> Result<Delegate<'a>, Error> {
        delegate::resolve(plugin_type, Role::Ipam, &self.path(), self.registry)
    }

    /// The interface plugin that is called `plugin_type`, likewise.
    ///
    /// # Errors
    /// As [`Call::ipam_delegate`].
    pub fn interface_delegate(&self, plugin_type: &str) -> Result<Delegate<'a>, Error> {
        delegate::resolve(plugin_type, Role::Interface, &self.path(), self.registry)
    }

    /// The same call with another configuration (a meta plugin's delegate). `stdin` must hold
    /// `network` as its `name` and the version of this call.
    pub fn with_config<'b>(&self, network: NetworkName, stdin: &'b [u8]) -> Call<'b>
    where
        'a: 'b,
    {
        Call {
            network,
            version: self.version,
            stdin,
            env: self.env,
            registry: self.registry,
        }
    }
}

/// The two names of the list of valid attachments: the specification's and its drafts'.
pub const VALID_ATTACHMENTS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];

fn not_loaded(cause: JsonError) -> Error {
    Error::from(cause).context("failed to load netconf")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_call<T>(stdin: &str, f: impl FnOnce(&Call<'_>) -> T) -> T {
        let env = Env::from([(
            "CNI_PATH".to_owned(),
            "/opt/cni/bin:/usr/lib/cni".to_owned(),
        )]);
        f(&Call {
            network: "net".parse().unwrap(),
            version: SpecVersion::V1_0_0,
            stdin: stdin.as_bytes(),
            env: &env,
            registry: &[],
        })
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Config {
        mtu: u32,
    }

    #[test]
    fn configuration_errors_have_their_prefix() {
        assert_eq!(
            with_call(r#"{"MTU":9}"#, |call| call.config::<Config>().unwrap().mtu),
            9
        );
        let error = with_call(r#"{"mtu":1500.0}"#, |call| {
            call.config::<Config>().unwrap_err()
        });
        assert_eq!(error.code, 999);
        let text = "failed to load netconf: json: cannot unmarshal number 1500.0 into key \"mtu\"";
        assert!(error.msg.starts_with(text), "{}", error.msg);
    }

    #[test]
    fn prev_result_is_absent_or_of_the_right_family() {
        for stdin in ["{}", r#"{"prevResult":null}"#] {
            assert_eq!(with_call(stdin, |call| call.prev_result().unwrap()), None);
        }
        let stdin = r#"{"PrevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/8"}]}}"#;
        let result = with_call(stdin, |call| call.prev_result().unwrap().unwrap());
        assert_eq!(result.ips.len(), 1);
        for (stdin, message) in [
            (
                r#"{"prevResult":5}"#,
                "failed to load netconf: json: cannot unmarshal number into key \"prevResult\" of type object",
            ),
            (
                r#"{"prevResult":{"cniVersion":"0.3.1"}}"#,
                "could not parse prevResult: result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.3.1\"",
            ),
            (
                r#"{"prevResult":{"ips":[{"address":"bad"}]}}"#,
                "could not parse prevResult: invalid CIDR address: bad",
            ),
        ] {
            let error = with_call(stdin, |call| call.prev_result().unwrap_err());
            assert_eq!((error.code, error.msg.as_str()), (999, message));
        }
    }

    #[test]
    fn valid_attachments_are_unknown_empty_or_listed() {
        let valid = |stdin: &str| with_call(stdin, |call| call.valid_attachments());
        assert_eq!(valid("{}").unwrap(), None);
        for empty in [
            r#"{"cni.dev/valid-attachments":[]}"#,
            r#"{"cni.dev/valid-attachments":null}"#,
            r#"{"cni.dev/attachments":null}"#,
            r#"{"CNI.dev/valid-attachments":null,"cni.dev/attachments":null}"#,
        ] {
            assert_eq!(valid(empty).unwrap(), Some(vec![]), "{empty}");
        }
        let one = vec![ValidAttachment {
            container_id: "c".into(),
            ifname: "eth0".into(),
        }];
        for [key, other] in [VALID_ATTACHMENTS, ["cni.dev/attachments", "x"]] {
            let list = r#"[{"containerID":"c","ifname":"eth0"}]"#;
            let stdin = format!(r#"{{"{other}":null,"{key}":{list}}}"#);
            assert_eq!(valid(&stdin).unwrap(), Some(one.clone()), "{stdin}");
        }
        let list =
            r#"{"cni.dev/valid-attachments":null,"cni.dev/attachments":[{"ifname":"eth0"}]}"#;
        assert_eq!(
            valid(list).unwrap_err().msg,
            "cni.dev/attachments[0] (containerID \"\", ifname \"eth0\") is no attachment: missing \
             containerID; nothing is removed"
        );
        for entry in [
            "{}",
            "null",
            r#"{"containerID":"c"}"#,
            r#"{"containerID":"c","ifname":""}"#,
            r#"{"containerID":null,"ifname":"eth0"}"#,
            r#"{"container_id":"c","interface":"eth0"}"#,
            r#"{"containerID":"../c","ifname":"eth0"}"#,
            r#"{"containerID":"c","ifname":"eth 0"}"#,
        ] {
            let list = format!(
                r#"{{"cni.dev/valid-attachments":[{{"containerID":"c","ifname":"eth0"}},{entry}]}}"#
            );
            let error = valid(&list).unwrap_err();
            assert_eq!(error.code, code::INVALID_CONFIG, "{entry}");
            let start = "cni.dev/valid-attachments[1] (containerID ";
            assert!(error.msg.starts_with(start), "{entry}: {error}");
        }
        let error = valid(r#"{"cni.dev/valid-attachments":{}}"#).unwrap_err();
        assert!(
            error
                .msg
                .starts_with("failed to load netconf: json: cannot unmarshal object")
        );
    }

    #[test]
    fn gc_is_disabled_by_a_boolean_or_its_word() {
        let disabled = |stdin: &str| with_call(stdin, |call| call.is_gc_disabled());
        for (stdin, expected) in [
            ("{}", false),
            (r#"{"disableGC":null}"#, false),
            (r#"{"disableGC":false}"#, false),
            (r#"{"disableGC":true}"#, true),
            (r#"{"disablegc":"True"}"#, true),
        ] {
            assert_eq!(disabled(stdin).unwrap(), expected, "{stdin}");
        }
        let error = disabled(r#"{"disableGC":1}"#).unwrap_err();
        assert_eq!(
            error.msg,
            "failed to load netconf: disableGC must be true or false, not number"
        );
    }

    #[test]
    fn the_path_is_split() {
        let path = with_call("{}", |call| call.path());
        assert_eq!(
            path,
            [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]
        );
    }
}

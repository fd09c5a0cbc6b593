//! What cnitool takes from its environment.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use cni::runtime::RuntimeConf;
use cni::{Error, code};
use serde_json::Value;

use crate::node::{CNI_BIN, NET_D};

/// The variables; those that are empty count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// `CNI_IFNAME`
    pub(super) ifname: Option<String>,
    /// `CNI_ARGS`
    args: Option<String>,
    /// `CAP_ARGS`
    capability_args: Option<String>,
    /// `NETCONFPATH`
    conf_dir: Option<String>,
    /// `CNI_PATH`
    path: Option<String>,
}

impl Environment {
    /// This process's.
    pub(super) fn of_process() -> Self {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            ifname: variable("CNI_IFNAME"),
            args: variable("CNI_ARGS"),
            capability_args: variable("CAP_ARGS"),
            conf_dir: variable("NETCONFPATH"),
            path: variable("CNI_PATH"),
        }
    }

    /// Where configurations are, unless the command line says it.
    pub(super) fn conf_dir(&self, given: Option<&Path>) -> PathBuf {
        let own = self.conf_dir.as_ref().map(PathBuf::from);
        given
            .map(Path::to_owned)
            .or(own)
            .unwrap_or_else(|| NET_D.into())
    }

    /// Where plugins are; nothing about an attachment.
    pub(super) fn paths(&self) -> RuntimeConf {
        let path = self.path.as_deref().unwrap_or(CNI_BIN);
        RuntimeConf {
            cni_path: env::split_paths(path).collect(),
            ..RuntimeConf::default()
        }
    }

    /// The same, with arguments for plugins.
    ///
    /// # Errors
    /// `CNI_ARGS` or `CAP_ARGS` cannot be understood: code 4.
    pub(super) fn conf(&self) -> Result<RuntimeConf, Error> {
        let args = self.args.as_deref().map(pairs).transpose()?;
        let capability_args = self.capability_args.as_deref().map(object).transpose()?;
        Ok(RuntimeConf {
            args: args.unwrap_or_default(),
            capability_args: capability_args.unwrap_or_default(),
            ..self.paths()
        })
    }
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, Error> {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(invalid(format!(
            "CNI_ARGS: {pair:?} is not of the form KEY=VALUE; several are joined by \";\""
        ))),
    };
    text.split(';').map(pair).collect()
}

fn object(text: &str) -> Result<BTreeMap<String, Value>, Error> {
    serde_json::from_str(text).map_err(|error| {
        invalid(format!(
            "CAP_ARGS is not a JSON object of capability arguments: {error}"
        ))
    })
}

fn invalid(message: String) -> Error {
    Error::new(code::INVALID_ENVIRONMENT, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_understood_or_refused_with_code_4() {
        let conf = |args: &str, capability_args: &str| {
            let environment = Environment {
                args: Some(args.to_owned()),
                capability_args: Some(capability_args.to_owned()),
                ..Environment::default()
            };
            environment.conf()
        };
        let good = conf("IP=10.0.0.9;MAC=a", r#"{"ips":["10.0.0.9/24"]}"#).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(good.args, [pair("IP", "10.0.0.9"), pair("MAC", "a")]);
        assert_eq!(good.capability_args["ips"], json!(["10.0.0.9/24"]));
        assert_eq!(good.cni_path, [PathBuf::from("/opt/cni/bin")]);
        for (args, capability_args, words) in [
            ("IP", "{}", "CNI_ARGS: \"IP\""),
            ("IP=", "{}", "CNI_ARGS: \"IP=\""),
            ("=a", "{}", "CNI_ARGS: \"=a\""),
            ("IP=a;", "{}", "CNI_ARGS: \"\""),
            ("IP=a=b", "{}", "CNI_ARGS: \"IP=a=b\""),
            ("IP=a", "[]", "CAP_ARGS"),
        ] {
            let error = conf(args, capability_args).unwrap_err();
            assert_eq!(error.code, 4, "{args} {capability_args}");
            assert!(error.msg.starts_with(words), "{}", error.msg);
        }
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_that_before_the_nodes_own() {
        let mut environment = Environment::default();
        assert_eq!(environment.conf_dir(None), Path::new(NET_D));
        environment.conf_dir = Some("/of/the/environment".to_owned());
        let own = environment.conf_dir(None);
        assert_eq!(own, Path::new("/of/the/environment"));
        let given = environment.conf_dir(Some(Path::new("/given")));
        assert_eq!(given, Path::new("/given"));
    }
}

//! What must hold before a handler runs: the version's gates and a namespace that is not ours.

use std::os::unix::fs::MetadataExt;

use super::{Command, Env};
use crate::json::print::{go_quote, go_quote_list};
use crate::version::Dotted;
use crate::{Error, SpecVersion, code};

/// Admits a configuration's `cniVersion` for a command (CNI specification 1.1.0, section
/// "Version considerations"): CHECK exists from 0.4.0 on, GC and STATUS from 1.1.0 on, and the
/// version must be exactly one that the plugin supports.
///
/// # Errors
/// Code 6: the version is none. Code 1: it is not admitted.
pub(super) fn admit(
    supported: &[SpecVersion],
    command: &Command,
    stated: &str,
) -> Result<SpecVersion, Error> {
    let since = match command {
        Command::Check(_) => Some(SpecVersion::V0_4_0),
        Command::Gc | Command::Status => Some(SpecVersion::V1_1_0),
        Command::Add(_) | Command::Del(_) | Command::Version | Command::Unknown(_) => None,
    };
    if let Some(since) = since {
        let config: Dotted = stated.parse()?;
        let refuse = |who: &str| {
            let msg = format!("{who} version does not allow {}", command.name());
            Err(Error::new(code::INCOMPATIBLE_VERSION, msg))
        };
        if config < since.into() {
            return refuse("config");
        }
        if !supported
            .iter()
            .any(|&version| Dotted::from(version) >= config)
        {
            return refuse("plugin");
        }
    }
    supported
        .iter()
        .copied()
        .find(|version| version.as_str() == stated)
        .ok_or_else(|| {
            let details = format!(
                "config is {}, plugin supports {}",
                go_quote(stated),
                go_quote_list(supported.iter().map(|version| version.as_str()))
            );
            Error::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions")
                .with_details(details)
        })
}

/// A call whose `CNI_NETNS` is the network namespace this process runs in would work on the host.
/// ADD and CHECK are refused. DEL goes on as without a namespace: the path is a recycled one, as
/// `/proc/PID/ns/net` may be after a reboot, and what the attachment had must be released still.
///
/// # Errors
/// Code 8. The reference does its work first and checks then; a caller is better served with an
/// error and an unchanged machine.
pub(super) fn keep_out_of_own_netns(env: &mut Env, command: &mut Command) -> Result<(), Error> {
    match command {
        Command::Add(attachment) | Command::Check(attachment) => {
            if is_own_netns(env, &attachment.netns)? {
                let msg = "plugin's netns and netns from CNI_NETNS should not be the same";
                return Err(Error::new(code::INVALID_NETNS, msg));
            }
        }
        Command::Del(attachment) => {
            // Where it cannot be found out, no namespace is the safe one.
            let path = attachment.netns.as_deref();
            if path.is_some_and(|path| is_own_netns(env, path).unwrap_or(true)) {
                attachment.netns = None;
                env.remove("CNI_NETNS");
            }
        }
        Command::Gc | Command::Status | Command::Version | Command::Unknown(_) => {}
    }
    Ok(())
}

/// Never, where the caller says that it means it (`CNI_NETNS_OVERRIDE`), nor for a path that
/// cannot be opened: the handler knows whether it needs it.
fn is_own_netns(env: &Env, path: &str) -> Result<bool, Error> {
    let overridden = env
        .get("CNI_NETNS_OVERRIDE")
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    if overridden {
        return Ok(false);
    }
    let Ok(wanted) = std::fs::metadata(path) else {
        return Ok(false);
    };
    // Not /proc/self: that is the main thread's, and a caller may have put this thread elsewhere.
    let own = std::fs::metadata("/proc/thread-self/ns/net").map_err(|cause| Error {
        source: Some(Box::new(cause)),
        ..Error::new(code::INVALID_NETNS, "get plugin's netns failed")
    })?;
    Ok((wanted.dev(), wanted.ino()) == (own.dev(), own.ino()))
}

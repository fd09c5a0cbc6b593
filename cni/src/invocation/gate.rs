//! What must hold before a handler runs: the version's gates and a namespace that is not ours.

use std::os::unix::fs::MetadataExt;

use super::{Command, Env};
use crate::json::print::{go_quote, go_quote_list};
use crate::version::Dotted;
use crate::{Attachment, Error, SpecVersion, code};

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

/// Refuses `CNI_NETNS` that is the network namespace this process runs in: plugins would work on
/// the host. A path that cannot be opened passes; the handler knows whether it needs it.
///
/// # Errors
/// Code 8. The reference does its work first and checks then; a caller is better served with an
/// error and an unchanged machine.
pub(super) fn refuse_own_netns(env: &Env, attachment: &Attachment) -> Result<(), Error> {
    let overridden = env
        .get("CNI_NETNS_OVERRIDE")
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    let Some(path) = attachment.netns.as_deref().filter(|_| !overridden) else {
        return Ok(());
    };
    let Ok(wanted) = std::fs::metadata(path) else {
        return Ok(());
    };
    // Not /proc/self: that is the main thread's, and a caller may have put this thread elsewhere.
    let own = std::fs::metadata("/proc/thread-self/ns/net").map_err(|cause| Error {
        source: Some(Box::new(cause)),
        ..Error::new(code::INVALID_NETNS, "get plugin's netns failed")
    })?;
    if (wanted.dev(), wanted.ino()) == (own.dev(), own.ino()) {
        let msg = "plugin's netns and netns from CNI_NETNS should not be the same";
        return Err(Error::new(code::INVALID_NETNS, msg));
    }
    Ok(())
}

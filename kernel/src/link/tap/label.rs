//! Tap devices with a label of their own.
//!
//! The device gets the SELinux context of the process that makes it, and a process gets another one by
//! starting a program (kernel: security/selinux, `selinux_tun_dev_create`; `/proc/self/attr/exec`). So
//! this program starts itself again under the name [`HELPER`], in the namespace of the device-to-be,
//! and what is called by that name does nothing but [`help`].
//!
//! Needs what [`super`] needs, and a policy that lets the context be entered through this program.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{Tap, create};
use crate::{Error, IfName, NetNs, Result};

/// What this program is called by (`argv[0]`) when it makes a device for another process.
pub const HELPER: &str = "podwire-make-tap";

/// The calling thread's label from its next program on.
const EXEC_LABEL: &str = "/proc/thread-self/attr/exec";

/// Makes a persistent tap device in `ns`, else in the calling thread's namespace, by a process of
/// this SELinux context.
///
/// # Errors
/// The context cannot be set (EINVAL without SELinux, or no such context); no process could be
/// started; what that could not do, in its words.
pub(crate) fn create_labelled(
    ns: Option<&NetNs>,
    name: &IfName,
    tap: Tap,
    label: &str,
) -> Result<()> {
    // A thread of its own takes the label along when it ends.
    let start = || start_labelled(name, tap, label);
    match ns {
        Some(ns) => ns.run(start)?,
        None => std::thread::scope(|scope| match scope.spawn(start).join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }),
    }
}

fn start_labelled(name: &IfName, tap: Tap, label: &str) -> Result<()> {
    let failed = |source, words: String| Error {
        message: Some(words),
        ..Error::new("add tap", name, source)
    };
    fs::write(EXEC_LABEL, label)
        .map_err(|source| failed(source, format!("failed set socket label: {label}")))?;
    #[allow(
        clippy::disallowed_methods,
        reason = "the context is entered by starting a program"
    )]
    let output = Command::new("/proc/self/exe")
        .arg0(HELPER)
        .args(to_arguments(name, tap))
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|source| failed(source, format!("cannot start this program as {label}")))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let source = io::Error::other(format!("the process that makes it: {}", output.status));
            Err(failed(source, words))
        }
    }
}

/// What the process under the name [`HELPER`] does with its arguments: makes the device where it is.
///
/// # Errors
/// As for any tap; arguments that nobody but this module writes.
pub fn help(arguments: &[String]) -> Result<()> {
    match from_arguments(arguments) {
        Some((name, tap)) => create(&name, tap),
        None => Err(Error::new(
            "understand",
            format_args!("{arguments:?}"),
            io::ErrorKind::InvalidInput.into(),
        )),
    }
}

/// Name; queues and headers as `0` and `1`; owner and group as numbers or `-`.
fn to_arguments(name: &IfName, tap: Tap) -> [String; 4] {
    let flags = [tap.multi_queue, tap.packet_information, tap.vnet_header];
    let flags = flags.map(|flag| if flag { "1" } else { "0" });
    let id = |id: Option<u32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    [
        name.to_string(),
        flags.concat(),
        id(tap.owner),
        id(tap.group),
    ]
}

fn from_arguments(arguments: &[String]) -> Option<(IfName, Tap)> {
    let [name, flags, owner, group] = arguments else {
        return None;
    };
    let [multi_queue, packet_information, vnet_header] = *flags.as_bytes() else {
        return None;
    };
    let id = |text: &String| match text.as_str() {
        "-" => Some(None),
        number => number.parse().ok().map(Some),
    };
    let tap = Tap {
        is_tun: false,
        multi_queue: multi_queue == b'1',
        packet_information: packet_information == b'1',
        vnet_header: vnet_header == b'1',
        owner: id(owner)?,
        group: id(group)?,
        is_temporary: false,
    };
    Some((name.parse().ok()?, tap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_the_whole_device() {
        let name: IfName = "eth0".parse().unwrap();
        for bits in 0..8 {
            for (owner, group) in [(None, None), (Some(0), Some(7)), (Some(u32::MAX), None)] {
                let tap = Tap {
                    is_tun: false,
                    multi_queue: bits & 1 != 0,
                    packet_information: bits & 2 != 0,
                    vnet_header: bits & 4 != 0,
                    owner,
                    group,
                    is_temporary: false,
                };
                let arguments = to_arguments(&name, tap);
                assert_eq!(from_arguments(&arguments), Some((name.clone(), tap)));
            }
        }
    }

    #[test]
    fn nothing_else_is_understood() {
        for arguments in [
            &["eth0", "000", "-"][..],
            &["eth0", "00", "-", "-"],
            &["a/b", "000", "-", "-"],
            &["eth0", "000", "x", "-"],
            &["eth0", "000", "-", "-", "-"],
        ] {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            assert!(help(&arguments).is_err(), "{arguments:?}");
        }
    }
}

//! A lab without root.
//!
//! What a lab is made of needs root, and every user may be root: of a user namespace of its own. A command of a user
//! who is not the machine's root first goes home, into the user namespace of its lab, which the lab's keeper is in, or
//! into a new one where no keeper runs, with a mount namespace in which it may mount. Then it starts anew, as root
//! there, and goes on like any other; nothing is left running for it. Labs and images of the user are in directories of
//! the user's.
//!
//! In a user namespace that somebody else made (`unshare -Urnm`) a command is root already, and stays where it is.

mod places;
mod ranges;
mod refusals;

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use sandbox::cgroup::Hierarchies;
use sandbox::rootless::{self, Caller};
use sandbox::{Namespace, Process, unshare};

use crate::output::complain;
use crate::program::{self, own_executable};
use crate::state::{self, Name};

pub use places::{images, labs, make_labs, variables};
pub(crate) use ranges::Ranges;
pub use refusals::refuse;

/// The environment variable by which what is at home knows where the user's labs are.
pub const VARIABLE: &str = "PODWIRE_LAB_HOME";

/// Where this process's labs are, if it is at home.
fn own() -> Option<&'static Path> {
    static HOME: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = HOME.get_or_init(|| {
        let named = env::var_os(VARIABLE).filter(|_| !rootless::is_among_the_machines_users());
        named.map(PathBuf::from)
    });
    found.as_deref()
}

/// Whether the lab's root is not the machine's.
pub fn is_without_root() -> bool {
    own().is_some()
}

/// The machine's control groups; none without root, also where the user has some.
///
/// # Errors
/// As [`Hierarchies::detect`].
pub fn control_groups() -> Result<Hierarchies> {
    match is_without_root() {
        true => Ok(Hierarchies::none()),
        false => Ok(Hierarchies::detect()?),
    }
}

/// Goes home, for a command of the lab `name`. Returns when this process is there, or is the machine's root and needs
/// no home; else the program starts anew.
///
/// # Errors
/// The kernel allows the user no namespaces: says what forbids them. The lab is another user's.
pub fn go(name: &Name) -> Result<()> {
    let caller = Caller::this();
    let is_root = caller.user == 0;
    if is_root && (rootless::is_among_the_machines_users() || is_without_root()) {
        return Ok(());
    }
    let executable = own_executable()?;
    let labs = places::of(caller)?;
    match keeper(&labs, name)? {
        Some(keeper) => rootless::join(&keeper)
            .with_context(|| format!("enter the user namespace of lab {name}"))?,
        None if is_root => {}
        None => make(caller)?,
    }
    unshare(&[Namespace::Mount]).map_err(|refused| forbidden(refused.into()))?;
    start_anew(&executable, &labs)
}

/// Whether a command of the lab `name` needs no user namespace made for it: its user is root, or the lab runs.
///
/// # Errors
/// The lab is another user's.
pub fn is_there(name: &Name) -> Result<bool> {
    let caller = Caller::this();
    Ok(caller.user == 0 || keeper(&places::of(caller)?, name)?.is_some())
}

/// The keeper of one of these labs, if it runs.
fn keeper(labs: &Path, name: &Name) -> Result<Option<Process>> {
    let noted: Option<Process> = state::read(&labs.join(name.as_str()).join("keeper.json"))?;
    Ok(noted.filter(Process::is_alive))
}

/// The program again, from a mount of this mount namespace.
#[allow(
    clippy::disallowed_methods,
    reason = "this program becomes itself and starts none"
)]
fn start_anew(executable: &Path, labs: &Path) -> Result<()> {
    let mut arguments = env::args_os();
    let mut again = Command::new(executable);
    again.arg0(arguments.next().unwrap_or_else(|| "lab".into()));
    again.args(arguments).env(VARIABLE, labs);
    Err(again.exec()).with_context(|| format!("execute {}", executable.display()))
}

fn make(caller: Caller) -> Result<()> {
    let ranges = Ranges::of(caller)?;
    let helper = match &ranges {
        Ok(_) => Some(start_helper()?),
        Err(_) => None,
    };
    rootless::unshare_users().map_err(|refused| forbidden(refused.into()))?;
    match helper {
        Some(helper) => wait_for_helper(helper),
        None => caller
            .become_the_only_root()
            .map_err(|refused| forbidden(refused.into())),
    }
}

/// Who knows what forbids it says so.
fn forbidden(refused: anyhow::Error) -> anyhow::Error {
    let why = rootless::why_refused().unwrap_or_else(|| {
        "this may be a container's list of system calls, or that too many are there or one in another (32)".to_owned()
    });
    refused.context(format!(
        "without root a lab needs a user namespace, and the kernel refuses it: {why}"
    ))
}

/// Said by `lab up` where root is the only user: what there is not then.
pub fn tell_of_missing_users() {
    if is_without_root() && rootless::groups_are_fixed() {
        complain(
            "without root, root is the only user: files of images are its own, and no container runs as another one; \
             newuidmap (package uidmap) and ranges in /etc/subuid and /etc/subgid give more",
        );
    }
}

/// Starts who may say, from outside, which users there are: newuidmap has the right to.
fn start_helper() -> Result<Child> {
    let mut helper = program::command(own_executable()?);
    helper
        .args(["map-users", &std::process::id().to_string()])
        .stdin(Stdio::piped());
    helper.spawn().context("start `lab map-users`")
}

fn wait_for_helper(mut helper: Child) -> Result<()> {
    let told = helper.stdin.take().map(|mut ear| ear.write_all(b"m"));
    let status = helper.wait().context("wait for `lab map-users`")?;
    match (told, status.success()) {
        (Some(Ok(())), true) => Ok(()),
        _ => bail!("newuidmap and newgidmap gave no users: what they said is above"),
    }
}

/// The hidden subcommand `map-users`: gives a process's new user namespace its users, when that says that it is there.
///
/// # Errors
/// newuidmap or newgidmap is missing or fails; what it says goes to standard error.
pub fn map_users(process: u32) -> Result<()> {
    let heard = io::stdin()
        .read(&mut [0; 1])
        .context("wait for the user namespace")?;
    if heard == 0 {
        bail!("who made the user namespace has ended");
    }
    let caller = Caller::this();
    let ranges = match Ranges::of(caller)? {
        Ok(ranges) => ranges,
        Err(missing) => bail!("{missing}"),
    };
    for (tool, own, range) in [
        ("newuidmap", caller.user, ranges.users),
        ("newgidmap", caller.group, ranges.groups),
    ] {
        let mut map = program::command(tool);
        map.arg(process.to_string());
        map.args(["0", &own.to_string(), "1"]);
        map.args(["1", &range.first.to_string(), &range.length.to_string()]);
        program::output(&mut map)?;
    }
    Ok(())
}

//! What runs in a container, and what its root is, from what was asked for.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use manifest::{Container, SeccompType, VolumeMount, VolumeSource};
use sandbox::{
    Account, Capabilities, Confinement, ContainerRoot, Identity, Mount, Rights, SystemCalls, Users,
    enter_directory, own_pipes,
};
use serde::{Deserialize, Serialize};

use super::container::Setup;
use super::launch::scratch;
use super::supervisor::Held;
use super::{Base, Pod, images};
use crate::keeper::LAB_VARIABLE;
use crate::state::LabDir;

/// Where programs are looked for unless an image says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The pod's host name.
pub(super) fn hostname(pod: &Pod) -> &str {
    pod.spec().hostname.as_deref().unwrap_or(pod.name.as_str())
}

/// Where a volume that the pod has to itself is.
pub(super) fn volume(scratch: &Path, name: &str) -> PathBuf {
    scratch.join("volumes").join(name)
}

/// Program and arguments of a container; what it does not say is its image's (core/v1, "command", "args").
///
/// # Errors
/// There are none.
pub(super) fn command_line(container: &Container, base: &Base) -> Result<Vec<String>> {
    let (program, arguments) = match (container.command.is_empty(), container.args.is_empty()) {
        (false, _) => (&container.command, &container.args),
        (true, false) => (&base.entrypoint, &container.args),
        (true, true) => (&base.entrypoint, &base.cmd),
    };
    let all: Vec<String> = program.iter().chain(arguments).cloned().collect();
    if all.is_empty() {
        bail!("neither it nor its image has a command");
    }
    Ok(all)
}

/// A program of a container: what it is, and who runs it with which rights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Program {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its whole environment, but HOME where nothing says what that is.
    pub env: Vec<(String, String)>,
    /// Absolute.
    pub working_dir: PathBuf,
    user: User,
    rights: Rights,
}

/// Who runs a program, before the container's own files of users and groups have been read.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    /// As an image says it: names or numbers, `USER` or `USER:GROUP`.
    of_image: Option<String>,
    user: Option<u32>,
    group: Option<u32>,
    /// Beside those that the container's files give the user.
    groups: Vec<u32>,
    /// Root is refused.
    not_root: bool,
}

/// What a container of the pod is to be.
///
/// # Errors
/// It has no command, asks for a capability that does not exist, or mounts a volume that does not.
pub(super) fn setup(dir: &LabDir, pod: &Pod, container: &Container, held: &Held) -> Result<Setup> {
    Ok(Setup {
        root: root(pod, container, held.users.clone())?,
        time: held.time.clone(),
        program: program(dir, pod, container)?,
        attach: None,
    })
}

/// The container's own program.
///
/// # Errors
/// As [`setup`].
pub(super) fn program(dir: &LabDir, pod: &Pod, container: &Container) -> Result<Program> {
    let base = base(pod, container)?;
    let env = environment(dir, pod, container, base);
    let value_of = |name: &str| value_of(&env, name);
    let command = command_line(container, base)?;
    let command = command
        .iter()
        .map(|word| manifest::expand(word, value_of))
        .collect();
    let working_dir = container.working_dir.as_ref().or(base.working_dir.as_ref());
    Ok(Program {
        command,
        working_dir: Path::new("/").join(working_dir.map_or("", String::as_str)),
        user: user(pod, container, base),
        rights: rights(pod, container)?,
        env,
    })
}

fn base<'a>(pod: &'a Pod, container: &Container) -> Result<&'a Base> {
    let base = pod.bases.get(&container.name);
    base.with_context(|| format!("pod {} has no container {}", pod.name, container.name))
}

/// What an image says goes first, what a container says last.
fn environment(
    dir: &LabDir,
    pod: &Pod,
    container: &Container,
    base: &Base,
) -> Vec<(String, String)> {
    let mut env = vec![("PATH".to_owned(), PATH.to_owned())];
    for (name, value) in &base.env {
        set(&mut env, name, value.clone());
    }
    set(&mut env, "HOSTNAME", hostname(pod).to_owned());
    // By it one finds everything that runs for a lab.
    set(&mut env, LAB_VARIABLE, dir.name().to_string());
    for variable in &container.env {
        let value = manifest::expand(&variable.value, |name| value_of(&env, name));
        set(&mut env, &variable.name, value);
    }
    env
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    match env.iter_mut().find(|(other, _)| other == name) {
        Some((_, old)) => *old = value,
        None => env.push((name.to_owned(), value)),
    }
}

fn value_of<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = env.iter().find(|(other, _)| other == name);
    found.map(|(_, value)| value.as_str())
}

/// What the container says goes before what the pod says, and that before the image.
fn user(pod: &Pod, container: &Container, base: &Base) -> User {
    let of_pod = pod.spec().security_context.as_ref();
    let own = container.security_context.as_ref();
    let mut groups = of_pod.map_or(Vec::new(), |pod| pod.supplemental_groups.clone());
    groups.extend(of_pod.and_then(|pod| pod.fs_group));
    User {
        of_image: base.user.clone(),
        user: own
            .and_then(|own| own.run_as_user)
            .or(of_pod.and_then(|pod| pod.run_as_user)),
        group: own
            .and_then(|own| own.run_as_group)
            .or(of_pod.and_then(|pod| pod.run_as_group)),
        not_root: own
            .and_then(|own| own.run_as_non_root)
            .or(of_pod.and_then(|pod| pod.run_as_non_root))
            .unwrap_or(false),
        groups,
    }
}

fn is_privileged(container: &Container) -> bool {
    let own = container.security_context.as_ref();
    own.and_then(|own| own.privileged).unwrap_or(false)
}

fn rights(pod: &Pod, container: &Container) -> Result<Rights> {
    if is_privileged(container) {
        return Ok(Rights::privileged());
    }
    let of_pod = pod.spec().security_context.as_ref();
    let own = container.security_context.as_ref();
    let profile = own
        .and_then(|own| own.seccomp_profile)
        .or(of_pod.and_then(|pod| pod.seccomp_profile));
    let (add, drop) = match own.and_then(|own| own.capabilities.as_ref()) {
        Some(change) => (change.add.as_slice(), change.drop.as_slice()),
        None => (&[][..], &[][..]),
    };
    Ok(Rights {
        capabilities: Capabilities::adjusted(add, drop)?,
        new_privileges: own
            .and_then(|own| own.allow_privilege_escalation)
            .unwrap_or(false),
        system_calls: match profile.map(|profile| profile.r#type) {
            // The terminal where the output of `lab exec` goes is not the container's.
            Some(SeccompType::Unconfined) => SystemCalls::AllButTyping,
            Some(SeccompType::RuntimeDefault) | None => SystemCalls::Listed,
        },
    })
}

/// What a container's root is to be.
///
/// # Errors
/// It mounts a volume that does not exist.
pub(super) fn root(
    pod: &Pod,
    container: &Container,
    users: Option<Users>,
) -> Result<ContainerRoot> {
    let base = base(pod, container)?;
    let own = container.security_context.as_ref();
    Ok(ContainerRoot {
        lower: images::lower(base),
        scratch: scratch(&pod.name).join("roots").join(&container.name),
        read_only: own
            .and_then(|own| own.read_only_root_filesystem)
            .unwrap_or(false),
        own_runtime_directories: base.is_the_machines(),
        privileged: is_privileged(container),
        users,
        mounts: mounts(pod, container)?,
    })
}

fn mounts(pod: &Pod, container: &Container) -> Result<Vec<Mount>> {
    let scratch = scratch(&pod.name);
    let shared = |source: PathBuf, target: &str| Mount {
        source,
        target: target.into(),
        read_only: false,
        sub_path: None,
        of_machine: false,
    };
    let shared_memory = match pod.spec().host_ipc {
        true => PathBuf::from("/dev/shm"),
        false => scratch.join("shm"),
    };
    let mut mounts = vec![
        shared(scratch.join("hosts"), "/etc/hosts"),
        shared(scratch.join("hostname"), "/etc/hostname"),
        shared(scratch.join("resolv.conf"), "/etc/resolv.conf"),
        shared(shared_memory, "/dev/shm"),
    ];
    for wanted in &container.volume_mounts {
        mounts.push(volume_mount(pod, wanted)?);
    }
    Ok(mounts)
}

fn volume_mount(pod: &Pod, wanted: &VolumeMount) -> Result<Mount> {
    let found = pod
        .spec()
        .volumes
        .iter()
        .find(|each| each.name == wanted.name);
    let found = found.with_context(|| format!("pod {} has no volume {}", pod.name, wanted.name))?;
    Ok(Mount {
        source: match &found.source {
            VolumeSource::HostPath(host) => PathBuf::from(&host.path),
            _ => volume(&scratch(&pod.name), &found.name),
        },
        target: PathBuf::from(&wanted.mount_path),
        // Files of a ConfigMap are never written through a mount, as with kubelet.
        read_only: wanted.read_only || matches!(found.source, VolumeSource::ConfigMap(_)),
        sub_path: wanted.sub_path.as_ref().map(PathBuf::from),
        of_machine: matches!(found.source, VolumeSource::HostPath(_)),
    })
}

impl User {
    /// In the calling thread's root.
    fn account(&self) -> Result<Account> {
        let account = Account::find(&self.written(), &self.groups)?;
        if self.not_root && account.identity.user == 0 {
            bail!("it would run as root, which runAsNonRoot forbids: give runAsUser");
        }
        Ok(account)
    }

    /// As `USER:GROUP`; what is not said is empty.
    fn written(&self) -> String {
        let of_image = self.of_image.as_deref().unwrap_or_default();
        let (user, group) = of_image.split_once(':').unwrap_or((of_image, ""));
        // A group that the image gives its user is not another user's.
        let (user, group) = match self.user {
            Some(number) => (number.to_string(), ""),
            None => (user.to_owned(), group),
        };
        match self.group {
            Some(number) => format!("{user}:{number}"),
            None if group.is_empty() => user,
            None => format!("{user}:{group}"),
        }
    }
}

impl Program {
    /// Another program of the same container, by the same user with the same rights.
    pub(super) fn with_command(self, command: &[String]) -> Self {
        Self {
            command: command.to_vec(),
            ..self
        }
    }

    /// Whether the container may attach to any process that it sees.
    pub(super) fn may_debug(&self) -> bool {
        self.rights.may_debug()
    }

    /// The command, with nothing of this process's environment; where it is started is what it is to be.
    ///
    /// # Errors
    /// There is none.
    #[allow(clippy::disallowed_methods, reason = "the lab starts programs")]
    pub(super) fn command(&self) -> Result<Command> {
        let (program, arguments) = self.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Makes who the program is run by the owner of those streams that are pipes, so that it can open `/dev/stdout`.
    ///
    /// # Errors
    /// The container has no such user; the kernel refused.
    pub(super) fn own<'f>(&self, streams: impl IntoIterator<Item = BorrowedFd<'f>>) -> Result<()> {
        let Identity { user, group, .. } = self.user.account()?.identity;
        own_pipes(streams, user, group)
            .with_context(|| format!("make user {user} of group {group} the owner of its streams"))
    }

    /// Makes the calling thread, in the container's root, who the program is run by, with the rights that it
    /// has, in its working directory; for ever. Then it can start the command.
    ///
    /// # Errors
    /// The container has no such user, or may not run as root; there is no such directory ([`NoWorkingDirectory`]); the
    /// kernel refused.
    pub(super) fn take_on(&self, command: &mut Command) -> Result<()> {
        let account = self.become_user()?;
        enter_directory(&self.working_dir).map_err(NoWorkingDirectory)?;
        if value_of(&self.env, "HOME").is_none() {
            command.env("HOME", &account.home);
        }
        Ok(())
    }

    /// The same, without a command.
    ///
    /// # Errors
    /// As [`Program::take_on`].
    pub(super) fn become_user(&self) -> Result<Account> {
        let confinement = Confinement::new(self.rights.clone())?;
        let account = self.user.account()?;
        confinement.apply(&account.identity)?;
        Ok(account)
    }
}

/// A program is not started where there is no directory to start it in.
#[derive(Debug, thiserror::Error)]
#[error("start in the container's working directory")]
pub struct NoWorkingDirectory(#[source] kernel::Error);

impl NoWorkingDirectory {
    /// As shells have it for what cannot be executed; which program was wanted does not matter.
    pub const CODE: u8 = 126;
}

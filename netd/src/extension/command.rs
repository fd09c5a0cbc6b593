//! Running the commands.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use backend::Family;
use cluster::{LeaseAttrs, Subnets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{self, Child};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// How long a command may take, but `PostStartupCommand`.
const LONGEST: Duration = Duration::from_secs(60);
/// How much of what a command prints is kept, bytes: the end of it.
const MOST_PRINTED: usize = 64 * 1024;
/// How long what a command that ended has printed is waited for: a process of its own may keep the pipe.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Variables of netd's own that no command is given: one has a password.
const OWN: &str = "FLANNELD_";

/// A command that did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started or talked to.
    #[error("{key} [{line}] cannot be run")]
    Run {
        /// Its key in the configuration.
        key: &'static str,
        /// Its words.
        line: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("{key} [{line}]: {status}: {output}")]
    Failed {
        /// Its key in the configuration.
        key: &'static str,
        /// Its words.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed.
        output: String,
    },
    /// It does not end.
    #[error("{key} [{line}] was killed: it took longer than {} seconds", LONGEST.as_secs())]
    Late {
        /// Its key in the configuration.
        key: &'static str,
        /// Its words.
        line: String,
    },
}

/// What a command is told in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables(BTreeMap<&'static str, String>);

impl Variables {
    /// Of a node: its subnets, and its public addresses of both families.
    pub(super) fn of(subnets: &Subnets, attrs: &LeaseAttrs) -> Self {
        let mut variables = Self::default();
        for family in Family::ALL {
            let (subnet, address) = match family {
                Family::V4 => ("SUBNET", "PUBLIC_IP"),
                Family::V6 => ("IPV6SUBNET", "PUBLIC_IPV6"),
            };
            variables.set(subnet, family.subnet(subnets));
            variables.set(address, family.public_ip(attrs));
        }
        variables
    }

    /// Nothing where there is no value.
    pub(super) fn set(&mut self, name: &'static str, value: Option<impl Display>) {
        self.0.extend(value.map(|value| (name, value.to_string())));
    }
}

/// A command of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Command {
    key: &'static str,
    line: String,
}

impl Command {
    /// None where the configuration has only space.
    pub(super) fn given(key: &'static str, line: &str) -> Option<Self> {
        let line = line.trim();
        (!line.is_empty()).then(|| Self {
            key,
            line: line.to_owned(),
        })
    }

    /// Runs it to its end; what it printed on both its outputs, without space around it. It goes on when the
    /// returned future is dropped, and is one of `unfinished` until it ends.
    pub(super) async fn run(
        &self,
        variables: &Variables,
        input: Option<String>,
        unfinished: &Unfinished,
    ) -> Result<String, CommandError> {
        // Before it starts: whoever drops this in between would leave a command that nobody knows of.
        let one = unfinished.one().await;
        let mut running = self.spawn(variables, input.is_some(), With::Nobody)?;
        let command = self.clone();
        let ended = tokio::spawn(async move {
            let ended = tokio::time::timeout(LONGEST, running.end(input.as_deref())).await;
            if ended.is_err() {
                // Only one that has ended cannot be killed.
                let _ = running.child.kill().await;
            }
            drop(one);
            ended.unwrap_or(Err(CommandError::Late {
                key: command.key,
                line: command.line,
            }))
        });
        ended
            .await
            .unwrap_or_else(|error| Err(self.cannot(io::Error::other(error))))
    }

    /// Starts it.
    pub(super) fn spawn(
        &self,
        variables: &Variables,
        has_input: bool,
        ends: With,
    ) -> Result<Running, CommandError> {
        self.try_spawn(variables, has_input, ends)
            .map_err(|source| self.cannot(source))
    }

    fn try_spawn(&self, variables: &Variables, has_input: bool, ends: With) -> io::Result<Running> {
        let (output, ours) = {
            let (ours, theirs) = io::pipe()?;
            (theirs, ours)
        };
        let mut words = words(&self.line, variables).into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = process::Command::new(program);
        command.args(words).envs(&variables.0);
        if matches!(ends, With::Netd) {
            command.kill_on_drop(true);
            // netd has one thread that works, the first.
            kernel::process::end_with_this_process(command.as_std_mut())?;
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OWN) {
                command.env_remove(name);
            }
        }
        command.stdin(match has_input {
            true => Stdio::piped(),
            false => Stdio::null(),
        });
        command.stdout(output.try_clone()?).stderr(output);
        Ok(Running {
            child: command.spawn()?,
            output: pipe::Receiver::from_owned_fd(ours.into())?,
            printed: VecDeque::new(),
            command: self.clone(),
        })
    }

    fn cannot(&self, source: io::Error) -> CommandError {
        CommandError::Run {
            key: self.key,
            line: self.line.clone(),
            source,
        }
    }
}

/// With whom a command ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum With {
    /// When the [`Running`] is dropped, and with this process, even if that is killed: a service.
    Netd,
    /// By itself: half of its work would be no good.
    Nobody,
}

/// Commands that run to their end, whatever becomes of who started them.
#[derive(Clone, Debug, Default)]
pub struct Unfinished(Arc<RwLock<()>>);

impl Unfinished {
    /// It is unfinished until the returned value is dropped.
    async fn one(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.0).read_owned().await
    }

    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.0.try_write().is_err()
    }

    /// Waits until all have ended, each within the time that it may take.
    pub async fn finished(&self) {
        drop(self.0.write().await);
    }
}

/// A command that runs.
pub(super) struct Running {
    child: Child,
    output: pipe::Receiver,
    printed: VecDeque<u8>,
    command: Command,
}

impl Running {
    /// Gives it its input, and waits for its end. What it prints is read meanwhile, however much it is.
    pub(super) async fn end(&mut self, input: Option<&str>) -> Result<String, CommandError> {
        let ended = self.try_end(input).await;
        let (status, output) = ended.map_err(|source| self.command.cannot(source))?;
        match status.success() {
            true => Ok(output),
            false => Err(CommandError::Failed {
                key: self.command.key,
                line: self.command.line.clone(),
                status,
                output,
            }),
        }
    }

    async fn try_end(&mut self, input: Option<&str>) -> io::Result<(ExitStatus, String)> {
        if let (Some(mut stdin), Some(input)) = (self.child.stdin.take(), input) {
            // A command that does not read its input may end before it has it.
            let _ = stdin.write_all(format!("{input}\n").as_bytes()).await;
        }
        let status = tokio::select! {
            status = self.child.wait() => status?,
            failed = drain(&mut self.output, &mut self.printed) => {
                failed?;
                self.child.wait().await?
            }
        };
        // What it printed last may still be in the pipe; who else has that open is not waited for.
        let rest = drain(&mut self.output, &mut self.printed);
        if let Ok(drained) = tokio::time::timeout(LAST_WORDS, rest).await {
            drained?;
        }
        let printed: Vec<u8> = std::mem::take(&mut self.printed).into();
        Ok((status, String::from_utf8_lossy(&printed).trim().to_owned()))
    }
}

/// Reads to the end, and keeps the last of it.
async fn drain(output: &mut pipe::Receiver, printed: &mut VecDeque<u8>) -> io::Result<()> {
    let mut part = [0; 4096];
    loop {
        match output.read(&mut part).await? {
            0 => return Ok(()),
            count => printed.extend(&part[..count]),
        }
        printed.drain(..printed.len().saturating_sub(MOST_PRINTED));
    }
}

/// The words between spaces, with `$NAME` and `${NAME}` replaced, as flannel has it from 0.28.2 on: no shell,
/// so no quotes, pipes or `;`.
fn words(line: &str, variables: &Variables) -> Vec<String> {
    let value = |name: &str| {
        let told = variables.0.get(name).cloned();
        let around = || std::env::var(name).ok().filter(|_| !name.starts_with(OWN));
        told.or_else(around).unwrap_or_default()
    };
    line.split_whitespace()
        .map(|word| expand(word, value))
        .collect()
}

fn expand(word: &str, value: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let braced = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        let (name, after) = braced.unwrap_or_else(|| {
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !is_of_name(c)).unwrap_or(after.len());
            after.split_at(end)
        });
        match name {
            "" => text.push('$'),
            name => text.push_str(&value(name)),
        }
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_without_a_shell() {
        let own = Subnets::parse_key("10.100.86.0-24").expect("key");
        let variables = Variables::of(&own, &LeaseAttrs::new([192, 0, 2, 1].into(), None));
        for (line, expected) in [
            (
                "ip  route add $SUBNET\tvia ${PUBLIC_IP}",
                "ip|route|add|10.100.86.0/24|via|192.0.2.1",
            ),
            (
                "echo a$SUBNET; ${PUBLIC_IP}x $ $- ${",
                "echo|a10.100.86.0/24;|192.0.2.1x|$|$-|${",
            ),
            ("echo '$PUBLIC_IP $NO_SUCH_VARIABLE'", "echo|'192.0.2.1|'"),
        ] {
            assert_eq!(words(line, &variables).join("|"), expected, "{line}");
        }
    }
}

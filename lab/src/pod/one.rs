//! A pod of one container, as `lab run` asks for it.

use std::collections::BTreeMap;

use anyhow::Result;
use manifest::{
    CPUSET, Container, EnvVar, IO_READ, IO_WRITE, Metadata, PodSpec, Processors, Quantity,
    Resources, RestartPolicy, Security, Workload,
};

use super::groups::PIDS;
use crate::network;
use crate::state::Name;

/// How long such a pod has to end after SIGTERM, in seconds.
const GRACE: u32 = 2;

/// A pod of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneContainer {
    /// Its name, which is its host name and the container's too.
    pub name: Name,
    /// An image, or the absolute path of an unpacked one; the machine's root when absent.
    pub image: Option<String>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes a second from each disk.
    pub io_read: Option<u64>,
    /// Bytes a second to each disk.
    pub io_write: Option<u64>,
    /// Those that it runs on.
    pub processors: Option<Processors>,
    /// Root on the machine as far as capabilities, system calls and devices go.
    pub privileged: bool,
    /// Networks in their order, or a mode (`host`, `none`); the lab's network when empty.
    pub networks: Vec<String>,
    /// Beside the image's.
    pub env: Vec<(String, String)>,
    /// For who looks for the pod.
    pub labels: BTreeMap<String, String>,
    /// When the program is started again.
    pub restart_policy: RestartPolicy,
    /// Program and first arguments; the image's when empty.
    pub command: Vec<String>,
    /// Further arguments; the image's when both are empty.
    pub args: Vec<String>,
}

/// In a manifest `$(NAME)` is a variable and `$$` a dollar sign.
fn verbatim(word: &str) -> String {
    word.replace('$', "$$")
}

fn variable((name, value): &(String, String)) -> EnvVar {
    EnvVar {
        name: name.clone(),
        value: verbatim(value),
    }
}

impl OneContainer {
    /// With a command, and nothing else said.
    pub fn new(name: Name, command: Vec<String>) -> Self {
        Self {
            name,
            image: None,
            memory: None,
            cpu: None,
            pids: None,
            io_read: None,
            io_write: None,
            processors: None,
            privileged: false,
            networks: Vec::new(),
            env: Vec::new(),
            labels: BTreeMap::new(),
            restart_policy: RestartPolicy::Never,
            command,
            args: Vec::new(),
        }
    }

    /// As a manifest would have it, with a first process beside the program that inherits what loses its parent, so
    /// that any program can be the command.
    ///
    /// # Errors
    /// An amount cannot be written down; the networks contradict each other.
    pub fn workload(&self) -> Result<Workload> {
        let container = Container {
            name: self.name.to_string(),
            image: self.image.clone(),
            command: self.command.iter().map(|word| verbatim(word)).collect(),
            args: self.args.iter().map(|word| verbatim(word)).collect(),
            env: self.env.iter().map(variable).collect(),
            resources: Resources {
                limits: self.limits()?,
                requests: BTreeMap::new(),
            },
            security_context: self.privileged.then(|| Security {
                privileged: Some(true),
                ..Security::default()
            }),
            ..Container::default()
        };
        let mut pod = manifest::Pod {
            metadata: Metadata {
                name: self.name.to_string(),
                labels: self.labels.clone(),
                annotations: self.annotations(),
                ..Metadata::default()
            },
            spec: PodSpec {
                containers: vec![container],
                restart_policy: self.restart_policy,
                termination_grace_period_seconds: Some(GRACE),
                share_process_namespace: true,
                ..PodSpec::default()
            },
            ..manifest::Pod::default()
        };
        network::ask(&mut pod, &self.networks)?;
        Ok(Workload {
            pod,
            config_maps: BTreeMap::new(),
        })
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes.to_string());
        let all = [
            (IO_READ, bytes(self.io_read)),
            (IO_WRITE, bytes(self.io_write)),
            (CPUSET, self.processors.as_ref().map(ToString::to_string)),
        ];
        let said = all
            .into_iter()
            .filter_map(|(name, said)| Some((name, said?)));
        said.map(|(name, said)| (name.to_owned(), said)).collect()
    }

    fn limits(&self) -> Result<BTreeMap<String, Quantity>> {
        let amounts = [
            ("memory", self.memory.map(|bytes| bytes.to_string())),
            ("cpu", self.cpu.map(|thousandths| format!("{thousandths}m"))),
            (PIDS, self.pids.map(|number| number.to_string())),
        ];
        let mut limits = BTreeMap::new();
        for (name, amount) in amounts {
            if let Some(amount) = amount {
                limits.insert(name.to_owned(), amount.parse()?);
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_as_it_is() {
        for word in ["kill $$", "$(A) $$(A) $A", "$", "none"] {
            let expanded = manifest::expand(&verbatim(word), |_| Some("a variable"));
            assert_eq!(expanded, word);
        }
    }
}

//! A network namespace to look around in.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use sandbox::{Namespace, Namespaces};
use serde_json::Value;

use crate::program::{command, output};

/// A pod's or a node's network.
pub(super) struct Place {
    pub(super) name: String,
    /// This process's own when absent.
    namespaces: Option<Namespaces>,
}

impl Place {
    /// That of these namespaces.
    pub(super) fn of(name: String, namespaces: Namespaces) -> Self {
        Self {
            name,
            namespaces: Some(namespaces),
        }
    }

    /// The network namespace at `path`, with the files of others.
    pub(super) fn within(name: String, others: Namespaces, path: PathBuf) -> Result<Self> {
        Ok(Self::of(name, others.with(Namespace::Network, path)?))
    }

    /// The network namespace at `path`.
    pub(super) fn at(name: String, path: &Path) -> Result<Self> {
        Ok(Self::of(name, Namespaces::at(Namespace::Network, path)?))
    }

    /// Where this process is.
    pub(super) fn here(name: String) -> Self {
        Self {
            name,
            namespaces: None,
        }
    }

    pub(super) fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        match &self.namespaces {
            Some(namespaces) => Ok(namespaces.run(f)?),
            None => Ok(f()),
        }
    }

    /// What a program of iproute2 prints as JSON. An error is what it says.
    pub(super) fn json(&self, line: &str) -> Result<Vec<Value>> {
        let mut words = line.split(' ');
        let mut asked = command(words.next().unwrap_or_default());
        asked.arg("-j").args(words);
        let printed = self.run(|| output(&mut asked))??;
        // Nothing at all is an empty list.
        if printed.trim().is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<Value> = serde_json::from_str(&printed)
            .with_context(|| format!("read what {line:?} printed"))?;
        // A filter of ip leaves an empty object for what it leaves out.
        Ok(list
            .into_iter()
            .filter(|each| each.as_object().is_some_and(|each| !each.is_empty()))
            .collect())
    }

    /// The first of a list.
    pub(super) fn one(&self, line: &str) -> Result<Option<Value>> {
        Ok(self.json(line)?.into_iter().next())
    }

    /// Whether one of three pings of so many bytes comes back, unbroken.
    pub(super) fn ping(&self, to: IpAddr, payload: u32) -> Result<bool> {
        let mut ping = command("ping");
        ping.args([
            "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", "-M", "do", "-s",
        ]);
        ping.args([payload.to_string(), to.to_string()]);
        ping.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = self.run(|| ping.status())?.context("start ping")?;
        Ok(ended.success())
    }

    pub(super) fn sysctl(&self, key: &str) -> Result<String> {
        Ok(self.run(|| kernel::sysctl::get(key))??)
    }

    /// Whether a link here has the address.
    pub(super) fn has(&self, address: IpAddr) -> Result<bool> {
        let found = self.json(&format!("ip addr show to {address}"))?;
        Ok(!found.is_empty())
    }

    pub(super) fn start(
        &self,
        program: &str,
        arguments: &[&str],
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Child> {
        let mut starting = command(program);
        starting
            .args(arguments)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::null());
        self.run(|| starting.spawn())?
            .with_context(|| format!("start {program}"))
    }
}

//! ADD and DEL of a whole chain, as a runtime runs it: bridge with masquerading and host-local,
//! portmap with one mapping, bandwidth, firewall, tuning.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    at_once,
    measure::Table,
    suite::{Call, Suite},
    world,
};

const VERSION: &str = "1.0.0";

/// Adds the rows for each number of pods at a time.
pub(super) fn measure(
    table: &mut Table,
    suites: [&Suite; 2],
    pods: usize,
    at_once: &[usize],
) -> Result<()> {
    let pods: Vec<String> = (0..pods)
        .map(|n| world::add_pod(&format!("chain{n}")))
        .collect::<Result<_>>()?;
    at_once::measure_all(
        table,
        suites,
        "chain of five",
        at_once,
        &|suite, command, number| {
            let pod = pods.get(number)?;
            Some(Chain::of(suite, number, pod, None).run(command))
        },
    )
}

/// The chain of one pod.
pub(super) struct Chain<'a> {
    suite: &'a Suite,
    container: String,
    netns: &'a str,
    /// As [`Call::host`].
    host: Option<&'a str>,
    /// In the order of ADD.
    configs: Vec<Value>,
}

impl<'a> Chain<'a> {
    pub(super) fn of(
        suite: &'a Suite,
        number: usize,
        netns: &'a str,
        host: Option<&'a str>,
    ) -> Self {
        // Both suites' pods are on one host, which has each port once.
        let (octet, first_port) = match suite.ifname() {
            "eth0" => (64, 20_000),
            _ => (80, 40_000),
        };
        let mapping =
            json!([{ "hostPort": first_port + number, "containerPort": 80, "protocol": "tcp" }]);
        Self {
            suite,
            container: format!("bench{number}"),
            netns,
            host,
            configs: vec![
                json!({
                    "type": "bridge", "bridge": format!("bench-chain{octet}"), "isGateway": true,
                    "ipMasq": true,
                    "ipam": { "type": "host-local", "subnet": format!("172.31.{octet}.0/20") },
                }),
                json!({ "type": "portmap", "runtimeConfig": { "portMappings": mapping } }),
                json!({
                    "type": "bandwidth", "ingressRate": 100_000_000, "ingressBurst": 1_000_000,
                    "egressRate": 100_000_000, "egressBurst": 1_000_000,
                }),
                json!({ "type": "firewall" }),
                json!({ "type": "tuning", "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } }),
            ],
        }
    }

    /// ADD or DEL of all its plugins; how long they took together.
    ///
    /// # Errors
    /// One of them fails.
    pub(super) fn run(&self, command: &str) -> Result<Duration> {
        match command {
            "ADD" => self.add(),
            _ => self.del(),
        }
    }

    /// Each plugin gets the result of the one before.
    fn add(&self) -> Result<Duration> {
        let mut previous = None;
        let mut total = Duration::ZERO;
        for config in &self.configs {
            let (time, result) = self.call("ADD", config, previous.as_ref())?;
            total += time;
            previous = Some(result);
        }
        let result = previous.context("a chain has a plugin")?;
        std::fs::write(self.cache(), result.to_string())?;
        Ok(total)
    }

    /// In reverse order, each plugin with the result of the whole chain.
    fn del(&self) -> Result<Duration> {
        let result = serde_json::from_slice(&std::fs::read(self.cache())?)?;
        let mut total = Duration::ZERO;
        for config in self.configs.iter().rev() {
            total += self.call("DEL", config, Some(&result))?.0;
        }
        Ok(total)
    }

    /// Where a runtime keeps the result between ADD and DEL.
    fn cache(&self) -> String {
        format!("/run/bench/{}-{}", self.suite.name, self.container)
    }

    fn call(
        &self,
        command: &str,
        config: &Value,
        previous: Option<&Value>,
    ) -> Result<(Duration, Value)> {
        let mut whole = config.clone();
        whole["cniVersion"] = VERSION.into();
        whole["name"] = format!("chain-{}", self.suite.name).into();
        if let Some(previous) = previous {
            whole["prevResult"] = previous.clone();
        }
        let plugin = config["type"].as_str().unwrap_or_default();
        let (time, printed) = self.suite.answer(&Call {
            plugin,
            command,
            container: &self.container,
            netns: self.netns,
            config: &whole,
            host: self.host,
        })?;
        let result = match command {
            "ADD" => serde_json::from_slice(&printed).with_context(|| format!("{plugin} ADD"))?,
            _ => Value::Null,
        };
        Ok((time, result))
    }
}

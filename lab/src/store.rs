//! What the nodes agree on: a directory that all of them see, or an etcd server on the underlay.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use sandbox::{Interrupt, Namespace, Process};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::interrupt::pause;
use crate::keeper;
use crate::netd::log_tail;
use crate::node;
use crate::program::{self, Programs, command, output};
use crate::state::{self, Backend, Lab, LabDir, Name, Store};
use crate::underlay;

/// The pods' addresses; every node leases a /24 of it.
pub const POD_NETWORK: &str = "10.244.0.0/16";

/// How long etcd may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An etcd server, as noted in `etcd/etcd.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etcd {
    /// Holds the server's namespaces.
    pub holder: Process,
    /// The server; absent while it is started.
    pub server: Option<Process>,
}

impl Etcd {
    /// The lab's, if it has one.
    ///
    /// # Errors
    /// The state file cannot be read.
    pub fn find(dir: &LabDir) -> Result<Option<Self>> {
        state::read(&dir.path("etcd/etcd.json"))
    }
}

/// The network configuration, as flannel's documentation has it.
pub fn network_config(backend: Backend) -> String {
    json!({ "Network": POD_NETWORK, "Backend": { "Type": backend.as_str() } }).to_string()
}

/// netd's flags for the store.
pub fn netd_flags(dir: &LabDir, store: Store) -> Vec<String> {
    match store {
        Store::Dir => {
            vec![
                "-store=dir".to_owned(),
                format!("-store-dir={}", dir.path("store").display()),
            ]
        }
        Store::Etcd => vec![format!(
            "-etcd-endpoints=http://{}:2379",
            underlay::etcd_address()
        )],
    }
}

/// Starts the store and puts the network configuration into it.
///
/// # Errors
/// etcd is not installed or does not come up; Ctrl-C.
pub fn create(
    dir: &LabDir,
    programs: &Programs,
    keeper: &Process,
    lab: &Lab,
    interrupt: Interrupt,
) -> Result<()> {
    let config = network_config(lab.backend);
    match lab.store {
        Store::Dir => {
            let path = dir.path("store").join("config");
            fs::write(&path, config).with_context(|| format!("write {}", path.display()))
        }
        Store::Etcd => {
            let holder = start_etcd(dir, programs, keeper)?;
            put_config(dir, &holder, &config, interrupt)
        }
    }
}

fn start_etcd(dir: &LabDir, programs: &Programs, keeper: &Process) -> Result<Process> {
    fs::create_dir_all(dir.path("etcd")).context("create the directory of etcd")?;
    let name: Name = "etcd".parse()?;
    let holder = node::hold(dir, programs, &name, || Ok(()))?;
    state::write(
        &dir.path("etcd/etcd.json"),
        &Etcd {
            holder,
            server: None,
        },
    )?;
    underlay::connect(keeper, &holder, name.as_str(), underlay::etcd_address())?;
    let log = fs::File::create(dir.path("etcd/log")).context("create the log of etcd")?;
    let client = format!("http://{}:2379", underlay::etcd_address());
    let (peer, local) = ("http://127.0.0.1:2380", "http://127.0.0.1:2379");
    let mut server = command(program::ETCD.program);
    server
        .arg("--name=lab")
        .arg(format!("--data-dir={}", dir.path("etcd/data").display()))
        .arg(format!("--listen-client-urls={client},{local}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=lab={peer}"))
        .env(keeper::LAB_VARIABLE, dir.name().as_str())
        .stdout(log.try_clone()?)
        .stderr(log);
    let kinds = [Namespace::Network, Namespace::Uts, Namespace::Mount];
    let child = keeper::within(dir, &holder, &kinds)?
        .run(|| server.spawn())?
        .context("start etcd")?;
    let server = Process::of(child.id());
    keeper::remember(child);
    state::write(
        &dir.path("etcd/etcd.json"),
        &Etcd {
            holder,
            server: Some(server?),
        },
    )?;
    Ok(holder)
}

/// Puts the configuration through etcd's JSON gateway, as soon as etcd answers.
fn put_config(dir: &LabDir, holder: &Process, config: &str, interrupt: Interrupt) -> Result<()> {
    let body = json!({
        "key": BASE64_STANDARD.encode("/coreos.com/network/config"),
        "value": BASE64_STANDARD.encode(config),
    });
    let namespaces = keeper::within(dir, holder, &[Namespace::Network])?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut put = command(program::CURL.program);
        put.args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "5",
            "--noproxy",
            "*",
        ])
        .args([
            "--data",
            &body.to_string(),
            "http://127.0.0.1:2379/v3/kv/put",
        ]);
        match namespaces.run(|| output(&mut put))? {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                let log = log_tail(&dir.path("etcd/log"));
                bail!("etcd does not answer: {error:#}; it said:\n{log}");
            }
            Err(_) => pause(interrupt, Duration::from_millis(20))?,
        }
    }
}

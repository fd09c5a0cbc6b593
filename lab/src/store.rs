//! What the nodes agree on: a directory that all of them see, or an etcd server on the underlay.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use sandbox::{Interrupt, Namespace, Process, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::interrupt::pause;
use crate::keeper;
use crate::netd::log_tail;
use crate::node;
use crate::program::{self, Programs, command, output};
use crate::state::{self, Lab, LabDir, Name, Store};
use crate::underlay;

/// What the etcd server is called on the underlay.
pub const ETCD_PORT: &str = "etcd";
/// Where etcd serves its clients.
const CLIENT_PORT: u16 = 2379;

/// Where the network configuration is in etcd, as flannel has it.
const CONFIG_KEY: &str = "/coreos.com/network/config";

/// How long etcd may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An etcd server, as noted in `etcd/etcd.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etcd {
    /// Holds the server's namespaces.
    pub holder: Process,
    /// Where it serves the nodes.
    pub address: SocketAddr,
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

    fn note(&self, dir: &LabDir) -> Result<()> {
        state::write(&dir.path("etcd/etcd.json"), self)
    }
}

/// The network configuration, as flannel's documentation has it.
pub fn network_config(lab: &Lab) -> String {
    let mut config = json!({ "Backend": { "Type": lab.backend.as_str() } });
    if lab.direct_routing {
        config["Backend"]["DirectRouting"] = true.into();
    }
    for (ipv6, enable, network_key, length_key) in [
        (false, "EnableIPv4", "Network", "SubnetLen"),
        (true, "EnableIPv6", "IPv6Network", "IPv6SubnetLen"),
    ] {
        let mut networks = lab.pod_networks.iter();
        let pods = networks.find(|pods| pods.network.is_ipv6() == ipv6);
        // What flannel takes for granted is left out.
        if pods.is_some() == ipv6 {
            config[enable] = ipv6.into();
        }
        if let Some(pods) = pods {
            config[network_key] = pods.network.to_string().into();
            if let Some(length) = pods.subnet_len {
                config[length_key] = length.into();
            }
        }
    }
    config.to_string()
}

/// netd's flags for the store.
///
/// # Errors
/// The etcd server's state file cannot be read.
pub fn netd_flags(dir: &LabDir, lab: &Lab) -> Result<Vec<String>> {
    Ok(match lab.store {
        Store::Dir => {
            vec![
                "-store=dir".to_owned(),
                format!("-store-dir={}", dir.path("store").display()),
            ]
        }
        Store::Etcd => {
            let etcd = Etcd::find(dir)?.context("the lab's etcd is not there")?;
            vec![format!("-etcd-endpoints=http://{}", etcd.address)]
        }
    })
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
    let config = network_config(lab);
    match lab.store {
        Store::Dir => {
            let path = dir.path("store").join("config");
            fs::write(&path, config).with_context(|| format!("write {}", path.display()))
        }
        Store::Etcd => {
            let holder = start_etcd(dir, programs, keeper, lab)?;
            put_config(dir, &holder, &config, interrupt)
        }
    }
}

/// Kills the etcd server and starts it again, with the same data and address. Returns when it answers.
///
/// # Errors
/// The lab has none; it does not end, or does not come up; Ctrl-C.
pub fn restart_etcd(dir: &LabDir, interrupt: Interrupt) -> Result<Process> {
    let Some(etcd) = Etcd::find(dir)? else {
        bail!(
            "lab {} has no etcd: its store is a directory; start one with `lab up --store etcd`",
            dir.name()
        );
    };
    if let Some(server) = etcd.server {
        server.signal(Signal::Kill)?;
        if !server.wait_gone(sandbox::PATIENCE) {
            bail!("etcd, process {}, was killed but does not end", server.pid);
        }
    }
    let server = start_server(dir, &etcd)?;
    let read = json!({ "key": BASE64_STANDARD.encode(CONFIG_KEY) });
    ask(dir, &etcd.holder, "range", &read, interrupt)?;
    Ok(server)
}

fn start_etcd(dir: &LabDir, programs: &Programs, keeper: &Process, lab: &Lab) -> Result<Process> {
    let cable = lab
        .topology
        .etcd_cable()
        .context("the lab has no underlay")?;
    let own = cable
        .addresses
        .first()
        .context("the underlay has no subnet")?;
    let address = SocketAddr::new(own.ip(), CLIENT_PORT);
    fs::create_dir_all(dir.path("etcd")).context("create the directory of etcd")?;
    let name: Name = ETCD_PORT.parse()?;
    let holder = node::hold(dir, programs, &name, || Ok(()))?;
    let etcd = Etcd {
        holder,
        address,
        server: None,
    };
    etcd.note(dir)?;
    underlay::connect(keeper, &holder, &cable)?;
    start_server(dir, &etcd)?;
    Ok(holder)
}

/// Starts the server in its namespaces and notes it.
fn start_server(dir: &LabDir, etcd: &Etcd) -> Result<Process> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.path("etcd/log"))
        .context("open the log of etcd")?;
    let client = format!("http://{}", etcd.address);
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
    let (server, _) = keeper::within(dir, &etcd.holder, &kinds)?
        .run(|| Process::start_orphan(server))?
        .context("start etcd")?;
    let started = Etcd {
        server: Some(server),
        ..*etcd
    };
    started.note(dir)?;
    Ok(server)
}

fn put_config(dir: &LabDir, holder: &Process, config: &str, interrupt: Interrupt) -> Result<()> {
    let body = json!({
        "key": BASE64_STANDARD.encode(CONFIG_KEY),
        "value": BASE64_STANDARD.encode(config),
    });
    ask(dir, holder, "put", &body, interrupt)
}

/// Asks through etcd's JSON gateway, as soon as etcd answers.
fn ask(
    dir: &LabDir,
    holder: &Process,
    what: &str,
    body: &Value,
    interrupt: Interrupt,
) -> Result<()> {
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
        .args(["--data", &body.to_string()])
        .arg(format!("http://127.0.0.1:2379/v3/kv/{what}"));
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

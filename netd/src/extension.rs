//! The backend `extension`: commands of the network configuration join the nodes. What
//! `PreStartupCommand` prints is published, and the others' are told of it by `SubnetAddCommand` and
//! `SubnetRemoveCommand`.

mod command;
mod keeper;

use std::collections::BTreeSet;
use std::sync::Arc;

use backend::{Backend, Device, Ends, Family, Peers, Underlay, Unserved, Wanted};
use cluster::{BackendError, ExtensionOptions, LeaseAttrs, NetworkConfig, RawJson, Subnets};
use ipnetwork::IpNetwork;
use tokio::sync::watch;

use crate::status::Status;
use command::{Command, Variables};
pub use command::{CommandError, Unfinished};
pub use keeper::Published;
use keeper::{Started, keep};

/// The backend.
#[derive(Debug)]
pub struct Extension {
    /// What `PreStartupCommand` printed; nothing without one.
    data: Option<String>,
}

impl Extension {
    /// Publishes what `PreStartupCommand` printed.
    pub fn new(printed: Option<String>) -> Self {
        Self { data: printed }
    }
}

/// The commands of the network configuration; other backends have none.
#[derive(Default)]
pub struct Commands {
    options: Option<ExtensionOptions>,
    started: Started,
    unfinished: Unfinished,
}

impl Commands {
    /// Runs nothing. What runs to its end will be among `unfinished`.
    ///
    /// # Errors
    /// A command is no string.
    pub fn of(config: &NetworkConfig, unfinished: &Unfinished) -> Result<Self, BackendError> {
        let is_extension = config.backend.kind == "extension";
        let options = is_extension.then(|| ExtensionOptions::parse(&config.backend));
        Ok(Self {
            options: options.transpose()?,
            started: Started::default(),
            unfinished: unfinished.clone(),
        })
    }

    fn command(&self, key: &'static str, line: fn(&ExtensionOptions) -> &str) -> Option<Command> {
        Command::given(key, self.options.as_ref().map_or("", line))
    }

    /// Runs `PreStartupCommand`; what it printed.
    ///
    /// # Errors
    /// It fails.
    pub async fn before_lease(&self) -> Result<Option<String>, CommandError> {
        match self.command("PreStartupCommand", |options| &options.pre_startup) {
            Some(command) => command
                .run(&Variables::default(), None, &self.unfinished)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// Runs `PostStartupCommand`, to its end or for ten seconds.
    ///
    /// # Errors
    /// It fails.
    pub async fn after_lease(
        &mut self,
        config: &NetworkConfig,
        own: &Subnets,
        attrs: &LeaseAttrs,
    ) -> Result<(), CommandError> {
        if let Some(command) = self.command("PostStartupCommand", |options| &options.post_startup) {
            let mut variables = Variables::of(own, attrs);
            variables.set("NETWORK", config.network_v4());
            self.started = Started::begin(command, variables).await?;
        }
        Ok(())
    }

    /// Tells the others' commands what comes, changes and goes, and keeps what was started, for ever.
    pub async fn keep(self, told: watch::Receiver<Published>, status: Arc<Status>) {
        let add = self.command("SubnetAddCommand", |options| &options.subnet_add);
        let remove = self.command("SubnetRemoveCommand", |options| &options.subnet_remove);
        tokio::join!(
            self.started.keep(),
            keep(add, remove, told, status, self.unfinished)
        );
    }
}

/// What a peer publishes for the commands; none is no text.
///
/// # Errors
/// It is no JSON string.
fn published(data: Option<&RawJson>) -> Result<Option<String>, serde_json::Error> {
    data.map(|data| serde_json::from_str(data.as_str()))
        .transpose()
}

impl Backend for Extension {
    fn name(&self) -> &'static str {
        "extension"
    }

    fn ends(&self) -> Ends {
        Ends::Unknown
    }

    fn lease_data(&self, family: Family, _devices: &[Device]) -> Option<RawJson> {
        let data = self.data.as_ref().filter(|_| family == Family::V4)?;
        Some(RawJson::new(&data.as_str().into()))
    }

    /// No kernel objects: a peer with a subnet that can be right in each of its families is told to the
    /// commands.
    fn wanted(
        &self,
        config: &NetworkConfig,
        own: &Subnets,
        peers: &Peers,
        underlay: &Underlay,
        _devices: &[Device],
    ) -> Wanted {
        let mut wanted = Wanted::default();
        for family in Family::enabled_in(config) {
            let vetting = self.vetting(family, config, own, underlay);
            wanted.serve(&vetting, peers, |_, _| Ok(()));
        }
        let unserved: BTreeSet<IpNetwork> =
            wanted.unserved.iter().map(|peer| peer.subnet).collect();
        for (subnets, attrs) in peers.iter() {
            if Family::subnets_of(subnets).any(|part| unserved.contains(&part)) {
                continue;
            }
            match published(attrs.backend_data.as_ref()) {
                Ok(_) => {
                    wanted.published.insert(*subnets, attrs.clone());
                }
                Err(error) => wanted.unserved.extend(no_text(subnets, &error)),
            }
        }
        wanted
    }
}

fn no_text(subnets: &Subnets, error: &serde_json::Error) -> Option<Unserved> {
    let subnet = Family::subnets_of(subnets).next()?;
    let what = format!("they are no text: {error}");
    Some(Unserved {
        subnet,
        reason: backend::Reason::BadBackendData(what),
    })
}

//! The daemon's life: the steps of its start in the order that others rely on, then keeping
//! everything until a signal comes. Stopping takes nothing down.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, Ends, Family, Unfit};
use cluster::{LeaseAttrs, NetworkConfig, SubnetEnv, Subnets};
use files::{Modes, WriteError, write_atomically};
use kernel::{Monitor, Netlink};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::backends::OpenError;
use crate::extension::{CommandError, Commands, Unfinished};
use crate::firewall::{Features, Firewall, FirewallError};
use crate::forwarding;
use crate::http::{self, HttpError};
use crate::interface::InterfaceError;
use crate::lease::{self, Acquired, Keeping, LeaseError, LeaseTable, Missing, OwnStatus, Timing};
use crate::options::{Options, StoreKind};
use crate::probe::{ProbeError, Prober, Probing};
use crate::reconcile::{self, DeviceError, Facing, PassError, Reconciler};
use crate::status::Status;
use crate::store::{Assignment, DirStore, EtcdOptions, EtcdStore, NodeNetwork, Store, StoreError};
#[cfg(feature = "kube")]
use crate::store::{Identity, KubeOptions, KubeStore};
use crate::underlay::Follower;
use crate::{availability, backends, endpoint, facts, notify, surroundings};

/// Why the daemon ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The asynchronous runtime cannot start.
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    /// A page cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store cannot be used at all.
    #[error("the store cannot be opened")]
    Store(#[source] StoreError),
    /// There is no lease to be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The lease is another node's now.
    #[error("this node's lease is lost")]
    LeaseLost(#[source] LeaseError),
    /// The backend cannot be had.
    #[error(transparent)]
    Backend(#[from] OpenError),
    /// The backend does not work here.
    #[error("the backend does not fit this node")]
    Unfit(#[from] Unfit),
    /// A command of the backend extension failed.
    #[error("the backend extension cannot be started")]
    Extension(#[from] CommandError),
    /// The kernel does not answer.
    #[error("the kernel cannot be asked")]
    Kernel(#[from] kernel::Error),
    /// There is no external interface.
    #[error("no external interface")]
    Interface(#[from] InterfaceError),
    /// The datapath cannot be set up.
    #[error("the datapath cannot be set up")]
    Datapath(#[from] PassError),
    /// The firewall rules cannot be installed.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    /// Probes were asked for.
    #[error(transparent)]
    Probes(#[from] ProbeError),
    /// subnet.env.
    #[error(transparent)]
    SubnetFile(#[from] WriteError),
    /// A part of the daemon ended that never should.
    #[error("the {0} ended")]
    PartEnded(&'static str),
}

impl DaemonError {
    /// 3 for what is not supported yet, 4 for a lost lease, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Backend(OpenError::NotYet(_)) => 3,
            Self::LeaseLost(_) => 4,
            _ => 1,
        }
    }
}

/// Modes of subnet.env, which scripts of any user may source.
const SUBNET_FILE: Modes = Modes {
    file: 0o644,
    directory: 0o755,
};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The start failed, or the lease was lost for good.
pub async fn run(options: Options) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let status = Arc::new(Status::new());
    let _socket = serve_pages(&options, &status).await?;
    let commands = Unfinished::default();
    let outcome = tokio::select! {
        _ = terminate.recv() => stopping("SIGTERM"),
        _ = interrupt.recv() => stopping("SIGINT"),
        ended = live(&options, &status, &commands) => ended,
    };
    if commands.is_any() {
        tracing::info!(
            "a command of the backend extension is waited for; another signal ends that"
        );
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = commands.finished() => {}
        }
    }
    outcome
}

fn stopping(signal: &str) -> Result<(), DaemonError> {
    tracing::info!("{signal}: stopping, the datapath stays");
    Ok(())
}

/// The status socket's file lasts as long as the returned value.
async fn serve_pages(
    options: &Options,
    status: &Arc<Status>,
) -> Result<Option<http::Socket>, HttpError> {
    let path = &options.status_socket;
    let socket = match path.as_os_str().is_empty() {
        true => None,
        false => Some(http::serve_unix(path, Arc::clone(status))?),
    };
    if options.healthz_port != 0 {
        let address = SocketAddr::new(options.healthz_ip, options.healthz_port);
        http::serve_tcp(address, options.status_tcp, Arc::clone(status)).await?;
    }
    Ok(socket)
}

/// Start, then keep; ends only with an error.
async fn live(
    options: &Options,
    status: &Arc<Status>,
    commands: &Unfinished,
) -> Result<(), DaemonError> {
    let given = Given::find(options, status).await?;
    let options = &with_addresses(options, given.assignment.as_ref());
    let started = Started::start(given, options, status, commands).await?;
    Err(started.keep(options, status).await)
}

/// What the store says before there is a lease.
struct Given {
    timing: Timing,
    store: Arc<dyn Store>,
    config: NetworkConfig,
    assignment: Option<Assignment>,
}

impl Given {
    async fn find(options: &Options, status: &Status) -> Result<Self, DaemonError> {
        let timing = Timing {
            ttl: options.lease_ttl,
            renew_margin: options.renew_margin,
            ..Timing::default()
        };
        let store = open_store(options).map_err(DaemonError::Store)?;
        status.update(|state| state.store.name = store.describe());
        let config = find_config(options, store.as_ref(), &timing, status).await?;
        let assignment = find_assignment(store.as_ref(), &timing, status).await?;
        Ok(Self {
            timing,
            store,
            config,
            assignment,
        })
    }
}

/// All parts of a daemon whose pods reach the others.
struct Started {
    given: Given,
    subnets: Subnets,
    node: Node,
    table: watch::Receiver<Arc<LeaseTable>>,
    keeping: Keeping,
    /// The lease's value.
    told: watch::Sender<LeaseAttrs>,
    commands: Commands,
    firewall: Firewall,
    forwarding: forwarding::Keeper,
    probes: Option<Prober>,
    /// For who looks around.
    netlink: Netlink,
    /// As in subnet.env.
    mtu: u32,
}

impl Started {
    /// The steps in the order that others rely on.
    async fn start(
        mut given: Given,
        options: &Options,
        status: &Arc<Status>,
        commands: &Unfinished,
    ) -> Result<Self, DaemonError> {
        let (timing, store) = (given.timing, Arc::clone(&given.store));
        let config = &given.config;
        let mut commands = Commands::of(config, commands).map_err(OpenError::from)?;
        let printed = commands.before_lease().await?;
        let backend = open_backend(config, options, printed, status)?;
        let ends = backend.ends();
        let published = given.assignment.take().and_then(|given| given.published);
        let mut node =
            Node::prepare(options, store.as_ref(), config, backend, published, status).await?;
        let attrs = node.facing.borrow().attrs.clone();
        let Acquired { lease, listing } = acquire(&given, options, &attrs, status).await?;
        let subnets = lease.subnets();
        commands.after_lease(config, &subnets, &attrs).await?;

        status.waiting("the other nodes' leases");
        let mut table = lease::watch_peers(Arc::clone(&store), subnets, timing, listing);
        let (told, attrs) = watch::channel(node.facing.borrow().attrs.clone());
        let keeping = lease::keep(store, lease, attrs, table.clone(), timing);
        follow_lease(status, &keeping.status, &table);
        node.first_pass(subnets, &mut table).await?;
        let firewall = install_firewall(options, config, &subnets, status).await?;
        let mtu = node.facing.borrow().mtu;
        write_subnet_env(options, config, &subnets, mtu)?;
        let forwarding = node.reconciler.forwarding();
        let forwarding = forwarding::Keeper::new(options, forwarding, Arc::clone(status));
        announce(status);
        let probes = prober(options, ends, config, status)?;
        let netlink = Netlink::open()?;
        Ok(Self {
            given,
            subnets,
            node,
            table,
            keeping,
            told,
            commands,
            firewall,
            forwarding,
            probes,
            netlink,
            mtu,
        })
    }

    /// Until a part ends, which says why the daemon does.
    async fn keep(mut self, options: &Options, status: &Arc<Status>) -> DaemonError {
        let Given {
            timing,
            store,
            config,
            ..
        } = self.given;
        let write = |mtu| write_subnet_env(options, &config, &self.subnets, mtu);
        let told = tell(self.node.facing, self.told, self.mtu, status, write);
        let lease = self.keeping.status.clone();
        let fails_after = options.kube.network_unavailable_after;
        let told_cluster = tell_cluster(store.as_ref(), lease, &timing, status, fails_after);
        let published = self.node.reconciler.published();
        let commands = self.commands.keep(published, Arc::clone(status));
        let Node {
            reconciler,
            monitor,
            ..
        } = self.node;
        let reconciler = reconcile::run(reconciler, monitor, self.table, watchdog());
        let firewall = keep_firewall(self.firewall, options, status);
        let around = surroundings::watch(
            Arc::clone(&store),
            config.clone(),
            self.subnets,
            self.netlink,
            Arc::clone(status),
        );
        let ended = tokio::select! {
            ended = &mut self.keeping.task => match ended {
                Ok(error) => return DaemonError::LeaseLost(error),
                Err(_) => "keeper of the lease",
            },
            () = told_cluster => "telling of the cluster",
            () = around => "watch on the surroundings",
            () = self.forwarding.keep() => "keeper of the forwarding process",
            () = commands => "keeper of the extension's commands",
            () = reconciler => "watch on the leases",
            () = firewall => "keeper of the firewall rules",
            () = probe(self.probes) => "prober",
            () = told => "keeper of the lease's value",
        };
        DaemonError::PartEnded(ended)
    }
}

fn open_backend(
    config: &NetworkConfig,
    options: &Options,
    printed: Option<String>,
    status: &Status,
) -> Result<Box<dyn Backend>, OpenError> {
    let backend = backends::open(config, options, printed)?;
    tracing::info!(backend = backend.name(), "found network config");
    status.update(|state| state.backend = backend.name().to_owned());
    Ok(backend)
}

async fn acquire(
    given: &Given,
    options: &Options,
    attrs: &LeaseAttrs,
    status: &Status,
) -> Result<Acquired, LeaseError> {
    status.waiting("a lease");
    let previous = previous_subnets(&options.subnet_file);
    let (store, config) = (given.store.as_ref(), &given.config);
    let acquired = lease::acquire(store, config, attrs, previous, &given.timing).await?;
    tracing::info!(subnets = %acquired.lease.subnets(), "lease acquired");
    Ok(acquired)
}

/// For ever: when the lease ends, its keeper says why.
async fn tell_cluster(
    store: &dyn Store,
    lease: watch::Receiver<OwnStatus>,
    timing: &Timing,
    status: &Arc<Status>,
    fails_after: Option<Duration>,
) {
    let (told, network) = watch::channel(NodeNetwork::Works);
    tokio::join!(
        lease::announce(store, lease, network, timing),
        availability::follow(status, fails_after, told),
    );
}

async fn keep_firewall(firewall: Firewall, options: &Options, status: &Arc<Status>) {
    match firewall.is_empty() {
        true => std::future::pending().await,
        false => {
            firewall
                .keep(options.iptables_resync, Arc::clone(status))
                .await
        }
    }
}

/// Waits for the network config. A netd that was told nothing says what it needs to be told.
async fn find_config(
    options: &Options,
    store: &dyn Store,
    timing: &Timing,
    status: &Status,
) -> Result<NetworkConfig, LeaseError> {
    status.waiting("the network config");
    let mut hinted = !options.has_default_endpoints();
    let waiting = |missing: &Missing| {
        status.waiting(&format!("the network config: {}", crate::chain(missing)));
        let unreachable = matches!(missing, Missing::Store(StoreError::Unreachable { .. }));
        if unreachable && !std::mem::replace(&mut hinted, true) {
            tracing::warn!(
                "no etcd answers at the default addresses: say where it is with -etcd-endpoints, or \
                 use a directory of this machine with -store dir; see netd --help"
            );
        }
    };
    lease::wait_for_config(store, timing, waiting).await
}

/// Waits for what the cluster gives this node, where it does.
async fn find_assignment(
    store: &dyn Store,
    timing: &Timing,
    status: &Status,
) -> Result<Option<Assignment>, LeaseError> {
    let waiting = |error: &StoreError| {
        status.waiting(&format!("this node's subnet: {}", crate::chain(error)));
    };
    Ok(lease::wait_for_assignment(store, timing, waiting).await?)
}

/// An operator gives a node its public address in the cluster, too, and that goes before the flags.
fn with_addresses(options: &Options, assignment: Option<&Assignment>) -> Options {
    let given = |of: fn(&Assignment) -> Option<std::net::IpAddr>| assignment.and_then(of);
    let mut options = options.clone();
    if let Some(std::net::IpAddr::V4(ip)) = given(|given| given.public_ip.map(Into::into)) {
        options.public_ip = Some(ip);
    }
    if let Some(std::net::IpAddr::V6(ip)) = given(|given| given.public_ipv6.map(Into::into)) {
        options.public_ipv6 = Some(ip);
    }
    options
}

pub(crate) fn open_store(options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    let etcd = &options.etcd;
    let file = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    Ok(match options.store {
        StoreKind::Dir => Arc::new(DirStore::open(&options.store_dir)?),
        StoreKind::Kube => kube_store(options)?,
        StoreKind::Etcd => Arc::new(EtcdStore::new(&EtcdOptions {
            endpoints: etcd.endpoints.clone(),
            prefix: etcd.prefix.clone(),
            key_file: file(&etcd.keyfile),
            cert_file: file(&etcd.certfile),
            ca_file: file(&etcd.cafile),
            user: (!etcd.username.is_empty())
                .then(|| (etcd.username.clone(), etcd.password.clone())),
        })?),
    })
}

#[cfg(feature = "kube")]
fn kube_store(options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    let kube = &options.kube;
    let identity = match (&kube.node_name, &kube.pod_namespace, &kube.pod_name) {
        (node, _, _) if !node.is_empty() => Identity::Node(node.clone()),
        (_, namespace, name) if !namespace.is_empty() && !name.is_empty() => Identity::Pod {
            namespace: namespace.clone(),
            name: name.clone(),
        },
        _ => {
            return Err(StoreError::Options {
                store: "Kubernetes".to_owned(),
                problem:
                    "nobody says which node this is: give its name in the variable NODE_NAME, or \
                          POD_NAME and POD_NAMESPACE of the pod that netd runs in"
                        .to_owned(),
                source: None,
            });
        }
    };
    Ok(Arc::new(KubeStore::new(KubeOptions {
        api_url: kube.api_url.clone(),
        kubeconfig: Some(kube.kubeconfig.clone()).filter(|path| !path.as_os_str().is_empty()),
        identity,
        annotations: kube.annotations.clone(),
        net_config: options.net_config.clone(),
        set_network_unavailable: kube.set_network_unavailable,
        patience: KubeOptions::PATIENCE,
    })?))
}

#[cfg(not(feature = "kube"))]
fn kube_store(_: &Options) -> Result<Arc<dyn Store>, StoreError> {
    Err(StoreError::Options {
        store: "Kubernetes".to_owned(),
        problem: "this netd was built without the feature kube".to_owned(),
        source: None,
    })
}

/// What a missing or unreadable file says is nothing.
fn previous_subnets(path: &std::path::Path) -> Option<Subnets> {
    SubnetEnv::previous(&std::fs::read_to_string(path).ok()?)
}

/// This node's part: its interface, its devices, and the task that keeps them.
struct Node {
    reconciler: Reconciler,
    monitor: Monitor,
    facing: watch::Receiver<Facing>,
}

impl Node {
    async fn prepare(
        options: &Options,
        store: &dyn Store,
        config: &NetworkConfig,
        backend: Box<dyn Backend>,
        published: Option<LeaseAttrs>,
        status: &Arc<Status>,
    ) -> Result<Self, DaemonError> {
        status.waiting("the external interface and the backend's device");
        let netlink = Netlink::open()?;
        // Before anything is read: what changes in between is reported.
        let monitor = Monitor::of_others(&netlink)?;
        let families: Vec<Family> = Family::enabled_in(config).collect();
        if Family::V6.enabled(config) {
            facts::keep_router_advertisements();
        }
        let facts = facts::gather(&netlink, options.iface_can_reach)?;
        let external = crate::interface::choose(options, &families, &facts)?;
        status.chose(&external);
        let (public_ip, public_ipv6) = (external.public_ip, external.public_ipv6);
        status.look_with(netlink.clone());
        let mut reconciler = Reconciler::new(
            netlink,
            backend,
            config.clone(),
            Follower::new(options, &families, external),
            &facts.links,
            Arc::clone(status),
        );
        reconciler.set_blackhole(options.blackhole_route);
        reconciler.need(endpoint::addresses(&store.endpoints()).await);
        if let Some(published) = published {
            reconciler.remember(&published)?;
        }
        let facing = match reconciler.prepare() {
            // Perhaps that device is ours under another name: the own lease has its MAC.
            Err(error @ PassError::Device(DeviceError::VniTaken { .. })) => {
                let node = LeaseAttrs::new(public_ip.unwrap_or(Ipv4Addr::UNSPECIFIED), public_ipv6);
                let published = lease::published(store, &node).await;
                let Some(published) = published.map_err(DaemonError::Store)? else {
                    return Err(error.into());
                };
                reconciler.remember(&published)?;
                reconciler.prepare()?
            }
            prepared => prepared?,
        };
        status.update(|state| state.mtu = facing.borrow().mtu);
        tracing::debug!(lease = %facing.borrow().attrs.to_json(), "node prepared");
        Ok(Self {
            reconciler,
            monitor,
            facing,
        })
    }

    /// Waits until the leases are known: a pass without them would take every peer down.
    async fn first_pass(
        &mut self,
        own: Subnets,
        table: &mut watch::Receiver<Arc<LeaseTable>>,
    ) -> Result<(), DaemonError> {
        // The guard is gone before anything is awaited: it would block the follower's thread,
        // which is this one.
        let known = match table
            .wait_for(|table| table.sync != lease::Sync::Waiting)
            .await
        {
            Ok(known) => Arc::clone(&known),
            Err(_) => return Err(DaemonError::PartEnded("watch on the leases")),
        };
        self.reconciler.set_own(own);
        self.reconciler.pass(&known, false).await?;
        Ok(())
    }
}

/// Passes on what changes of this node: its lease gets the new value, subnet.env another MTU than
/// `written`.
async fn tell(
    mut facing: watch::Receiver<Facing>,
    lease: watch::Sender<LeaseAttrs>,
    mut written: u32,
    status: &Status,
    write: impl Fn(u32) -> Result<(), WriteError>,
) {
    loop {
        let Facing { attrs, mtu } = facing.borrow_and_update().clone();
        lease.send_if_modified(|known| {
            let changed = *known != attrs;
            *known = attrs;
            changed
        });
        if mtu != written {
            tracing::warn!(
                from = written,
                to = mtu,
                "new pods get another MTU; others keep theirs"
            );
            match write(mtu) {
                Ok(()) => written = mtu,
                Err(error) => {
                    tracing::error!(error = %crate::chain(&error), "subnet file not written");
                }
            }
            status.update(|state| state.mtu = mtu);
        }
        if facing.changed().await.is_err() {
            return;
        }
    }
}

async fn install_firewall(
    options: &Options,
    config: &NetworkConfig,
    subnets: &Subnets,
    status: &Status,
) -> Result<Firewall, DaemonError> {
    status.waiting("the firewall rules");
    let features = Features {
        masquerade: options.ip_masq,
        forward: options.forward_rules,
        random_fully: options.random_fully,
    };
    if !config.nftables && (features.masquerade || features.forward) {
        facts::warn_without_bridge_netfilter();
    }
    let firewall = Firewall::install(config, subnets, features).await?;
    firewall.report(status, None);
    Ok(firewall)
}

fn write_subnet_env(
    options: &Options,
    config: &NetworkConfig,
    subnets: &Subnets,
    mtu: u32,
) -> Result<(), WriteError> {
    let env = SubnetEnv::new(config, subnets, mtu, options.ip_masq);
    write_atomically(
        &options.subnet_file,
        env.to_string().as_bytes(),
        SUBNET_FILE,
    )?;
    tracing::info!(path = %options.subnet_file.display(), "subnet file written");
    Ok(())
}

fn announce(status: &Status) {
    status.started();
    if let Err(error) = notify::ready(std::env::var("NOTIFY_SOCKET").ok().as_deref()) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Who wants to hear that netd works.
fn watchdog() -> Option<notify::Watchdog> {
    match notify::Watchdog::asked_for(&|name| std::env::var(name).ok()) {
        Ok(watchdog) => watchdog,
        Err(error) => {
            tracing::warn!(error = %crate::chain(&error), "the watchdog is not served");
            None
        }
    }
}

/// Who probes, if that is asked for.
fn prober(
    options: &Options,
    ends: Ends,
    config: &NetworkConfig,
    status: &Arc<Status>,
) -> Result<Option<Prober>, ProbeError> {
    let probing = Probing {
        interval: options.probe_interval,
        port: options.probe_port,
    };
    let is_on = !probing.interval.is_zero();
    let families = Family::enabled_in(config);
    let prober = is_on.then(|| Prober::open(probing, ends, families, Arc::clone(status)));
    prober.transpose()
}

async fn probe(prober: Option<Prober>) {
    match prober {
        Some(prober) => prober.run().await,
        None => std::future::pending().await,
    }
}

/// Keeps the status pages' part about the lease and the store up to date.
fn follow_lease(
    status: &Arc<Status>,
    lease: &watch::Receiver<OwnStatus>,
    table: &watch::Receiver<Arc<LeaseTable>>,
) {
    let (status, mut lease, mut table) = (Arc::clone(status), lease.clone(), table.clone());
    tokio::spawn(async move {
        loop {
            status.lease_changed(&lease.borrow_and_update());
            status.table_changed(&table.borrow_and_update());
            let changed = tokio::select! {
                changed = lease.changed() => changed,
                changed = table.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    });
}

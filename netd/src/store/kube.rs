//! The store in the nodes of a Kubernetes cluster, shared with flanneld: the cluster gives each node its
//! subnet (the pod CIDR), and each node publishes the rest as annotations of its own node object.
//!
//! Nothing but the own node is ever written: six annotations and one condition, by patches of the
//! subresource `status` that name what changes alone. The network configuration is a file.

mod access;
mod api;
mod node;
mod nodes;
mod watch;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::{
    Allocation, AnnotationKeys, Families, LeaseAttrs, NetworkConfig, NodeError, PublicAddresses,
    RawJson, Subnets,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    Assignment, Changes, Cursor, Holding, Listing, NodeNetwork, Record, Store, StoreError, Term,
};
use access::Access;
use api::Api;
use node::Node;
use nodes::{Nodes, Reading};

/// Who this node is among those of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By its name.
    Node(String),
    /// By the pod that this daemon runs in.
    Pod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
}

/// How to reach the cluster, and what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeOptions {
    /// URL of the API server; empty is the one of the credentials.
    pub api_url: String,
    /// A kubeconfig; without one, and without a URL, the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Who this node is.
    pub identity: Identity,
    /// The keys of annotations.
    pub annotations: AnnotationKeys,
    /// The network configuration.
    pub net_config: PathBuf,
    /// Whether the condition `NetworkUnavailable` is written.
    pub set_network_unavailable: bool,
    /// How long the server may take for an answer.
    pub patience: Duration,
}

impl KubeOptions {
    /// A page of a list is large, and an API server that starts is slow.
    pub const PATIENCE: Duration = Duration::from_secs(30);
}

/// Leases in node objects.
pub struct KubeStore {
    api: Arc<Api>,
    options: KubeOptions,
    name: OnceCell<String>,
    families: Mutex<Option<Families>>,
    nodes: Arc<Mutex<Nodes>>,
    /// What this node was asked to publish last.
    asked: Mutex<Option<LeaseAttrs>>,
}

impl KubeStore {
    /// Reads the credentials; nothing is connected yet.
    ///
    /// # Errors
    /// They are missing or of no use.
    pub fn new(options: KubeOptions) -> Result<Self, StoreError> {
        let access = Access::new(&options.api_url, options.kubeconfig.clone())?;
        Ok(Self {
            api: Arc::new(Api::new(access, options.patience)?),
            nodes: Arc::new(Mutex::new(Nodes::new(options.annotations.clone()))),
            options,
            name: OnceCell::new(),
            families: Mutex::new(None),
            asked: Mutex::new(None),
        })
    }

    /// This node's name.
    async fn name(&self) -> Result<&str, StoreError> {
        let name = self.name.get_or_try_init(|| async {
            match &self.options.identity {
                Identity::Node(name) => Ok(name.clone()),
                Identity::Pod { namespace, name } => self.node_of_pod(namespace, name).await,
            }
        });
        Ok(name.await?.as_str())
    }

    async fn node_of_pod(&self, namespace: &str, name: &str) -> Result<String, StoreError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let pod: Option<node::Pod> = self.api.get("read this daemon's pod", &path).await?;
        let no = |what: &str| self.no_subnet(format!("the pod {namespace}/{name} {what}"));
        let pod = pod.ok_or_else(|| {
            no("is not in the cluster: POD_NAMESPACE and POD_NAME must name the one that netd runs in")
        })?;
        let node = pod.spec.node_name.filter(|name| !name.is_empty());
        node.ok_or_else(|| no("has no node yet"))
    }

    fn no_subnet(&self, problem: String) -> StoreError {
        StoreError::NoSubnet {
            store: self.describe(),
            problem,
        }
    }

    /// The families that the network configuration has on.
    fn families(&self) -> Result<Families, StoreError> {
        if let Some(families) = *lock(&self.families) {
            return Ok(families);
        }
        self.read_config().map(|_| ())?;
        // Without a configuration nobody asks on; what there is of IPv4 is read.
        Ok(lock(&self.families).unwrap_or(Families {
            v4: true,
            v6: false,
        }))
    }

    fn read_config(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = &self.options.net_config;
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(StoreError::File {
                    operation: "read",
                    path: path.clone(),
                    source,
                });
            }
        };
        if let Ok(config) = NetworkConfig::parse_for(&text, Allocation::Given) {
            // As netd runs with: a change is followed with its next start alone.
            lock(&self.families).get_or_insert(Families {
                v4: config.v4.is_some(),
                v6: config.v6.is_some(),
            });
        }
        Ok(Some(text))
    }

    /// This node's object.
    async fn own_node(&self) -> Result<Node, StoreError> {
        let name = self.name().await?;
        let node = self.api.get("read this node", &path(name)).await?;
        node.ok_or_else(|| {
            self.no_subnet(format!(
                "the cluster has no node {name}: its kubelet registers it (NODE_NAME must be the name \
                 that `kubectl get nodes` shows)"
            ))
        })
    }

    async fn ask_for_assignment(&self) -> Result<Assignment, StoreError> {
        let families = self.families()?;
        let node = self.own_node().await?;
        let name = node.name();
        if node.pod_cidrs().is_empty() {
            return Err(self.no_subnet(format!(
                "node {name} has no podCIDR: kube-controller-manager gives it with \
                 --allocate-node-cidrs and --cluster-cidr (kubeadm: --pod-network-cidr)"
            )));
        }
        let unusable = |error: NodeError| self.no_subnet(format!("node {name}: {error}"));
        let both = Families { v4: true, v6: true };
        // What is missing of a family is told by who knows the configuration.
        let given = |families| cluster::pod_cidrs(node.pod_cidrs(), families);
        let subnets = given(families).or_else(|error| match error {
            NodeError::NoCidr(_) => [
                Families { v6: false, ..both },
                Families { v4: false, ..both },
            ]
            .into_iter()
            .find_map(|families| given(families).ok())
            .ok_or(error),
            error => Err(error),
        });
        let subnets = subnets.map_err(unusable)?;
        let keys = &self.options.annotations;
        let public = keys.of_node(|key| node.annotation(key)).map_err(unusable)?;
        // Also of a node that had IPv4 alone until now.
        let v4 = Families {
            v6: false,
            ..families
        };
        let published = [families, v4]
            .into_iter()
            .find_map(|families| keys.read(families, |key| node.annotation(key)).ok()?);
        Ok(Assignment {
            subnets,
            published,
            public_ip: public.v4,
            public_ipv6: public.v6,
        })
    }

    /// What the node's annotations must be for `attrs`.
    fn wanted(&self, node: &Node, attrs: &LeaseAttrs) -> Vec<(String, String)> {
        let keys = &self.options.annotations;
        let overwritten = keys.overwritten(|key| node.annotation(key));
        let overwritten = overwritten.unwrap_or_else(|error| {
            tracing::warn!("node {}: {error}; it is left out", node.name());
            PublicAddresses::default()
        });
        keys.write(attrs, overwritten)
    }

    /// The own node as a lease; `None` where it is none, or not of `subnets`.
    fn own_record(&self, node: &Node, subnets: Subnets) -> Result<Option<Record>, StoreError> {
        let keys = &self.options.annotations;
        let Reading::Lease(held, attrs) = nodes::read(node, keys, self.families()?) else {
            return Ok(None);
        };
        // An overwritten address is this node's doing, too.
        let asked = lock(&self.asked).clone();
        let asked = asked.filter(|asked| is_as(node, &self.wanted(node, asked)));
        Ok((held == subnets).then(|| Record {
            odd_key: None,
            subnets,
            attrs: Arc::new(asked.unwrap_or(attrs)),
            revision: revision(node, keys),
            birth: birth(node),
            term: Some(Record::OF_NODE),
        }))
    }

    async fn read(&self, subnets: Subnets) -> Result<Option<Record>, StoreError> {
        let node = self.own_node().await?;
        let record = self.own_record(&node, subnets)?;
        let Some(record) = record else {
            return Ok(None);
        };
        let asked = lock(&self.asked).clone();
        match asked {
            // The operator has given another public address, or taken it away.
            Some(asked)
                if !is_as(&node, &self.wanted(&node, &asked))
                    && only_overwritten(&record.attrs, &asked) =>
            {
                let node = self.patch(&node, &asked).await?;
                self.own_record(&node, subnets)
            }
            _ => Ok(Some(record)),
        }
    }

    /// Lets the own node say `attrs`, if it has `subnets`.
    async fn publish(
        &self,
        subnets: Subnets,
        attrs: &LeaseAttrs,
    ) -> Result<Option<Holding>, StoreError> {
        let node = self.own_node().await?;
        let families = self.families()?;
        if cluster::pod_cidrs(node.pod_cidrs(), families).ok() != Some(subnets) {
            return Ok(None);
        }
        lock(&self.nodes).set_own(node.name(), Some(subnets));
        *lock(&self.asked) = Some(attrs.clone());
        let node = self.patch(&node, attrs).await?;
        Ok(Some(Holding {
            subnets,
            revision: revision(&node, &self.options.annotations),
            birth: birth(&node),
            term: Term::Node,
        }))
    }

    /// Writes what differs, if anything does; the node as it is then.
    async fn patch(&self, node: &Node, attrs: &LeaseAttrs) -> Result<Node, StoreError> {
        let wanted = self.wanted(node, attrs);
        if is_as(node, &wanted) {
            return Ok(node.clone());
        }
        let annotations: serde_json::Map<String, Value> = wanted
            .into_iter()
            .map(|(key, value)| (key, Value::from(value)))
            .collect();
        self.patch_status(&json!({ "metadata": { "annotations": annotations } }))
            .await
    }

    async fn patch_status(&self, patch: &Value) -> Result<Node, StoreError> {
        let name = self.name().await?;
        let path = format!("{}/status", path(name));
        self.api.patch("write this node", &path, patch).await
    }

    /// Takes the annotations of the own node away, as it is gone for the others then.
    async fn withdraw(&self, subnets: Subnets, revision: u64) -> Result<bool, StoreError> {
        let node = self.own_node().await?;
        let record = self.own_record(&node, subnets)?;
        if record.is_none_or(|record| record.revision != revision) {
            return Ok(false);
        }
        let keys = self.options.annotations.written();
        let annotations: serde_json::Map<String, Value> =
            keys.map(|key| (key, Value::Null)).collect();
        self.patch_status(&json!({ "metadata": { "annotations": annotations } }))
            .await?;
        Ok(true)
    }

    async fn list_all(&self) -> Result<Listing, StoreError> {
        let own = self.name().await?;
        let families = self.families()?;
        let (all, cursor) = self.api.list_nodes().await?;
        let mut nodes = lock(&self.nodes);
        nodes.follow(own, families);
        let mut listing = nodes.replace(all);
        listing.cursor = Some(cursor);
        Ok(listing)
    }

    /// Writes the condition `NetworkUnavailable`, unless it says the same already.
    async fn tell_of_network(&self, network: &NodeNetwork) -> Result<(), StoreError> {
        if !self.options.set_network_unavailable {
            return Ok(());
        }
        let node = self.own_node().await?;
        let condition = node::network_unavailable(network);
        if node.says(&condition) {
            return Ok(());
        }
        self.patch_status(&json!({ "status": { "conditions": [condition] } }))
            .await?;
        let (status, message) = (condition.status, condition.message.unwrap_or_default());
        tracing::info!("the node's condition NetworkUnavailable is {status}: {message}");
        Ok(())
    }
}

impl Store for KubeStore {
    fn describe(&self) -> String {
        self.api.describe()
    }

    fn network_config(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        async { self.read_config() }.boxed()
    }

    fn config_place(&self) -> String {
        self.options.net_config.display().to_string()
    }

    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.list_all().boxed()
    }

    fn get(&self, subnets: Subnets) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.read(subnets).boxed()
    }

    fn create<'a>(
        &'a self,
        subnets: Subnets,
        attrs: &'a LeaseAttrs,
        _ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.publish(subnets, attrs).boxed()
    }

    fn adopt<'a>(
        &'a self,
        record: &'a Record,
        attrs: &'a LeaseAttrs,
        _ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.publish(record.subnets, attrs).boxed()
    }

    fn rewrite<'a>(
        &'a self,
        holding: &'a Holding,
        attrs: &'a LeaseAttrs,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.publish(holding.subnets, attrs).boxed()
    }

    fn renew<'a>(
        &'a self,
        holding: &'a Holding,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        std::future::ready(Ok(Some(*holding))).boxed()
    }

    fn delete(&self, subnets: Subnets, revision: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.withdraw(subnets, revision).boxed()
    }

    fn watch(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>> {
        watch::open(Arc::clone(&self.api), Arc::clone(&self.nodes), cursor).boxed()
    }

    fn has_forgetful_readers(&self) -> bool {
        false
    }

    fn allocation(&self) -> Allocation {
        Allocation::Given
    }

    fn assignment(&self) -> BoxFuture<'_, Result<Option<Assignment>, StoreError>> {
        self.ask_for_assignment()
            .map(|given| given.map(Some))
            .boxed()
    }

    /// A list of a large cluster costs its API server much, and the watch misses nothing.
    fn relists(&self) -> bool {
        false
    }

    fn announce<'a>(&'a self, network: &'a NodeNetwork) -> BoxFuture<'a, Result<(), StoreError>> {
        self.tell_of_network(network).boxed()
    }

    fn take_answers(&self) -> Vec<Duration> {
        self.api.take_answers()
    }

    fn endpoints(&self) -> Vec<String> {
        vec![self.api.url().to_owned()]
    }
}

fn path(node: &str) -> String {
    format!("/api/v1/nodes/{node}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the node says all of `wanted`.
fn is_as(node: &Node, wanted: &[(String, String)]) -> bool {
    wanted
        .iter()
        .all(|(key, value)| node.annotation(key) == Some(value))
}

/// Whether nothing but the public addresses differs.
fn only_overwritten(found: &LeaseAttrs, asked: &LeaseAttrs) -> bool {
    let value = |data: &Option<RawJson>| -> Option<Value> {
        serde_json::from_str(data.as_ref()?.as_str()).ok()
    };
    found.backend_type == asked.backend_type
        && value(&found.backend_data) == value(&asked.backend_data)
        && value(&found.backend_v6_data) == value(&asked.backend_v6_data)
}

/// Another one for each thing that the node says of its pod network, and the same whatever else is
/// written to the node: its kubelet does that all the time.
fn revision(node: &Node, keys: &AnnotationKeys) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.pod_cidrs().hash(&mut hasher);
    for (key, value) in node.annotations() {
        if key.starts_with(keys.prefix()) {
            (key, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// A node that is removed and made again has another one.
fn birth(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.uid().hash(&mut hasher);
    hasher.finish()
}

//! A double of Kubernetes' API server, for nodes and pods alone: get, list in pages, watch with bookmarks
//! and a history that can be compacted, strategic merge patches of a node's status, TLS, tokens and client
//! certificates; objects of other kinds for an administrator; and what goes wrong there, when a test asks for it. A thread a connection, HTTP/1.1.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests; each file uses a part of this"
)]

mod http;
mod objects;
mod state;
mod tls;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use http::Seen;
pub use objects::Objects;
pub use state::Fault;
pub use tls::Tls;

use state::State;

/// A running server; it ends when dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    scheme: &'static str,
}

/// What all connections see.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits for a change, or a moment.
    pub(crate) fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (state, _) = self
            .changed
            .wait_timeout(state, Duration::from_millis(100))
            .unwrap();
        state
    }
}

impl ApiServer {
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0", None)
    }

    /// Threads of the server are in the caller's network namespace.
    pub fn listen(address: &str, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind(address).expect("bind");
        let address = listener.local_addr().expect("address");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (ours, ended) = (Arc::clone(&shared), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (shared, tls) = (Arc::clone(&ours), tls.clone());
                std::thread::spawn(move || serve(&shared, stream, tls));
            }
        });
        Self {
            shared,
            address,
            stop,
            scheme,
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.lock());
        self.shared.changed.notify_all();
        result
    }

    /// Makes a node, as its kubelet registers it and the controller manager gives it `cidrs`.
    pub fn add_node(&self, name: &str, cidrs: &[&str]) {
        let mut node = json!({
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": { "name": name, "uid": format!("uid-of-{name}-{}", self.version()) },
            "spec": {},
            "status": { "conditions": [{ "type": "Ready", "status": "False", "reason": "KubeletNotReady" }] }
        });
        if let Some(first) = cidrs.first() {
            node["spec"] = json!({ "podCIDR": first, "podCIDRs": cidrs });
        }
        self.change(|state| state.put("ADDED", node));
    }

    /// A node with the annotations of flannel's backend `kind`.
    pub fn add_peer(&self, name: &str, cidrs: &[&str], kind: &str, data: &str, public: &str) {
        self.add_node(name, cidrs);
        self.annotate(
            name,
            &[
                ("kube-subnet-manager", Some("true")),
                ("backend-type", Some(kind)),
                ("backend-data", Some(data)),
                ("public-ip", Some(public)),
            ],
        );
    }

    /// Changes annotations of flannel's, as an operator does; `None` removes one.
    pub fn annotate(&self, node: &str, pairs: &[(&str, Option<&str>)]) {
        self.edit(node, |node| {
            for (word, value) in pairs {
                let key = format!("flannel.alpha.coreos.com/{word}");
                match value {
                    Some(value) => node["metadata"]["annotations"][key] = json!(value),
                    None => {
                        if let Some(all) = node["metadata"]["annotations"].as_object_mut() {
                            all.remove(&key);
                        }
                    }
                }
            }
        });
    }

    /// Changes a node in any way.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        self.change(|state| {
            let mut node = state.nodes.get(name).expect("the node").clone();
            edit(&mut node);
            state.put("MODIFIED", node);
        });
    }

    pub fn remove_node(&self, name: &str) {
        self.change(|state| state.remove(name));
    }

    pub fn add_pod(&self, namespace: &str, name: &str, node: Option<&str>) {
        let pod = json!({ "kind": "Pod", "spec": { "nodeName": node } });
        self.change(|state| state.pods.insert(format!("{namespace}/{name}"), pod));
    }

    pub fn node(&self, name: &str) -> Option<Value> {
        self.shared.lock().nodes.get(name).cloned()
    }

    /// An annotation of flannel's.
    pub fn annotation(&self, node: &str, word: &str) -> Option<String> {
        let key = format!("flannel.alpha.coreos.com/{word}");
        let node = self.node(node)?;
        node["metadata"]["annotations"][key]
            .as_str()
            .map(str::to_owned)
    }

    /// The condition `NetworkUnavailable`.
    pub fn condition(&self, node: &str) -> Option<Value> {
        let node = self.node(node)?;
        let conditions = node["status"]["conditions"].as_array()?;
        let mut found = conditions.iter();
        found.find(|c| c["type"] == "NetworkUnavailable").cloned()
    }

    pub fn version(&self) -> u64 {
        self.shared.lock().version
    }

    /// The history until now is gone.
    pub fn compact(&self) {
        self.change(|state| state.compacted = state.version);
    }

    /// Tells every watch how far the history is.
    pub fn bookmark(&self) {
        self.change(State::bookmark);
    }

    /// Sends a line to every watch, whatever it is.
    pub fn say(&self, line: &str) {
        self.change(|state| state.say(line));
    }

    /// Ends every watch as servers do after a while.
    pub fn end_watches(&self) {
        self.change(|state| state.ended += 1);
    }

    /// Cuts every watch in the middle of a chunk.
    pub fn cut_watches(&self) {
        self.change(|state| state.cut += 1);
    }

    /// From now on nobody is answered: connections are closed, those that are there too.
    pub fn go_away(&self) {
        self.change(|state| {
            state.away = true;
            state.cut += 1;
        });
    }

    pub fn come_back(&self) {
        self.change(|state| state.away = false);
    }

    /// The next request that begins so (`GET /api/v1/nodes?`) meets this.
    pub fn fault(&self, request: &str, fault: Fault) {
        self.change(|state| state.faults.push((request.to_owned(), fault)));
    }

    /// How many faults nobody has met yet.
    pub fn faults(&self) -> usize {
        self.shared.lock().faults.len()
    }

    /// From now on only this token is known.
    pub fn set_token(&self, token: &str) {
        self.change(|state| state.token = Some(token.to_owned()));
    }

    /// What was asked for so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// How often something that begins so was asked for.
    pub fn count(&self, request: &str) -> usize {
        let seen = self.seen();
        let matching = seen.iter().filter(|seen| seen.line.starts_with(request));
        matching.count()
    }

    /// How many watches were opened so far.
    pub fn opened(&self) -> usize {
        self.shared.lock().opened
    }

    /// How many watches are open, or were left by a client without a word.
    pub fn watches(&self) -> usize {
        self.shared.lock().watching
    }

    /// Waits until so many watches are open.
    pub async fn wait_for_watches(&self, number: usize) {
        let started = Instant::now();
        while self.watches() != number {
            assert!(started.elapsed() < Duration::from_secs(60), "no watch");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.go_away();
        // The listener is told by one more connection.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(shared: &Shared, stream: TcpStream, tls: Option<Tls>) {
    if shared.lock().away {
        return;
    }
    // Who leaves its connection open is left alone after a while.
    let limit = Some(Duration::from_secs(120));
    stream.set_read_timeout(limit).expect("timeout");
    stream.set_nodelay(true).expect("nodelay");
    match tls {
        None => http::serve(shared, stream),
        Some(tls) => http::serve(shared, tls.accept(stream)),
    }
}

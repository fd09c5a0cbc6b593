//! Stores for tests, each in the test's own world: a directory, and a real etcd.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of this"
)]

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{LeaseAttrs, Subnets};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use kernel::testing::World;
use netd::store::{DirStore, EtcdOptions, EtcdStore, Store};

pub const PREFIX: &str = "/coreos.com/network";
pub const ENDPOINT: &str = "http://127.0.0.1:2379";
pub const TLS_ENDPOINT: &str = "https://127.0.0.1:2379";

/// A running etcd, killed when dropped.
pub struct Etcd {
    child: Child,
    data: PathBuf,
    endpoint: &'static str,
    flags: Vec<String>,
}

impl Etcd {
    pub fn start(dir: &Path) -> Self {
        Self::with(dir, ENDPOINT, Vec::new())
    }

    /// Listens with TLS only, and asks for certificates of `ca.pem`.
    pub fn start_with_tls(dir: &Path) -> Self {
        let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let mut flags = vec!["--client-cert-auth".to_owned()];
        for (flag, name) in [
            ("--trusted-ca-file", "ca.pem"),
            ("--cert-file", "server.pem"),
            ("--key-file", "server.key"),
        ] {
            flags.extend([flag.to_owned(), file(name)]);
        }
        Self::with(dir, TLS_ENDPOINT, flags)
    }

    fn with(dir: &Path, endpoint: &'static str, flags: Vec<String>) -> Self {
        let data = dir.join("etcd");
        let child = spawn(&data, endpoint, &flags);
        Self {
            child,
            data,
            endpoint,
            flags,
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill etcd");
        self.child.wait().expect("reap etcd");
    }

    pub fn start_again(&mut self) {
        self.child = spawn(&self.data, self.endpoint, &self.flags);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods, reason = "the test's own etcd")]
fn spawn(data: &Path, endpoint: &str, flags: &[String]) -> Child {
    let mut child = Command::new("etcd")
        .arg("--data-dir")
        .arg(data)
        .args(["--listen-client-urls", endpoint])
        .args(["--advertise-client-urls", endpoint])
        .args(["--listen-metrics-urls", "http://127.0.0.1:2381"])
        .args(["--listen-peer-urls", "http://127.0.0.1:2380"])
        .args(["--initial-advertise-peer-urls", "http://127.0.0.1:2380"])
        .args(["--initial-cluster", "default=http://127.0.0.1:2380"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start etcd (package etcd-server)");
    let started = Instant::now();
    while !is_healthy() {
        assert_eq!(child.try_wait().unwrap(), None, "etcd ended");
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "etcd does not answer"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Whether etcd has a leader and answers.
fn is_healthy() -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect("127.0.0.1:2381")?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
}

/// A store with two independent clients, and what an operator does to it by hand.
pub struct Bench {
    pub a: Arc<dyn Store>,
    pub b: Arc<dyn Store>,
    pub etcd: Option<Etcd>,
    dir: PathBuf,
}

impl Bench {
    pub fn is_etcd(&self) -> bool {
        self.etcd.is_some()
    }

    pub fn client(&self) -> Arc<dyn Store> {
        if self.is_etcd() {
            etcd_store()
        } else {
            Arc::new(DirStore::open(&self.dir).unwrap())
        }
    }

    pub async fn put_config(&self, text: &str) {
        if self.is_etcd() {
            operator()
                .await
                .put(format!("{PREFIX}/config"), text, None)
                .await
                .unwrap();
        } else {
            std::fs::write(self.dir.join("config"), text).unwrap();
        }
    }

    /// Puts a value that lasts for ever.
    pub async fn put(&self, key: &str, value: &str) {
        if self.is_etcd() {
            operator()
                .await
                .put(format!("{PREFIX}/subnets/{key}"), value, None)
                .await
                .unwrap();
        } else {
            std::fs::write(self.dir.join("subnets").join(key), value).unwrap();
        }
    }

    pub async fn remove(&self, key: &str) {
        if self.is_etcd() {
            operator()
                .await
                .delete(format!("{PREFIX}/subnets/{key}"), None)
                .await
                .unwrap();
        } else {
            std::fs::remove_file(self.dir.join("subnets").join(key)).unwrap();
        }
    }

    /// The value, byte for byte.
    pub async fn value(&self, key: &str) -> Option<String> {
        if self.is_etcd() {
            let key = format!("{PREFIX}/subnets/{key}");
            let found = operator().await.get(key, None).await.unwrap();
            found
                .kvs()
                .first()
                .map(|kv| kv.value_str().unwrap().to_owned())
        } else {
            std::fs::read_to_string(self.dir.join("subnets").join(key)).ok()
        }
    }
}

pub async fn operator() -> etcd_client::Client {
    etcd_client::Client::connect([ENDPOINT], None)
        .await
        .unwrap()
}

pub fn etcd_store() -> Arc<dyn Store> {
    Arc::new(EtcdStore::new(&etcd_options()).unwrap())
}

pub fn etcd_options() -> EtcdOptions {
    EtcdOptions {
        endpoints: vec![ENDPOINT.to_owned()],
        prefix: PREFIX.to_owned(),
        ..EtcdOptions::default()
    }
}

/// Runs `test` in a world of its own with the directory store, then with etcd.
pub fn with_each_store(test: impl for<'a> Fn(&'a mut Bench) -> LocalBoxFuture<'a, ()>) {
    let Some(_world) = World::new() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let open = || -> Arc<dyn Store> { Arc::new(DirStore::open(&dir).unwrap()) };
    let mut bench = Bench {
        a: open(),
        b: open(),
        etcd: None,
        dir: dir.clone(),
    };
    run(test(&mut bench));
    let etcd = Some(Etcd::start(temp.path()));
    let mut bench = Bench {
        a: etcd_store(),
        b: etcd_store(),
        etcd,
        dir,
    };
    run(test(&mut bench));
}

/// The same with the directory store alone, and its path.
pub fn with_dir(test: impl FnOnce(Arc<dyn Store>, PathBuf) -> LocalBoxFuture<'static, ()>) {
    let Some(_world) = World::new() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let store: Arc<dyn Store> = Arc::new(DirStore::open(&dir).unwrap());
    run(test(store, dir));
}

/// The same with an etcd that wants TLS; the files `ca.pem`, `client.pem` and `client.key` are in
/// the directory that the test gets.
pub fn with_tls_etcd(test: impl for<'a> FnOnce(&'a Path) -> LocalBoxFuture<'a, ()>) {
    let Some(_world) = World::new() else { return };
    let temp = tempfile::tempdir().unwrap();
    make_certificates(temp.path());
    let _etcd = Etcd::start_with_tls(temp.path());
    run(test(temp.path()));
}

/// An authority, a server for 127.0.0.1, and a client.
#[allow(
    clippy::disallowed_methods,
    reason = "openssl makes the test's certificates"
)]
fn make_certificates(dir: &Path) {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj /CN=ca -keyout ca.key -out ca.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj /CN=stranger -keyout stranger.key -out stranger.pem
        for name in server client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' >$name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                -extfile $name.ext -out $name.pem
        done";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// The same with etcd alone.
pub fn with_etcd(test: impl for<'a> Fn(&'a mut Bench) -> LocalBoxFuture<'a, ()>) {
    let Some(_world) = World::new() else { return };
    let temp = tempfile::tempdir().unwrap();
    let etcd = Some(Etcd::start(temp.path()));
    let mut bench = Bench {
        a: etcd_store(),
        b: etcd_store(),
        etcd,
        dir: temp.path().join("unused"),
    };
    run(test(&mut bench));
}

fn run(test: LocalBoxFuture<'_, ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .expect("the test hangs");
    });
}

pub fn subnets(key: &str) -> Subnets {
    Subnets::parse_key(key).unwrap()
}

/// The attributes of the host-gw node with the public address 192.0.2.`n`.
pub fn node(n: u8) -> LeaseAttrs {
    let mut attrs = LeaseAttrs::new([192, 0, 2, n].into(), None);
    attrs.backend_type = "host-gw".into();
    attrs
}

/// Waits until `condition` gives a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "never happened: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the value of a watch channel fulfils `condition`; returns it.
pub async fn until<T: Clone>(
    what: &str,
    receiver: &mut tokio::sync::watch::Receiver<T>,
    condition: impl FnMut(&T) -> bool,
) -> T {
    let found = tokio::time::timeout(Duration::from_secs(15), receiver.wait_for(condition)).await;
    found
        .unwrap_or_else(|_| panic!("never happened: {what}"))
        .expect("the sender is gone")
        .clone()
}

/// Boxes a test body.
pub fn boxed<'a>(future: impl Future<Output = ()> + 'a) -> LocalBoxFuture<'a, ()> {
    future.boxed_local()
}

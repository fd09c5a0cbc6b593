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
    place: Place,
}

/// Where a member of an etcd cluster keeps its data and listens, and how it is started.
#[derive(Clone)]
struct Place {
    data: PathBuf,
    scheme: &'static str,
    member: u16,
    members: u16,
    flags: Vec<String>,
}

impl Etcd {
    pub fn start(dir: &Path) -> Self {
        Self::with(dir, "http", Vec::new())
    }

    /// Listens with TLS only, and asks for certificates of `ca.pem`.
    pub fn start_with_tls(dir: &Path) -> Self {
        Self::with(dir, "https", tls_flags(dir))
    }

    /// With further flags.
    pub fn start_with(dir: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::with(dir, "http", flags)
    }

    fn with(dir: &Path, scheme: &'static str, flags: Vec<String>) -> Self {
        let place = Place {
            data: dir.join("etcd"),
            scheme,
            member: 0,
            members: 1,
            flags,
        };
        let mut child = place.launch();
        place.wait(&mut child);
        Self { child, place }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill etcd");
        self.child.wait().expect("reap etcd");
    }

    pub fn start_again(&mut self) {
        self.child = self.place.launch();
        self.place.wait(&mut self.child);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tls_flags(dir: &Path) -> Vec<String> {
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut flags = vec!["--client-cert-auth".to_owned()];
    for (flag, name) in [
        ("--trusted-ca-file", "ca.pem"),
        ("--cert-file", "server.pem"),
        ("--key-file", "server.key"),
    ] {
        flags.extend([flag.to_owned(), file(name)]);
    }
    flags
}

impl Place {
    fn port(&self, of_first: u16) -> String {
        format!("127.0.0.1:{}", of_first + 100 * self.member)
    }

    fn client(&self) -> String {
        format!("{}://{}", self.scheme, self.port(2379))
    }

    fn peer(&self) -> String {
        format!("http://{}", self.port(2380))
    }

    fn name(&self) -> String {
        format!("m{}", self.member)
    }

    /// All members, as each is told of them.
    fn cluster(&self) -> String {
        let members = (0..self.members).map(|member| {
            let place = Self {
                member,
                ..self.clone()
            };
            format!("{}={}", place.name(), place.peer())
        });
        members.collect::<Vec<_>>().join(",")
    }

    /// Also on 127.0.0.2, for a client that is to be cut off.
    #[allow(clippy::disallowed_methods, reason = "the test's own etcd")]
    fn launch(&self) -> Child {
        let client = self.client();
        let both = format!("{client},{}", client.replace("127.0.0.1", "127.0.0.2"));
        let peer = self.peer();
        Command::new("etcd")
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--name", &self.name()])
            .args(["--listen-client-urls", &both])
            .args(["--advertise-client-urls", &client])
            .args([
                "--listen-metrics-urls",
                &format!("http://{}", self.port(2381)),
            ])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &self.cluster()])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start etcd (package etcd-server)")
    }

    fn wait(&self, child: &mut Child) {
        let started = Instant::now();
        while !self.tells("/health", r#""health":"true""#) {
            assert_eq!(child.try_wait().unwrap(), None, "etcd ended");
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "etcd does not answer"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a page of the member, which answers without a user, has these words.
    fn tells(&self, page: &str, words: &str) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.port(2381))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {page} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains(words))
    }
}

/// Three members, with TLS and with authentication on: user `root`, password `secret`.
pub struct Members {
    members: Vec<Etcd>,
    dir: PathBuf,
}

impl Members {
    fn start(dir: &Path) -> Self {
        let place = |member: u16| Place {
            data: dir.join(format!("etcd{member}")),
            scheme: "https",
            member,
            members: 3,
            // A leader that is gone is missed after 0.2 s.
            flags: [
                tls_flags(dir),
                ["--heartbeat-interval", "20", "--election-timeout", "200"]
                    .map(str::to_owned)
                    .into(),
            ]
            .concat(),
        };
        let places = (0..3).map(place);
        let mut members: Vec<_> = places
            .map(|place| Etcd {
                child: place.launch(),
                place,
            })
            .collect();
        for Etcd { child, place } in &mut members {
            place.wait(child);
        }
        let members = Self {
            members,
            dir: dir.to_owned(),
        };
        for words in [
            "user add root:secret",
            "role add root",
            "user grant-role root root",
            "auth enable",
        ] {
            members.etcdctl(words);
        }
        members
    }

    #[allow(clippy::disallowed_methods, reason = "an operator's program")]
    fn etcdctl(&self, words: &str) {
        let file = |name: &str| self.dir.join(name);
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.members[0].place.client()])
            .arg("--cacert")
            .arg(file("ca.pem"))
            .arg("--cert")
            .arg(file("client.pem"))
            .arg("--key")
            .arg(file("client.key"))
            .args(words.split(' '))
            .output()
            .expect("etcdctl (package etcd-client)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {said}");
    }

    /// Of a node that turns to the members from the `first` on.
    pub fn options(&self, first: usize) -> EtcdOptions {
        let file = |name: &str| Some(self.dir.join(name));
        let mut endpoints: Vec<_> = self
            .members
            .iter()
            .map(|member| member.place.client())
            .collect();
        endpoints.rotate_left(first % self.members.len());
        EtcdOptions {
            endpoints,
            ca_file: file("ca.pem"),
            cert_file: file("client.pem"),
            key_file: file("client.key"),
            user: Some(("root".to_owned(), "secret".to_owned())),
            ..etcd_options()
        }
    }

    /// Kills the leader and returns which one that was.
    pub fn kill_leader(&mut self) -> usize {
        let leads = |member: &Etcd| {
            member
                .place
                .tells("/metrics", "\netcd_server_is_leader 1\n")
        };
        let leader = self.members.iter().position(leads).expect("a leader");
        self.members[leader].kill();
        leader
    }

    pub fn start_again(&mut self, member: usize) {
        self.members[member].start_again();
    }
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

/// Has the etcd with TLS ask for users: `client` and `root` may do everything. Who connects is who the
/// certificate names.
pub async fn ask_for_users(dir: &Path) {
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let identity = etcd_client::Identity::from_pem(read("client.pem"), read("client.key"));
    let tls = etcd_client::TlsOptions::new()
        .ca_certificate(etcd_client::Certificate::from_pem(read("ca.pem")))
        .identity(identity);
    let options = etcd_client::ConnectOptions::new().with_tls(tls);
    let mut operator = etcd_client::Client::connect([TLS_ENDPOINT], Some(options))
        .await
        .unwrap();
    operator.role_add("root").await.unwrap();
    for user in ["root", "client"] {
        operator.user_add(user, "secret", None).await.unwrap();
        operator.user_grant_role(user, "root").await.unwrap();
    }
    operator.auth_enable().await.unwrap();
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

/// The same with three members that want TLS and a user.
pub fn with_members(test: impl for<'a> FnOnce(&'a mut Members) -> LocalBoxFuture<'a, ()>) {
    let Some(_world) = World::new() else { return };
    let temp = tempfile::tempdir().unwrap();
    make_certificates(temp.path());
    let mut members = Members::start(temp.path());
    run(test(&mut members));
}

/// An authority, a server for 127.0.0.1, and two clients.
#[allow(
    clippy::disallowed_methods,
    reason = "openssl makes the test's certificates"
)]
pub fn make_certificates(dir: &Path) {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj /CN=ca -keyout ca.key -out ca.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj /CN=stranger -keyout stranger.key -out stranger.pem
        for name in server client nobody; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1,IP:192.168.50.254\\nextendedKeyUsage=serverAuth,clientAuth\\n' >$name.ext
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

pub fn run(test: LocalBoxFuture<'_, ()>) {
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
    condition: impl FnMut() -> F,
) -> T {
    eventually_within(Duration::from_secs(60), what, condition).await
}

/// The same for what takes its time.
pub async fn eventually_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < patience, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the value of a watch channel fulfils `condition`; returns it.
pub async fn until<T: Clone>(
    what: &str,
    receiver: &mut tokio::sync::watch::Receiver<T>,
    condition: impl FnMut(&T) -> bool,
) -> T {
    let found = tokio::time::timeout(Duration::from_secs(60), receiver.wait_for(condition)).await;
    found
        .unwrap_or_else(|_| panic!("never happened: {what}"))
        .expect("the sender is gone")
        .clone()
}

/// Boxes a test body.
pub fn boxed<'a>(future: impl Future<Output = ()> + 'a) -> LocalBoxFuture<'a, ()> {
    future.boxed_local()
}

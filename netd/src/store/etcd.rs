//! The store in etcd (API version 3), shared with flanneld.
//!
//! Keys: `<prefix>/config` and `<prefix>/subnets/<subnet key>`. Nothing else is ever written under
//! a name that begins with `<prefix>/subnets`: flanneld from 0.21.3 on drops every peer when it sees
//! a name there that it cannot read.

mod connection;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster::{LeaseAttrs, Subnets};
use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{
    Changes, Cursor, Holding, Listing, Malformed, Record, Store, StoreError, Term, decode,
};
use connection::{Connection, is_lease_gone};

/// Keys of one range response: what etcd and netd hold in memory at once while listing.
const PAGE: i64 = 1000;

/// How to reach etcd.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// URLs, tried in order; without a scheme `http`, or `https` when TLS files are given.
    pub endpoints: Vec<String>,
    /// Parent of all keys: `/coreos.com/network`. Repeated and trailing slashes are dropped.
    pub prefix: String,
    /// PEM file of the client's private key; together with `cert_file`.
    pub key_file: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the authorities that may sign the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// User and password.
    pub user: Option<(String, String)>,
}

/// Leases in etcd.
#[derive(Debug)]
pub struct EtcdStore {
    connection: Connection,
    keys: Keys,
}

/// The names of the keys.
#[derive(Clone, Debug)]
struct Keys {
    /// `<prefix>/config`.
    config: String,
    /// `<prefix>/subnets/`.
    subnets: String,
}

impl EtcdStore {
    /// Prepares a client; nothing is connected yet.
    ///
    /// # Errors
    /// There is no endpoint, or a TLS file is missing or not PEM.
    pub fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
        Ok(Self {
            connection: Connection::new(options)?,
            keys: Keys::under(&options.prefix),
        })
    }

    /// One page of the leases, appended to `listing`; where the next one starts.
    async fn page(
        &self,
        from: Vec<u8>,
        listing: &mut Listing,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut options = GetOptions::new()
            .with_range(end_of(&self.keys.subnets))
            .with_limit(PAGE);
        if let Some(Cursor(revision)) = listing.cursor {
            options = options.with_revision(signed(revision));
        }
        let mut response = self
            .connection
            .call("list the leases", |mut client| {
                let (from, options) = (from.clone(), options.clone());
                async move { client.get(from, Some(options)).await }
            })
            .await?;
        let revision = response
            .header()
            .map_or(0, |header| unsigned(header.revision()));
        listing.cursor.get_or_insert(Cursor(revision));
        let more = response.more();
        let kvs = response.take_kvs();
        let next = kvs
            .last()
            .filter(|_| more)
            .map(|kv| [kv.key(), &[0]].concat());
        for kv in kvs {
            match self.keys.record(&kv) {
                Ok(record) => listing.records.push(record),
                Err(malformed) => listing.malformed.push(malformed),
            }
        }
        Ok(next)
    }

    async fn list_all(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let mut from = Some(self.keys.subnets.clone().into_bytes());
        while let Some(key) = from {
            from = match self.page(key, &mut listing).await {
                // Compacted between two pages: the caller starts again, with the history of now.
                Err(error) if connection::is_compacted(&error) => {
                    return Err(StoreError::Compacted {
                        store: self.describe(),
                    });
                }
                page => page?,
            };
        }
        Ok(listing)
    }

    async fn read(&self, subnets: Subnets) -> Result<Option<Record>, StoreError> {
        let key = self.keys.of(&subnets);
        let response = self
            .connection
            .call("read the lease", |mut client| {
                let key = key.clone();
                async move { client.get(key, None).await }
            })
            .await?;
        Ok(response
            .kvs()
            .first()
            .and_then(|kv| self.keys.record(kv).ok()))
    }

    /// A new etcd lease.
    async fn grant(&self, ttl: Duration) -> Result<Term, StoreError> {
        let seconds = seconds(ttl);
        let before = Instant::now();
        let granted = self
            .connection
            .call("grant a lease", |mut client| async move {
                client.lease_grant(seconds, None).await
            })
            .await?;
        let ttl = Duration::from_secs(unsigned(granted.ttl()));
        Ok(Term::Until {
            id: granted.id(),
            ttl,
            expires: before + ttl,
        })
    }

    /// The running etcd lease `id`, its time started again, if it was granted for `ttl`.
    async fn continued(&self, id: i64, ttl: Duration) -> Result<Option<Term>, StoreError> {
        let response = self
            .connection
            .call("read the time to live", |mut client| async move {
                client.lease_time_to_live(id, None).await
            })
            .await?;
        if response.ttl() <= 0 || response.granted_ttl() != seconds(ttl) {
            return Ok(None);
        }
        self.keep_alive(id, Duration::from_secs(unsigned(response.granted_ttl())))
            .await
    }

    /// Starts the time of an etcd lease again; `None` when it has ended.
    async fn keep_alive(&self, id: i64, ttl: Duration) -> Result<Option<Term>, StoreError> {
        let before = Instant::now();
        let alive = self
            .connection
            .call("renew the lease", |mut client: Client| async move {
                match client.lease_keep_alive(id).await {
                    Ok(_) => Ok(true),
                    Err(error) if is_lease_gone(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(alive.then_some(Term::Until {
            id,
            ttl,
            expires: before + ttl,
        }))
    }

    /// Gives an unused etcd lease back. Failing is harmless: it ends by itself.
    async fn revoke(&self, term: Term) {
        if let Term::Until { id, .. } = term {
            let revoked = self
                .connection
                .call("revoke an unused lease", |mut client| async move {
                    client.lease_revoke(id).await
                })
                .await;
            if let Err(error) = revoked {
                tracing::debug!(%error, id, "an unused etcd lease is left to end by itself");
            }
        }
    }

    /// Writes if `condition` holds; else reads what is there instead.
    async fn put_if(
        &self,
        condition: Compare,
        subnets: &Subnets,
        attrs: &LeaseAttrs,
        options: PutOptions,
    ) -> Result<TxnResponse, StoreError> {
        let key = self.keys.of(subnets);
        let put = TxnOp::put(key.clone(), attrs.to_json(), Some(options));
        let txn = Txn::new()
            .when([condition])
            .and_then([put])
            .or_else([TxnOp::get(key, None)]);
        self.connection
            .call("write the lease", |mut client| {
                let txn = txn.clone();
                async move { client.txn(txn).await }
            })
            .await
    }

    async fn create_key(
        &self,
        subnets: Subnets,
        attrs: &LeaseAttrs,
        ttl: Duration,
    ) -> Result<Option<Holding>, StoreError> {
        let term = self.grant(ttl).await?;
        let absent = Compare::version(self.keys.of(&subnets), CompareOp::Equal, 0);
        let response = self.put_if(absent, &subnets, attrs, attached(term)).await?;
        let holding = match found(&response) {
            None => Some(written(&response, subnets, None, term)),
            // A request that was sent again after a lost answer finds its own first writing.
            Some(kv) if attached_to(&kv, term) => Some(Holding {
                subnets,
                revision: unsigned(kv.mod_revision()),
                birth: unsigned(kv.create_revision()),
                term,
            }),
            Some(_) => None,
        };
        if holding.is_none() {
            self.revoke(term).await;
        }
        Ok(holding)
    }

    async fn adopt_key(
        &self,
        record: &Record,
        attrs: &LeaseAttrs,
        ttl: Duration,
    ) -> Result<Option<Holding>, StoreError> {
        let term = match record.term {
            None => Term::Reserved,
            Some(id) => match self.continued(id, ttl).await? {
                Some(term) => term,
                None => self.grant(ttl).await?,
            },
        };
        self.replace(
            record.subnets,
            record.revision,
            record.birth,
            term,
            attrs,
            attached(term),
        )
        .await
    }

    /// Compare-and-swap on the modification revision.
    async fn replace(
        &self,
        subnets: Subnets,
        revision: u64,
        birth: u64,
        term: Term,
        attrs: &LeaseAttrs,
        options: PutOptions,
    ) -> Result<Option<Holding>, StoreError> {
        let same =
            Compare::mod_revision(self.keys.of(&subnets), CompareOp::Equal, signed(revision));
        let response = self.put_if(same, &subnets, attrs, options).await?;
        let succeeded = response.succeeded();
        Ok(succeeded.then(|| written(&response, subnets, Some(birth), term)))
    }
}

impl Keys {
    fn under(prefix: &str) -> Self {
        let prefix = clean(prefix);
        Self {
            config: format!("{prefix}/config"),
            subnets: format!("{prefix}/subnets/"),
        }
    }

    fn of(&self, subnets: &Subnets) -> String {
        format!("{}{}", self.subnets, subnets.key())
    }

    /// The name under `subnets/`.
    fn name(&self, kv: &KeyValue) -> String {
        let key = String::from_utf8_lossy(kv.key());
        key.strip_prefix(&self.subnets).unwrap_or(&key).to_owned()
    }

    fn record(&self, kv: &KeyValue) -> Result<Record, Malformed> {
        let key = self.name(kv);
        let (subnets, attrs) = decode(&key, kv.value())?;
        Ok(Record {
            odd_key: (subnets.key() != key).then(|| key.into()),
            subnets,
            attrs: attrs.into(),
            revision: unsigned(kv.mod_revision()),
            birth: unsigned(kv.create_revision()),
            term: Some(kv.lease()).filter(|lease| *lease != 0),
        })
    }
}

impl Store for EtcdStore {
    fn describe(&self) -> String {
        self.connection.describe()
    }

    fn network_config(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            let response = self
                .connection
                .call("read the network configuration", |mut client| async move {
                    client.get(self.keys.config.as_str(), None).await
                })
                .await?;
            Ok(response.kvs().first().map(|kv| kv.value().to_vec()))
        }
        .boxed()
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
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.create_key(subnets, attrs, ttl).boxed()
    }

    fn adopt<'a>(
        &'a self,
        record: &'a Record,
        attrs: &'a LeaseAttrs,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.adopt_key(record, attrs, ttl).boxed()
    }

    fn rewrite<'a>(
        &'a self,
        holding: &'a Holding,
        attrs: &'a LeaseAttrs,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        let Holding {
            subnets,
            revision,
            birth,
            term,
        } = *holding;
        // The revision is unchanged, so the key still has the term that it was written with.
        let options = PutOptions::new().with_ignore_lease();
        self.replace(subnets, revision, birth, term, attrs, options)
            .boxed()
    }

    fn renew<'a>(
        &'a self,
        holding: &'a Holding,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        async move {
            match holding.term {
                Term::Reserved => Ok(Some(*holding)),
                Term::Until { id, ttl, .. } => {
                    let term = self.keep_alive(id, ttl).await?;
                    Ok(term.map(|term| Holding { term, ..*holding }))
                }
            }
        }
        .boxed()
    }

    fn delete(&self, subnets: Subnets, revision: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move {
            let key = self.keys.of(&subnets);
            let same = Compare::mod_revision(key.clone(), CompareOp::Equal, signed(revision));
            let txn = Txn::new().when([same]).and_then([TxnOp::delete(key, None)]);
            let response = self
                .connection
                .call("delete the lease", |mut client| {
                    let txn = txn.clone();
                    async move { client.txn(txn).await }
                })
                .await?;
            Ok(response.succeeded())
        }
        .boxed()
    }

    fn watch(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>> {
        self.watch_from(cursor).boxed()
    }

    fn has_forgetful_readers(&self) -> bool {
        true
    }
}

/// A path with one slash at its start, none at its end, and none repeated.
fn clean(prefix: &str) -> String {
    prefix
        .split('/')
        .filter(|part| !part.is_empty())
        .fold(String::new(), |path, part| path + "/" + part)
}

/// The end of the range of all keys that begin with `prefix`, which ends with a slash.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// etcd counts whole seconds.
fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis().div_ceil(1000))
        .unwrap_or(i64::MAX)
        .max(1)
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn attached(term: Term) -> PutOptions {
    match term {
        Term::Reserved => PutOptions::new(),
        Term::Until { id, .. } => PutOptions::new().with_lease(id),
    }
}

fn attached_to(kv: &KeyValue, term: Term) -> bool {
    matches!(term, Term::Until { id, .. } if id == kv.lease())
}

/// What a failed condition found under the key; `None` when the condition held.
fn found(response: &TxnResponse) -> Option<KeyValue> {
    response
        .op_responses()
        .into_iter()
        .find_map(|answer| match answer {
            TxnOpResponse::Get(mut get) if !response.succeeded() => {
                get.take_kvs().into_iter().next()
            }
            _ => None,
        })
}

fn written(response: &TxnResponse, subnets: Subnets, birth: Option<u64>, term: Term) -> Holding {
    let revision = response
        .header()
        .map_or(0, |header| unsigned(header.revision()));
    Holding {
        subnets,
        revision,
        birth: birth.unwrap_or(revision),
        term,
    }
}

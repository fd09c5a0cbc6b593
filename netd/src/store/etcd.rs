//! The store in etcd (API version 3), shared with flanneld.
//!
//! Keys: `<prefix>/config` and `<prefix>/subnets/<subnet key>`. Nothing else is ever written under
//! a name that begins with `<prefix>/subnets`: flanneld from 0.21.3 on drops every peer when it sees
//! a name there that it cannot read.

mod connection;
mod keys;
mod renewal;
mod term;
mod tls;
mod watch;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use cluster::{LeaseAttrs, Subnets};
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::health::Finding;

use super::{Changes, Cursor, Holding, Listing, Record, Store, StoreError, Term};
use connection::Connection;
use keys::{Keys, end_of};

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
        if let Some(Cursor::Number(revision)) = listing.cursor {
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
        listing.cursor.get_or_insert(Cursor::Number(revision));
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
                Term::Reserved | Term::Node => Ok(Some(*holding)),
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

    fn endpoints(&self) -> Vec<String> {
        self.connection.endpoints().to_vec()
    }

    fn trouble(&self) -> Option<Finding> {
        self.connection.trouble()
    }
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

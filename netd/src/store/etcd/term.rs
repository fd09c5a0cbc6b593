//! etcd's own leases: they end by themselves, and the keys attached to them with them.

use std::time::{Duration, Instant};

use etcd_client::{Client, KeyValue, PutOptions};

use super::connection::is_lease_gone;
use super::{EtcdStore, unsigned};
use crate::store::{StoreError, Term};

impl EtcdStore {
    /// A new etcd lease.
    pub(super) async fn grant(&self, ttl: Duration) -> Result<Term, StoreError> {
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
    pub(super) async fn continued(
        &self,
        id: i64,
        ttl: Duration,
    ) -> Result<Option<Term>, StoreError> {
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
    pub(super) async fn keep_alive(
        &self,
        id: i64,
        ttl: Duration,
    ) -> Result<Option<Term>, StoreError> {
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
    pub(super) async fn revoke(&self, term: Term) {
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
}

/// etcd counts whole seconds.
fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis().div_ceil(1000))
        .unwrap_or(i64::MAX)
        .max(1)
}

pub(super) fn attached(term: Term) -> PutOptions {
    match term {
        Term::Reserved | Term::Node => PutOptions::new(),
        Term::Until { id, .. } => PutOptions::new().with_lease(id),
    }
}

pub(super) fn attached_to(kv: &KeyValue, term: Term) -> bool {
    matches!(term, Term::Until { id, .. } if id == kv.lease())
}

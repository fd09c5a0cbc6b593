//! Writes of leases: each is one transaction that compares and swaps.

use std::time::Duration;

use cluster::{LeaseAttrs, Subnets};
use etcd_client::{
    Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use super::term::{attached, attached_to};
use super::{EtcdStore, signed, unsigned};
use crate::store::{Holding, Record, StoreError, Term};

impl EtcdStore {
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

    pub(super) async fn create_key(
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

    pub(super) async fn adopt_key(
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
    pub(super) async fn replace(
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

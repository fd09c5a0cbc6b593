//! The names of the keys, and what lies under them.

use cluster::Subnets;
use etcd_client::KeyValue;

use super::unsigned;
use crate::store::{Malformed, Record, decode};

/// The names of the keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// `<prefix>/config`.
    pub(super) config: String,
    /// `<prefix>/subnets/`.
    pub(super) subnets: String,
}

impl Keys {
    pub(super) fn under(prefix: &str) -> Self {
        let prefix = clean(prefix);
        Self {
            config: format!("{prefix}/config"),
            subnets: format!("{prefix}/subnets/"),
        }
    }

    pub(super) fn of(&self, subnets: &Subnets) -> String {
        format!("{}{}", self.subnets, subnets.key())
    }

    /// The name under `subnets/`.
    pub(super) fn name(&self, kv: &KeyValue) -> String {
        let key = String::from_utf8_lossy(kv.key());
        key.strip_prefix(&self.subnets).unwrap_or(&key).to_owned()
    }

    pub(super) fn record(&self, kv: &KeyValue) -> Result<Record, Malformed> {
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

/// A path with one slash at its start, none at its end, and none repeated.
fn clean(prefix: &str) -> String {
    prefix
        .split('/')
        .filter(|part| !part.is_empty())
        .fold(String::new(), |path, part| path + "/" + part)
}

/// The end of the range of all keys that begin with `prefix`, which ends with a slash.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

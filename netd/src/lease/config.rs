//! The network configuration, waited for.

use std::time::Duration;

use cluster::{ConfigError, NetworkConfig};

use super::{LeaseError, Timing};
use crate::retry::Trouble;
use crate::store::{Store, StoreError};

/// How often to look for a configuration that is missing or wrong, as flanneld does.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no configuration yet.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// There is none.
    #[error("flannel config not found: put one at {0}")]
    Absent(String),
    /// There is one, of no use.
    #[error("the network configuration in {store} cannot be used")]
    Wrong {
        /// The store, for people.
        store: String,
        /// What is wrong.
        #[source]
        source: ConfigError,
    },
    /// The store does not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the network configuration; waits while the store is unreachable and while the
/// configuration is missing or wrong, logs why, once per reason, and calls `waiting` each time.
///
/// # Errors
/// The configuration turns both address families off. flanneld exits for that alone.
pub async fn wait_for_config(
    store: &dyn Store,
    timing: &Timing,
    mut waiting: impl FnMut(&Missing),
) -> Result<NetworkConfig, LeaseError> {
    let mut trouble = Trouble::new("read the network configuration");
    loop {
        match read(store).await {
            Ok(config) => {
                trouble.end();
                return Ok(config);
            }
            Err(Missing::Wrong {
                source: source @ ConfigError::NoStack,
                ..
            }) => {
                return Err(LeaseError::Config(source));
            }
            Err(missing) => {
                trouble.begin(&missing);
                waiting(&missing);
            }
        }
        tokio::time::sleep(LOOK.min(timing.max_backoff)).await;
    }
}

async fn read(store: &dyn Store) -> Result<NetworkConfig, Missing> {
    let text = store
        .network_config()
        .await?
        .ok_or_else(|| Missing::Absent(store.config_place()))?;
    NetworkConfig::parse_for(&text, store.allocation()).map_err(|source| Missing::Wrong {
        store: store.describe(),
        source,
    })
}

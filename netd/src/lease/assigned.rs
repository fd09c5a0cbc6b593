//! Stores that give nodes their subnets: what they give is waited for, and they are told that the
//! node's network works.

use tokio::sync::watch;

use super::{OwnStatus, Timing};
use crate::retry::Trouble;
use crate::store::{Assignment, Store, StoreError};

/// What the store gives this node; nothing where nodes draw their own. Waits while the store is out of
/// reach or has nothing for this node yet, logs why, once per reason, and calls `waiting` each time.
///
/// # Errors
/// The store refuses.
pub async fn wait_for_assignment(
    store: &dyn Store,
    timing: &Timing,
    mut waiting: impl FnMut(&StoreError),
) -> Result<Option<Assignment>, StoreError> {
    let mut trouble = Trouble::new("learn this node's subnet");
    let mut backoff = timing.backoff();
    loop {
        match store.assignment().await {
            Ok(assignment) => {
                trouble.end();
                return Ok(assignment);
            }
            Err(error) if error.is_passing() => {
                trouble.begin(&error);
                waiting(&error);
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Tells the store that this node's network works, and again each time that the lease had to be taken
/// anew: the cluster made the node anew then. What fails is tried again; ends with the lease's keeper.
pub async fn announce(store: &dyn Store, mut lease: watch::Receiver<OwnStatus>, timing: &Timing) {
    let mut trouble = Trouble::new("tell the cluster that this node's network works");
    loop {
        let told = lease.borrow_and_update().reclaims;
        let mut backoff = timing.backoff();
        while let Err(error) = store.announce().await {
            trouble.begin(&error);
            tokio::time::sleep(backoff.pause()).await;
        }
        trouble.end();
        if lease.wait_for(|own| own.reclaims != told).await.is_err() {
            return;
        }
    }
}

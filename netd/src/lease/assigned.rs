//! Stores that give nodes their subnets: what they give is waited for, and they are told how the node's
//! network does.

use tokio::sync::watch;

use super::keep::changed;
use super::{OwnStatus, Timing};
use crate::retry::Trouble;
use crate::store::{Assignment, NodeNetwork, Store, StoreError};

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

/// Tells the store how this node's network does, when that changes, and each time that the lease had to be
/// taken anew: the cluster made the node anew then. What fails is tried again; ends with the lease's keeper.
pub async fn announce(
    store: &dyn Store,
    mut lease: watch::Receiver<OwnStatus>,
    mut network: watch::Receiver<NodeNetwork>,
    timing: &Timing,
) {
    let mut trouble = Trouble::new("tell the cluster how this node's network does");
    let mut backoff = timing.backoff();
    loop {
        let reclaims = lease.borrow_and_update().reclaims;
        let now = network.borrow_and_update().clone();
        if let Err(error) = store.announce(&now).await {
            trouble.begin(&error);
            tokio::time::sleep(backoff.pause()).await;
            continue;
        }
        trouble.end();
        backoff.reset();
        let made_anew = async { lease.wait_for(|own| own.reclaims != reclaims).await.is_ok() };
        tokio::select! {
            goes_on = made_anew => if !goes_on { return },
            () = changed(&mut network) => {}
        }
    }
}

//! TLS files that have changed, beside a connection that works: they are tried until etcd lets the
//! network configuration be read with them. A certificate may be there before its key, or before the server
//! knows its authority.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Line, lock};
use crate::health::{Finding, Severity};
use crate::retry::Backoff;

/// Pauses between trials.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// Files that do not fit each other are what a renewal looks like from outside while it lasts.
const PATIENCE: Duration = Duration::from_secs(60);
const REMEDY: &str = "put a certificate there with its key, and the authority of etcd's own; netd tries \
    again by itself";

/// Tries, until the files as they are then are those in use.
pub(super) async fn renew(line: Arc<Line>) {
    let [shortest, longest] = PAUSES;
    let mut backoff = Backoff::between(shortest, longest);
    let counts_from = Instant::now() + PATIENCE;
    while let Err(error) = attempt(&line).await {
        let error = crate::chain(error.as_ref());
        tracing::debug!(error, "not connected with the TLS files as they are now");
        *lock(&line.trouble) = Some(finding(&error).counting_from(counts_from));
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            // What could not be had while there was no etcd may be what the next connection needs.
            () = line.lost.notified() => {}
        }
    }
    *lock(&line.trouble) = None;
    tracing::info!("the TLS files of etcd have changed, and are used from now on");
}

/// Nobody waits for this: requests go over the connection that there is.
async fn attempt(line: &Line) -> Result<(), Box<dyn Error + Send + Sync>> {
    let said = line.files.read()?;
    let at = line.current.lock().await.endpoint;
    let client = line.prove(at, said.options()).await?;
    let mut current = line.current.lock().await;
    current.endpoint = at;
    current.tls = said;
    current.client = Some(client);
    Ok(())
}

/// What somebody should do something about.
pub(super) fn finding(error: &str) -> Finding {
    let what = format!(
        "the TLS files of etcd have changed and cannot be used as they are now, what they said before is \
         used: {error}"
    );
    Finding::new(Severity::Degraded, "", what).remedy(REMEDY)
}

//! STATUS: whether the kernel has what ADD needs.

use attach::status::{kernel_has, not_available};
use cni::Call;
use kernel::{
    Netlink, NewKind,
    qdisc::{QdiscKind, Tbf},
};

use crate::{
    config::{Config, Queue},
    error::Error,
};

/// Asks the kernel for ifb, the token bucket, and fq_codel where that is configured. Limits may
/// come with the pod, so that they matter also where none are configured.
///
/// # Errors
/// A field of the wrong type; code 50 with what is in ADD's way.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let config = Config::read(call)?.map_err(not_available)?;
    attach::status::may_change_networks()?;
    kernel_has(&NewKind::Ifb)?;
    let host = Netlink::open().map_err(Error::from)?;
    let bucket = QdiscKind::Tbf(Tbf::new(1, 1, config.latency));
    let fair = (config.queue == Queue::FqCodel).then_some(QdiscKind::FqCodel);
    for kind in [bucket].into_iter().chain(fair) {
        if !host.has_qdisc_kind(&kind).map_err(Error::from)? {
            return Err(not_available(Error::NoSuchQdisc(kind.name().to_owned())));
        }
    }
    Ok(())
}

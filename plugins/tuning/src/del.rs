//! DEL: gives back what was there before, as far as it is still there, and forgets it.

use attach::{Errors, netns};
use cni::{Call, Detachment};
use kernel::{NetNs, Netlink};

use crate::{
    attributes::Attributes,
    config,
    error::Error,
    kept::{HostEnd, Kept, KeptFile},
    pod::{self, Pod},
    sysctl,
};

/// Gives back what podwire or the reference plugin kept. What the kernel does not take back is
/// told in the log: the interface goes with its pod, and must not keep it.
///
/// # Errors
/// The configuration or the namespace's path cannot be looked at; the file cannot be removed, or
/// there is nothing left to read it by.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let directory = config::kept_in(call).unwrap_or_else(|(error, default)| {
        errors.note(Err(error));
        default
    });
    let file = KeptFile::of(&directory, attachment);
    // What it says must not be lost.
    if let Some(kept) = file.read()? {
        match netns::open_if_there(attachment.netns.as_deref()) {
            Ok(Some(ns)) => give_back(ns, attachment.ifname.as_str(), &kept),
            Ok(None) => {}
            Err(error) => _ = errors.note(Err(error.into())),
        }
    }
    errors.note(file.remove().map_err(Into::into));
    errors.into_result()
}

fn give_back(ns: NetNs, ifname: &str, kept: &Kept) {
    match kept.is_of(&ns) {
        Ok(true) => {}
        Ok(false) => {
            let path = ns.path().display();
            tracing::warn!(%path, "is another pod's by now, and stays as it is");
            return;
        }
        Err(error) => return told(Err(error)),
    }
    let own = kept.podwire.as_ref();
    let pod = match Pod::new(ns, ifname) {
        Ok(pod) => pod,
        Err(error) => return told(Err(error)),
    };
    let sysctls = own.iter().flat_map(|own| &own.sysctl);
    let (behind_mtu, others): (Vec<_>, Vec<_>) =
        sysctls.partition(|(file, _)| sysctl::is_reset_by_mtu(file));
    for (file, value) in others {
        told(sysctl::write(&pod.ns, file, value));
    }
    told(give_link_back(
        &pod,
        &kept.link,
        own.and_then(|own| own.host_end.as_ref()),
    ));
    for (file, value) in behind_mtu {
        told(sysctl::write(&pod.ns, file, value));
    }
}

fn give_link_back(pod: &Pod, link: &Attributes, host_end: Option<&HostEnd>) -> Result<(), Error> {
    let Some(there) = pod.link()? else {
        return Ok(());
    };
    for one in link.each() {
        told(one.set(&pod.netlink, there.index, pod.name()));
    }
    if let Some(kept) = host_end {
        let host = Netlink::open()?;
        if let Some(end) = pod::kept_host_end(&host, kept, &there)? {
            pod::mtu(kept.mtu).set(&host, end.index, end.name.as_str())?;
        }
    }
    Ok(())
}

fn told<E: std::error::Error + Send + Sync + 'static>(outcome: Result<(), E>) {
    if let Err(error) = outcome {
        let error = cni::Error::internal(error);
        tracing::warn!(%error, "not given back");
    }
}

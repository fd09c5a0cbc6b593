//! CHECK: what is configured is there, whether podwire or the reference plugin set it.

use attach::{chained, netns};
use cni::{Attachment, Call};
use kernel::{Link, Netlink};

use crate::{
    config::Config,
    error::Error,
    kept::KeptFile,
    pod::{self, Pod},
    sysctl::{self, Setting},
};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call, attachment.ifname.as_str())?;
    chained::previous(call)?;
    let pod = Pod::new(netns::open(&attachment.netns)?, attachment.ifname.as_str())?;
    for setting in &config.sysctls {
        has_value(&pod, setting)?;
    }
    let link = pod.link()?;
    let link = link.ok_or_else(|| Error::LinkGone(pod.name().to_owned()))?;
    config.link.check(&link)?;
    Ok(host_end(&config, attachment, &link)?)
}

fn has_value(pod: &Pod, setting: &Setting) -> Result<(), Error> {
    match sysctl::read(&pod.ns, &setting.file)? {
        Some(seen) if !sysctl::is_same(&setting.file, &seen, &setting.value) => {
            Err(Error::OtherValue {
                path: sysctl::path(&setting.file),
                wanted: setting.value.clone(),
                seen,
            })
        }
        // One that can only be written is as good as any.
        _ => Ok(()),
    }
}

/// The pair's other end has the MTU as well, if podwire set it: the reference plugin does not.
fn host_end(config: &Config, attachment: &Attachment, link: &Link) -> Result<(), Error> {
    let kept = KeptFile::of(&config.data_dir, attachment).read()?;
    let kept = kept.and_then(|kept| kept.podwire?.host_end);
    let (Some(kept), Some(mtu)) = (kept, config.link.mtu) else {
        return Ok(());
    };
    match pod::kept_host_end(&Netlink::open()?, &kept, link)? {
        Some(end) => pod::host_end_mtu(&end, mtu).check(&end),
        None => Ok(()),
    }
}

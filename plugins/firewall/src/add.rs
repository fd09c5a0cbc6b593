//! ADD: lets the packets of every address of the previous result through and passes that on.

use attach::{
    Identity,
    record::{self, Pod},
};
use cni::{AddResult, Attachment, Call};
use ipnetwork::IpNetwork;
use kernel::Undo;

use crate::{
    backend,
    config::{Backend, Config},
    error::Error,
    rules::{self, Firewall, Wanted},
};

/// What CHECK and ADD work on.
pub(crate) struct Task<'a> {
    pub owner: Identity<'a>,
    pub previous: AddResult,
    pub addresses: Vec<IpNetwork>,
    pub wanted: Wanted,
}

impl<'a> Task<'a> {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// No previous result, a configuration that cannot work.
    pub(crate) fn read(call: &'a Call<'_>, attachment: &'a Attachment) -> Result<Self, cni::Error> {
        let config = Config::read(call)?;
        let previous = call.prev_result()?.ok_or(Error::NoPreviousResult)?;
        let isolation = config.isolation(&previous)?;
        Ok(Self {
            owner: Identity::new(call, attachment),
            addresses: addresses(&previous),
            wanted: Wanted {
                backend: backend::choose(&config)?,
                admin_chain: config.admin_chain,
                zone: config.zone,
                isolation,
            },
            previous,
        })
    }
}

/// Every address of a result, whatever its interface.
pub(crate) fn addresses(result: &AddResult) -> Vec<IpNetwork> {
    result.ips.iter().map(|ip| ip.address).collect()
}

/// Makes the rules. A failure leaves none of them; what all pods share may be left.
///
/// # Errors
/// The configuration cannot work, or the backend refuses.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let task = Task::read(call, attachment)?;
    let mut undo = Undo::new();
    if !task.addresses.is_empty() {
        make(Pod::new(call, attachment), &task, &mut undo)?;
    }
    undo.commit();
    Ok(task.previous)
}

fn make<'a>(pod: Pod<'a>, task: &'a Task<'a>, undo: &mut Undo<'a>) -> Result<(), Error> {
    let earlier = record::keep::<Firewall>(pod, &task.addresses, task.wanted.clone());
    undo.push("rules", move || {
        let removed = take_back(task);
        let back = earlier.come_back();
        removed?;
        Ok(back?)
    })?;
    if rules::make(&task.owner, &task.addresses, &task.wanted)? {
        record::restore_and_log::<Firewall>();
    }
    Ok(())
}

fn take_back(task: &Task<'_>) -> Result<(), Error> {
    let Wanted { backend, zone, .. } = &task.wanted;
    let zone = (*backend == Backend::Firewalld).then(|| zone.clone());
    rules::remove(&task.owner, &task.addresses, || Ok(zone))
}

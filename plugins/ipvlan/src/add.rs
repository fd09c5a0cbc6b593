//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{Attaching, NewPodLink, conf};
use cni::{AddResult, Attachment, Call};
use kernel::{NewKind, Undo};

use crate::{INTERFACE, config::Config, error::Error};

/// Attaches the container. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)?;
    let adding = Adding {
        previous: call.prev_result()?,
        base: Attaching::start(call, attachment, &config.ipam)?,
        config,
    };
    adding.can_have_addresses()?;
    Ok(adding.base.run(|undo| adding.steps(undo))?)
}

/// One ADD.
struct Adding<'a> {
    base: Attaching<'a>,
    config: Config,
    /// What the plugins before this one made.
    previous: Option<AddResult>,
}

impl Adding<'_> {
    /// IPAM's, or those of the plugins before.
    fn can_have_addresses(&self) -> Result<(), Error> {
        let has_previous = self
            .previous
            .as_ref()
            .is_some_and(|added| !added.ips.is_empty());
        match self.config.ipam.is_none() && !has_previous {
            true => Err(Error::NoAddresses),
            false => Ok(()),
        }
    }

    fn steps<'u>(&'u self, undo: &mut Undo<'u>) -> Result<AddResult, Error> {
        let parent = self
            .base
            .parent(self.config.master(self.previous.as_ref())?)?;
        let wanted = NewPodLink {
            kind: NewKind::Ipvlan(self.config.ipvlan),
            parent: Some(&parent),
            mtu: conf::mtu(self.config.mtu)?,
            mac: None,
        };
        let link = self.base.make_link(&wanted, undo)?;
        let result = self.addresses(undo)?;
        Ok(self.base.configure(&link, result)?)
    }

    /// Addresses and routes; DNS is the configuration's, as in the reference plugin.
    fn addresses<'u>(&'u self, undo: &mut Undo<'u>) -> Result<AddResult, Error> {
        let given = match &self.previous {
            Some(previous) if self.config.ipam.is_none() => previous.clone(),
            _ => self.base.addresses(INTERFACE, &self.config.dns, undo)?,
        };
        let mut result = AddResult {
            ips: given.ips,
            routes: given.routes,
            dns: self.config.dns.clone(),
            ..AddResult::default()
        };
        for ip in &mut result.ips {
            ip.interface = Some(INTERFACE);
        }
        Ok(result)
    }
}

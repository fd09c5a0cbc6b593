//! The IPAM plugin `host-local`.
use std::{borrow::Cow, collections::HashSet, net::IpAddr, path::Path};

use cni::{
    AddResult, Attachment, Call, Detachment, IpConfig, Plugin, PluginSchema, ValidAttachment, code,
};

use crate::{
    Error, FileStore, Owner, RangeSet, Store, allocate,
    config::{Config, Net, Place, takes_ranges},
    file_store::{Holder, probe},
    resolv_conf,
};

/// Hands out addresses of ranges, and keeps them in files on this host.
#[derive(Debug)]
pub struct HostLocal {
    index_dir: Cow<'static, str>,
}

/// The plugin as it runs on a node.
pub static HOST_LOCAL: HostLocal = HostLocal {
    index_dir: Cow::Borrowed("/run/podwire/host-local"),
};

impl HostLocal {
    /// With its indexes below `index_dir`, which may be lost at any time.
    pub fn with_index_dir(index_dir: impl Into<String>) -> Self {
        Self {
            index_dir: Cow::Owned(index_dir.into()),
        }
    }

    fn locked<T>(
        &self,
        call: &Call<'_>,
        data_dir: &Path,
        work: impl FnOnce(&mut FileStore) -> Result<T, Error>,
    ) -> Result<T, Error> {
        FileStore::locked(
            data_dir,
            call.network.as_str(),
            Path::new(&*self.index_dir),
            work,
        )
    }

    fn locked_to_release<T>(
        &self,
        call: &Call<'_>,
        data_dir: &Path,
        work: impl FnOnce(&mut FileStore) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        FileStore::locked_to_release(
            data_dir,
            call.network.as_str(),
            Path::new(&*self.index_dir),
            work,
        )
    }

    fn try_add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error> {
        let config = Config::load(call)?;
        let dns = config
            .resolv_conf
            .as_deref()
            .map(resolv_conf::read)
            .transpose()?;
        let owner = owner(attachment);
        let allocations = self.locked(call, &config.data_dir, |store| {
            allocate(store, &config.sets, &config.requested, &owner)
        })?;
        let ips = allocations.into_iter().map(|allocation| IpConfig {
            address: allocation.address,
            gateway: Some(allocation.gateway),
            interface: None,
        });
        Ok(AddResult {
            ips: ips.collect(),
            routes: config.routes,
            dns: dns.unwrap_or_default(),
            ..AddResult::default()
        })
    }

    fn try_del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
        let place = Place::load(call)?;
        let owner = owner(attachment);
        // The reference releases once per range set, and what an old release wrote only when
        // there is nothing else: so the second pass takes it in any case.
        let legacy_too = place.sets > 1;
        // A result that cannot be understood is as good as none.
        let added = call.prev_result().ok().flatten().unwrap_or_default();
        let given: Vec<IpAddr> = added.ips.iter().map(|ip| ip.address.ip()).collect();
        self.locked_to_release(call, &place.data_dir, |store| {
            store.release(&owner, legacy_too, &given)
        })
        .map(Option::unwrap_or_default)
    }

    fn try_check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
        let place = Place::load(call)?;
        if !place.configured {
            return Err(Error::NoIpam);
        }
        let owner = owner(attachment);
        let held = self.locked_to_release(call, &place.data_dir, |store| store.holds(&owner))?;
        held.unwrap_or_default()
            .then_some(())
            .ok_or_else(|| Error::NotFound(owner.container.to_owned()))
    }

    fn try_gc(&self, call: &Call<'_>, valid: &[ValidAttachment]) -> Result<Vec<Error>, Error> {
        let place = Place::load(call)?;
        let valid: HashSet<(&str, &str)> = valid
            .iter()
            .map(|one| (&*one.container_id, &*one.ifname))
            .collect();
        let containers: HashSet<&str> = valid.iter().map(|(container, _)| *container).collect();
        if !place.data_dir.join(call.network.as_str()).exists() {
            return Ok(Vec::new());
        }
        let removed = self.locked_to_release(call, &place.data_dir, |store| {
            store.retain(|holder| match holder {
                Holder::Attachment { container, ifname } => {
                    valid.contains(&(container.as_str(), ifname.as_str()))
                }
                Holder::Container(container) => containers.contains(container.as_str()),
                Holder::Nobody => false,
            })
        });
        removed.map(Option::unwrap_or_default)
    }

    fn try_status(&self, call: &Call<'_>) -> Result<(), Error> {
        let config = match Config::load(call) {
            // The runtime may supply them with ADD: `ipRanges` come with a container only.
            Err(Error::NoRanges) => None,
            config => Some(config?),
        };
        let place = Place::load(call)?;
        probe(&place.data_dir, call.network.as_str())?;
        let Some(config) = config else { return Ok(()) };
        if let Some(path) = &config.resolv_conf {
            resolv_conf::read(path)?;
        }
        // No address but the gateway's: full before anything is taken.
        first_full(&config.sets, &HashSet::new())?;
        if !place.data_dir.join(call.network.as_str()).exists() {
            return Ok(());
        }
        self.locked(call, &place.data_dir, |store| {
            every_set_can_serve(store, &config.sets)
        })
    }
}

/// An attachment needs an address of every set. What is cheap to know comes first: how many
/// addresses are taken at all, then how many have a file, and only then whether each has an owner.
fn every_set_can_serve(store: &mut FileStore, sets: &[RangeSet]) -> Result<(), Error> {
    if let Some(count) = store.count()
        && sets.iter().all(|set| u128::from(count) < set.capacity())
    {
        return Ok(());
    }
    if first_full(sets, &store.named()?).is_ok() {
        return Ok(());
    }
    first_full(sets, &store.taken()?)
}

fn first_full(sets: &[RangeSet], taken: &HashSet<IpAddr>) -> Result<(), Error> {
    let is_full = |set: &&RangeSet| {
        let count = taken.iter().filter(|address| set.can_serve(**address));
        count.count() as u128 >= set.capacity()
    };
    match sets.iter().find(is_full) {
        Some(set) => Err(Error::Exhausted(set.to_string())),
        None => Ok(()),
    }
}

fn owner<N>(attachment: &Attachment<N>) -> Owner<'_> {
    Owner {
        container: attachment.container_id.as_str(),
        ifname: attachment.ifname.as_str(),
    }
}

impl Plugin for HostLocal {
    fn name(&self) -> &'static str {
        "host-local"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Ipam
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<Net>(
            "hands out addresses of ranges, and keeps them in files on the node",
            include_str!("../host-local.conflist"),
        )
    }

    /// Ranges may come from the runtime, where the configuration says that it takes them.
    fn validate(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        match Config::load(call) {
            Err(Error::NoRanges) if takes_ranges(call) => Ok(()),
            read => Ok(read?.is_usable()?),
        }
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
        Ok(self.try_add(call, attachment)?)
    }

    /// Releases by owner; ranges and `CNI_ARGS` are not looked at.
    fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
        Ok(self.try_del(call, attachment)?)
    }

    /// Whether the attachment holds an address at all; which one is not compared.
    fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
        Ok(self.try_check(call, attachment)?)
    }

    /// Removes the reservations of attachments that are not `valid`.
    fn gc(&self, call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
        let Some(valid) = valid else { return Ok(()) };
        let failed = self.try_gc(call, valid)?;
        let texts: Vec<String> = failed.iter().map(Error::text).collect();
        match texts.is_empty() {
            true => Ok(()),
            false => Err(cni::Error::msg(texts.join("; "))),
        }
    }

    /// Fails where ADD would fail for any container: with a configuration that cannot be used, a
    /// directory that cannot be written, or a range set without a free address.
    fn status(&self, call: &Call<'_>) -> Result<(), cni::Error> {
        self.try_status(call).map_err(|error| {
            let text = "host-local cannot allocate addresses";
            let code = match error.code() {
                code::TRY_AGAIN_LATER => code::TRY_AGAIN_LATER,
                _ => code::PLUGIN_NOT_AVAILABLE,
            };
            let printed = cni::Error::new(code, text).with_details(error.text());
            cni::Error {
                source: Some(Box::new(error)),
                ..printed
            }
        })
    }
}

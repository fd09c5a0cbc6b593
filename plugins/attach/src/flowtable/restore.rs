//! What somebody flushed is made again.

use kernel::{IfName, IfNameError, Netlink};
use serde::{Deserialize, Serialize};

use super::{Behind, Error, Uplinks, take_out};
use crate::{
    Identity,
    record::{Record, Remembered, Rules},
};

/// What `flowtableUplinks` asks for.
#[derive(Clone, Copy, Debug)]
pub struct Flowtable;

/// What is remembered of a pod whose long connections bypass the rules, besides its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// `flowtableUplinks`
    uplinks: Vec<String>,
    /// What the pod is behind.
    link: String,
    /// It is the pod's own, and goes with it.
    is_own: bool,
}

impl Wanted {
    pub(super) fn own_link(&self) -> Option<&str> {
        self.is_own.then_some(self.link.as_str())
    }

    fn read(&self) -> Result<(Uplinks, IfName), cni::Error> {
        let names = self.uplinks.iter().map(|name| name.parse());
        let names: Result<Vec<IfName>, IfNameError> = names.collect();
        let link = self.link.parse().map_err(cni::Error::internal)?;
        Ok((Uplinks(names.map_err(cni::Error::internal)?), link))
    }
}

impl Uplinks {
    pub(super) fn wanted(&self, behind: Behind<'_>) -> Wanted {
        Wanted {
            uplinks: self.0.iter().map(IfName::to_string).collect(),
            link: behind.link().to_string(),
            is_own: matches!(behind, Behind::Own(_)),
        }
    }
}

impl Rules for Flowtable {
    type Wanted = Wanted;

    const KIND: &'static str = "flowtable";

    fn are_there(record: &Record<Wanted>) -> Result<bool, cni::Error> {
        let (uplinks, link) = record.wanted.read()?;
        match uplinks.check(&host()?, &link) {
            Ok(()) => Ok(true),
            Err(Error::Lacking { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn make(record: &Record<Wanted>) -> Result<(), cni::Error> {
        let (uplinks, link) = record.wanted.read()?;
        Ok(uplinks.join(&host()?, &link).map(drop)?)
    }

    fn remove(
        _identity: Identity<'_>,
        remembered: &Remembered<'_, Wanted>,
    ) -> Result<(), cni::Error> {
        let own = remembered
            .records
            .iter()
            .filter_map(|record| record.wanted.own_link());
        let own: Vec<String> = own.map(str::to_owned).collect();
        take_out(&own).map_err(cni::Error::internal)
    }
}

fn host() -> Result<Netlink, cni::Error> {
    Ok(Netlink::open().map_err(crate::Error::from)?)
}

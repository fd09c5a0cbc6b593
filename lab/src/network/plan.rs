//! Networks that a lab has from its start: those of its cluster file.

use std::path::Path;

use anyhow::{Context, Result};
use cni::runtime::NetworkConfig;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::catalog;
use super::choice::{Network, own_plugins};
use super::driver::Driver;
use crate::program::Programs;
use crate::state::{self, Lab, LabDir};

/// A network to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPlan {
    /// As `lab network create` makes one.
    Made {
        /// Its name.
        name: String,
        /// How pods on it reach each other.
        driver: Driver,
        /// Its addresses, of each family that it has; chosen by the lab when there are none.
        subnets: Vec<IpNetwork>,
    },
    /// As `lab network add` takes one.
    Brought {
        /// Its name.
        name: String,
        /// The text of its configuration list.
        list: String,
    },
}

impl NetworkPlan {
    /// The network of a configuration list, with the plugins of a lab whose own network is `network`.
    ///
    /// # Errors
    /// The file cannot be read, is none, or names a plugin that is nowhere.
    pub fn brought(file: &Path, network: &Network, programs: &Programs) -> Result<Self> {
        let own = || own_plugins(&programs.podwire);
        let (name, list) = network
            .bring(file, own)
            .with_context(|| format!("conflist {}", file.display()))?;
        Ok(Self::Brought { name, list })
    }

    fn name(&self) -> &str {
        let (Self::Made { name, .. } | Self::Brought { name, .. }) = self;
        name
    }

    /// The subnets that are said to be its own.
    pub(super) fn subnets(&self) -> Vec<IpNetwork> {
        match self {
            Self::Made { subnets, .. } => subnets.clone(),
            Self::Brought { list, .. } => NetworkConfig::parse(list.as_bytes())
                .map_or_else(|_| Vec::new(), |list| catalog::subnets_in(&list)),
        }
    }

    /// Writes its list beside those that there are.
    ///
    /// # Errors
    /// A subnet is not free, or none is; the file cannot be written.
    pub(super) fn make(&self, dir: &LabDir, lab: &Lab) -> Result<()> {
        let list = match self {
            Self::Made {
                name,
                driver,
                subnets,
            } => {
                let list = catalog::new_list(dir, lab, name, *driver, subnets)
                    .with_context(|| format!("network {name}"))?;
                format!("{list:#}")
            }
            Self::Brought { list, .. } => list.clone(),
        };
        state::write_text(&catalog::file_of_added(dir, self.name()), list.as_bytes())
    }
}

//! Routers: a network namespace each that forwards packets between underlays, held by one process.

use std::fs;

use anyhow::{Context, Result};
use ipnetwork::IpNetwork;
use kernel::forwarding;
use sandbox::{Namespace, Namespaces, Process};
use serde::{Deserialize, Serialize};

use crate::node;
use crate::program::Programs;
use crate::state::{self, Lab, LabDir, Name};
use crate::topology::{Cable, RouterPlan};
use crate::underlay;

/// A router, as noted in `router.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Its name.
    pub name: Name,
    /// On all its underlays.
    pub addresses: Vec<IpNetwork>,
    /// Holds the namespaces.
    pub holder: Process,
}

impl Router {
    /// All routers, in order.
    ///
    /// # Errors
    /// A state file cannot be read.
    pub fn all(dir: &LabDir) -> Result<Vec<Self>> {
        let mut routers = Vec::new();
        for name in state::names_in(&dir.path("routers"))? {
            routers.extend(state::read(&file(dir, &name))?);
        }
        Ok(routers)
    }

    /// Its network, and the machine's files; for what ends at once.
    ///
    /// # Errors
    /// The router has ended.
    pub fn namespaces(&self) -> Result<Namespaces> {
        let kinds = [Namespace::Network, Namespace::Uts, Namespace::Mount];
        Ok(Namespaces::of(&self.holder, &kinds)?)
    }
}

fn file(dir: &LabDir, router: &Name) -> std::path::PathBuf {
    dir.path("routers")
        .join(router.as_str())
        .join("router.json")
}

/// Makes a router and lays its cables.
///
/// # Errors
/// The kernel refused; what was made ends with the lab.
pub fn create(
    dir: &LabDir,
    programs: &Programs,
    keeper: &Process,
    lab: &Lab,
    plan: &RouterPlan,
) -> Result<()> {
    let cables = lab.topology.router_cables(plan);
    let of = |cable: &Cable| cable.addresses.clone();
    let router = Router {
        name: plan.name.clone(),
        addresses: cables.iter().flat_map(of).collect(),
        holder: node::hold(dir, programs, &plan.name, || forward(&cables))?,
    };
    let directory = dir.path("routers").join(plan.name.as_str());
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    state::write(&file(dir, &plan.name), &router)?;
    for cable in &cables {
        underlay::connect(keeper, &router.holder, cable)?;
    }
    Ok(())
}

/// Lets the namespace forward packets of the families that its cables have.
fn forward(cables: &[Cable]) -> Result<()> {
    let has = |ipv6| {
        let mut addresses = cables.iter().flat_map(|cable| &cable.addresses);
        addresses.any(|address| address.is_ipv6() == ipv6)
    };
    Ok(forwarding::enable(has(false), has(true))?)
}

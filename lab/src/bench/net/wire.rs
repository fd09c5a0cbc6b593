//! Nodes on one wire, a bridge in a namespace of its own.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use kernel::NetNs;

use super::family::Family;
use crate::bench::world::{self, command_in};
use crate::underlay::be_a_switch;

/// Of veth's, as the kernel makes them.
pub(super) const MTU: u32 = 1500;

/// A bridge that nodes hang on.
pub(super) struct Wire {
    namespace: String,
    family: Family,
    nodes: u8,
}

impl Wire {
    pub(super) fn new(namespace: String, family: Family) -> Result<Self> {
        let file = world::add_pod(&namespace)?;
        be_a_switch(&NetNs::open(file)?)?;
        ip(&format!("-n {namespace} link add wire type bridge"))?;
        ip(&format!("-n {namespace} link set wire up"))?;
        Ok(Self {
            namespace,
            family,
            nodes: 0,
        })
    }

    /// A namespace of this name whose `eth0` is on the wire, and which forwards; its address.
    pub(super) fn add_node(&mut self, node: &str) -> Result<IpAddr> {
        self.nodes += 1;
        let (wire, n) = (&self.namespace, self.nodes);
        world::add_pod(node)?;
        ip(&format!(
            "-n {wire} link add v{n} type veth peer name eth0 netns {node}"
        ))?;
        ip(&format!("-n {wire} link set v{n} master wire up"))?;
        let address = self.family.on_wire(n);
        address_link(node, address, self.family)?;
        let forward = ["-qw", self.family.forwarding()];
        said(command_in(node, "sysctl").args(forward))?;
        Ok(address)
    }
}

/// Takes `eth0` of a namespace up with this address, of which it is sure that nobody else has it.
pub(super) fn address_link(namespace: &str, address: IpAddr, family: Family) -> Result<()> {
    let prefix = family.prefix();
    ip(&format!(
        "-n {namespace} address add {address}/{prefix} dev eth0 nodad"
    ))?;
    ip(&format!("-n {namespace} link set eth0 up"))
}

pub(super) fn ip(line: &str) -> Result<()> {
    world::run("ip", &line.split(' ').collect::<Vec<_>>())
}

/// What a program that succeeds says.
///
/// # Errors
/// It cannot be run, or fails; what it said then is in the text.
pub(in crate::bench) fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("run {:?}", command.get_program()))?;
    if !output.status.success() {
        // iperf3 tells its failures on standard output.
        let streams = [&output.stderr, &output.stdout].map(|said| String::from_utf8_lossy(said));
        let said = streams.concat();
        bail!("{command:?}: {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

//! What an ADD works with, and the steps that do not depend on the kind of interface.

use std::cell::OnceCell;

use cni::{AddResult, Attachment, Call, Dns, Interface};
use kernel::{IfName, Link, NetNs, Netlink, Undo, sysctl::Sysctls};

use crate::{
    Error, Identity, Result,
    apply::{self, Manner},
    conf::IpamConf,
    forwarding,
    ipam::Ipam,
    link::PodLink,
    netns,
    parent::{Named, Parent},
    record::Pod,
    veth::{self, Namespaces, Pair, Wanted},
};

/// One ADD.
pub struct Attaching<'a> {
    attachment: &'a Attachment,
    /// Whose what is made will be.
    pub identity: Identity<'a>,
    /// Socket in the host's namespace.
    pub host: Netlink,
    /// The container's namespace.
    pub container: NetNs,
    sysctls: OnceCell<Sysctls>,
    ipam: Option<Ipam<'a>>,
}

impl<'a> Attaching<'a> {
    /// Looks at everything that is needed before anything is changed.
    ///
    /// # Errors
    /// No such namespace; no such IPAM plugin.
    pub fn start(
        call: &'a Call<'a>,
        attachment: &'a Attachment,
        ipam: &IpamConf,
    ) -> Result<Self, cni::Error> {
        let container = netns::open(&attachment.netns).map_err(cni::Error::internal)?;
        Ok(Self {
            attachment,
            identity: Identity::new(call, attachment),
            host: Netlink::open().map_err(|error| cni::Error::internal(Error::from(error)))?,
            container,
            sysctls: OnceCell::new(),
            ipam: Ipam::find(call, &ipam.plugin_type)?,
        })
    }

    /// Runs the steps; a failure takes back what they pushed onto the undo stack.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn run<'u, E>(
        &'u self,
        steps: impl FnOnce(&mut Undo<'u>) -> Result<AddResult, E>,
    ) -> Result<AddResult, E> {
        let mut undo = Undo::new();
        let result = steps(&mut undo)?;
        undo.commit();
        Ok(result)
    }

    /// The host's sysctls.
    pub fn sysctls(&self) -> &Sysctls {
        self.sysctls.get_or_init(Sysctls::open)
    }

    /// Makes the pair of the attachment; see [`veth::add`].
    ///
    /// # Errors
    /// As [`veth::add`].
    pub fn make_pair<'u>(&'u self, wanted: &Wanted, undo: &mut Undo<'u>) -> Result<Pair> {
        let namespaces = Namespaces {
            host: &self.host,
            container: &self.container,
        };
        let pair = veth::add(namespaces, self.identity, wanted, undo)?;
        self.advise(&pair.host.name, wanted.master.is_some());
        Ok(pair)
    }

    /// What is set of a pair's host end before it gets a carrier. Advice only, as in the reference plugins: a
    /// kernel without IPv6 has no such files.
    fn advise(&self, host_end: &IfName, is_port: bool) {
        let set = |key: &str, value| {
            let key = format!("net/ipv6/conf/{host_end}/{key}");
            let _ = self.sysctls().write(&key, value);
        };
        set("accept_ra", "0");
        match is_port {
            // A port has no addresses. The kernel would give it a link-local one, with three routes, all of
            // which it goes through whenever a link comes or goes.
            true => set("disable_ipv6", "1"),
            false => forwarding::at_once(self.sysctls(), host_end),
        }
    }

    /// The link that the pod's shall be on.
    ///
    /// # Errors
    /// There is none.
    pub fn parent(&self, named: Named<'_>) -> Result<Parent> {
        match named.inside {
            true => named.find(&netns::socket(&self.container)?),
            false => named.find(&self.host),
        }
    }

    /// What IPAM gives, for the interface at this place of the result, with the configuration's
    /// DNS where it has any. Without IPAM nothing but that.
    ///
    /// # Errors
    /// The IPAM plugin's, unchanged.
    pub fn addresses<'u>(
        &'u self,
        interface: usize,
        dns: &Dns,
        undo: &mut Undo<'u>,
    ) -> Result<AddResult, cni::Error> {
        let mut result = match &self.ipam {
            Some(ipam) => ipam.add(self.attachment, undo)?,
            None => AddResult::default(),
        };
        for ip in &mut result.ips {
            ip.interface = Some(interface);
        }
        if !dns.is_empty() {
            result.dns = dns.clone();
        }
        Ok(result)
    }

    /// The attachment for what is remembered of it.
    pub fn pod(&self) -> Pod<'_> {
        Pod {
            identity: self.identity,
            netns: &self.attachment.netns,
        }
    }

    /// The pod's link, which is all of the attachment, as `result` says: its addresses and routes,
    /// and up. Returns the result with this interface alone.
    ///
    /// # Errors
    /// As [`apply::apply`].
    pub fn configure(&self, link: &PodLink, mut result: AddResult) -> Result<AddResult> {
        result.interfaces = vec![self.pod_interface(link)];
        if result.ips.is_empty() {
            apply::set_up(&self.container, link)?;
        } else {
            apply::apply(&self.container, link, &result, Manner::default())?;
        }
        Ok(result)
    }

    /// The pod's interface as the result lists it.
    pub fn pod_interface(&self, link: &PodLink) -> Interface {
        Interface {
            name: link.name.to_string(),
            mac: link.mac.map(|mac| mac.to_string()),
            sandbox: Some(self.attachment.netns.clone()),
            ..Interface::default()
        }
    }
}

/// A link of the host as the result lists it.
pub fn host_interface(link: &Link) -> Interface {
    Interface {
        name: link.name.to_string(),
        mac: link.mac.map(|mac| mac.to_string()),
        ..Interface::default()
    }
}

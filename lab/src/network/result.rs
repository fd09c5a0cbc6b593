//! What networks gave a pod.

use std::net::IpAddr;

use cni::{AddResult, Dns};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::attachment::Attachment;

/// What the networks gave a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    /// Of the first network; without one there are none.
    pub addresses: Vec<IpNetwork>,
    /// How long the ADD of all networks took, in milliseconds: the whole chains, from the runtime's side.
    pub attach_ms: f64,
    /// Content of `/etc/resolv.conf`: what the first network said.
    pub resolv_conf: String,
    /// What each network gave, in the order of ADD.
    pub networks: Vec<NetworkStatus>,
}

/// What one network gave a pod: an element of the annotation `k8s.v1.cni.cncf.io/network-status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The network's name.
    pub name: String,
    /// The interface in the pod.
    pub interface: String,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its MTU, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether it is the pod's first network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// What it said of name servers.
    #[serde(default)]
    pub dns: Dns,
}

impl Attached {
    /// Takes in what a network gave, after so many milliseconds.
    pub(super) fn add(&mut self, attachment: &Attachment, result: &AddResult, milliseconds: f64) {
        if attachment.is_loopback() {
            return;
        }
        if attachment.is_first() {
            self.addresses = result.ips.iter().map(|ip| ip.address).collect();
            self.resolv_conf = resolv_conf(&result.dns);
        }
        self.attach_ms += milliseconds;
        self.networks.push(NetworkStatus::of(attachment, result));
    }

    /// As the annotation has it.
    pub fn annotation(&self) -> String {
        serde_json::to_string(&self.networks).unwrap_or_default()
    }
}

impl NetworkStatus {
    fn of(attachment: &Attachment, result: &AddResult) -> Self {
        let mut inside = result.interfaces.iter();
        let interface =
            inside.find(|each| each.name == attachment.interface && each.sandbox.is_some());
        Self {
            name: attachment.network.clone(),
            interface: attachment.interface.clone(),
            ips: result.ips.iter().map(|ip| ip.address.ip()).collect(),
            mac: interface.and_then(|each| each.mac.clone()),
            mtu: interface.and_then(|each| each.mtu),
            default: attachment.is_first(),
            dns: result.dns.clone(),
        }
    }
}

/// resolv.conf(5).
fn resolv_conf(dns: &Dns) -> String {
    let mut text = String::new();
    if !dns.domain.is_empty() {
        text.push_str(&format!("domain {}\n", dns.domain));
    }
    for (keyword, values) in [("search", &dns.search), ("options", &dns.options)] {
        if !values.is_empty() {
            text.push_str(&format!("{keyword} {}\n", values.join(" ")));
        }
    }
    for server in &dns.nameservers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_has_what_the_plugins_said() {
        assert_eq!(resolv_conf(&Dns::default()), "");
        let dns = Dns {
            nameservers: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
            domain: "example.org".to_owned(),
            search: vec!["a".to_owned(), "b".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        let text = "domain example.org\nsearch a b\noptions ndots:5\n\
                    nameserver 192.0.2.1\nnameserver 2001:db8::1\n";
        assert_eq!(resolv_conf(&dns), text);
    }
}

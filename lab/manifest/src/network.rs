//! Which networks a pod is on: the annotations of the Network Plumbing Working Group ("Kubernetes Network Custom
//! Resource Definition De-facto Standard", version 1.3) and the one that Multus adds for the first network.

use std::fmt;
use std::net::IpAddr;

use cni::{IfName, NetworkName};
use serde::Deserialize;

use crate::Metadata;
use crate::path::Path;
use crate::problem::Complaint;

/// The annotation that names a pod's further networks.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The annotation that tells what networks gave a pod.
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// The annotation that names a pod's first network.
pub const FIRST_NETWORK: &str = "v1.multus-cni.io/default-network";
/// In the place of a first network: the pod has a loopback interface alone.
pub const NO_NETWORK: &str = "none";
/// The interface of the first network.
pub const FIRST_INTERFACE: &str = "eth0";

/// Annotations that begin so are for who attaches networks.
const RESERVED: [&str; 2] = ["k8s.v1.cni.cncf.io/", "v1.multus-cni.io/"];
/// The only namespace there is.
const NAMESPACE: &str = "default";

/// A network that a pod asks for beside its first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSelection {
    /// The network.
    pub name: String,
    /// The interface in the pod; `net1`, `net2` and so on, by its place in the list, when absent.
    pub interface: Option<String>,
    /// Addresses that it asks for, with or without a prefix length.
    pub ips: Vec<String>,
    /// The hardware address that it asks for.
    pub mac: Option<String>,
}

/// The networks that a pod asks for, in the order in which it is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// The first: a name, [`NO_NETWORK`], or the cluster's when absent.
    pub first: Option<String>,
    /// The others.
    pub further: Vec<NetworkSelection>,
}

/// Why annotations are no networks: which annotation, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworksError {
    /// The annotation's name.
    pub annotation: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for NetworksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "annotation {}: {}", self.annotation, self.message)
    }
}

impl std::error::Error for NetworksError {}

/// An element of the annotation's JSON form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    name: String,
    namespace: Option<String>,
    interface: Option<String>,
    #[serde(default)]
    ips: Vec<String>,
    mac: Option<String>,
}

impl Networks {
    /// Those that annotations ask for.
    ///
    /// # Errors
    /// An annotation cannot be read, or asks for what is not carried out.
    pub fn asked(metadata: &Metadata) -> Result<Self, NetworksError> {
        for annotation in metadata.annotations.keys() {
            known(annotation)?;
        }
        let read = |annotation: &str| metadata.annotations.get(annotation).map(String::as_str);
        let first = read(FIRST_NETWORK).map(|text| first(text).map_err(of(FIRST_NETWORK)));
        let further = read(NETWORKS).map(|text| further(text).map_err(of(NETWORKS)));
        let networks = Self {
            first: first.transpose()?,
            further: further.transpose()?.unwrap_or_default(),
        };
        if networks.first.as_deref() == Some(NO_NETWORK) && !networks.further.is_empty() {
            let message =
                format!("there are networks beside {NO_NETWORK:?}: leave one of them out");
            return Err(of(FIRST_NETWORK)(message));
        }
        Ok(networks)
    }

    /// Whether nothing is asked for.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl NetworkSelection {
    /// The interface in the pod; `number` is its place in the list, from 0.
    pub fn interface(&self, number: usize) -> String {
        let usual = || format!("net{}", number + 1);
        self.interface.clone().unwrap_or_else(usual)
    }
}

/// What is wrong with a pod's annotations about networks.
pub(crate) fn check(metadata: &Metadata, is_on_node: bool) -> Option<Complaint> {
    let complaint = |annotation: &str, message: String| Complaint {
        field: Path::default()
            .field("metadata")
            .field("annotations")
            .field(annotation),
        message,
    };
    match Networks::asked(metadata) {
        Err(error) => Some(complaint(&error.annotation, error.message)),
        Ok(networks) if is_on_node && !networks.is_usual() => {
            let mut both = [FIRST_NETWORK, NETWORKS].into_iter();
            let there = both.find(|each| metadata.annotations.contains_key(*each));
            let message =
                "a pod with hostNetwork is on the node's network alone: leave one of them out";
            Some(complaint(there.unwrap_or(NETWORKS), message.to_owned()))
        }
        Ok(_) => None,
    }
}

fn of(annotation: &str) -> impl Fn(String) -> NetworksError {
    let annotation = annotation.to_owned();
    move |message| NetworksError {
        annotation: annotation.clone(),
        message,
    }
}

/// Annotations for who attaches networks are carried out or refused.
fn known(annotation: &str) -> Result<(), NetworksError> {
    let is_reserved = RESERVED.iter().any(|start| annotation.starts_with(start));
    match annotation {
        NETWORKS | FIRST_NETWORK => Ok(()),
        NETWORK_STATUS => Err(of(annotation)(
            "the lab tells by it what networks gave a pod: leave it out".to_owned(),
        )),
        _ if is_reserved => Err(of(annotation)(format!(
            "the lab does not carry out this annotation; it carries out {NETWORKS} and {FIRST_NETWORK}"
        ))),
        _ => Ok(()),
    }
}

fn first(text: &str) -> Result<String, String> {
    match text.trim() {
        "host" => Err("give hostNetwork: true in its place".to_owned()),
        name => network(name),
    }
}

fn further(text: &str) -> Result<Vec<NetworkSelection>, String> {
    let selections: Vec<NetworkSelection> = match text.trim() {
        "" => Vec::new(),
        text if text.starts_with(['[', '{', '"']) => {
            let elements: Vec<Element> =
                serde_json::from_str(text).map_err(|error| format!("as JSON: {error}"))?;
            elements
                .into_iter()
                .map(of_element)
                .collect::<Result<_, _>>()?
        }
        text => text.split(',').map(of_text).collect::<Result<_, _>>()?,
    };
    let mut taken = vec![FIRST_INTERFACE.to_owned(), "lo".to_owned()];
    for (number, selection) in selections.iter().enumerate() {
        let interface = selection.interface(number);
        if taken.contains(&interface) {
            return Err(format!(
                "interface {interface:?} of network {} is there already: give another",
                selection.name
            ));
        }
        taken.push(interface);
    }
    Ok(selections)
}

/// `[NAMESPACE/]NAME[@INTERFACE]`
fn of_text(text: &str) -> Result<NetworkSelection, String> {
    let text = text.trim();
    let (name, asked) = match text.split_once('@') {
        Some((name, asked)) => (name, Some(interface(asked)?)),
        None => (text, None),
    };
    Ok(NetworkSelection {
        name: network(name)?,
        interface: asked,
        ..NetworkSelection::default()
    })
}

fn of_element(element: Element) -> Result<NetworkSelection, String> {
    if let Some(namespace) = element.namespace.filter(|name| name != NAMESPACE) {
        return Err(no_namespace(&namespace));
    }
    let asked = element.interface.as_deref().map(interface).transpose()?;
    for text in &element.ips {
        address(text)?;
    }
    if let Some(mac) = &element.mac {
        hardware_address(mac)?;
    }
    Ok(NetworkSelection {
        name: network(&element.name)?,
        interface: asked,
        ips: element.ips,
        mac: element.mac,
    })
}

fn no_namespace(namespace: &str) -> String {
    format!("the lab has one namespace, \"{NAMESPACE}\", and no {namespace:?}: leave it out")
}

fn network(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        Some((NAMESPACE, name)) => name,
        Some((namespace, _)) => return Err(no_namespace(namespace)),
        None => text,
    };
    let parsed = name.parse::<NetworkName>();
    parsed.map(|name| name.to_string()).map_err(|_| {
        format!("{name:?} is not a name of a network: give letters, digits, '_', '.' and '-', a letter or digit first")
    })
}

fn interface(text: &str) -> Result<String, String> {
    let parsed = text.parse::<IfName>();
    parsed.map(|name| name.to_string()).map_err(|_| {
        format!("{text:?} is not a name of an interface: give 1 to 15 characters without '/', ':' and white space")
    })
}

fn address(text: &str) -> Result<(), String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => {
            return Err(format!(
                "{text:?} is not an address: give 10.1.0.5 or 10.1.0.5/24"
            ));
        }
    };
    match length.map(str::parse::<u8>) {
        Some(Ok(length)) if length <= most => Ok(()),
        None => Ok(()),
        Some(_) => Err(format!("{text:?}: give a prefix length of {most} at most")),
    }
}

fn hardware_address(text: &str) -> Result<(), String> {
    let is_byte = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.split(':').count() == 6 && text.split(':').all(is_byte) {
        true => Ok(()),
        false => Err(format!(
            "{text:?} is not a hardware address: give c2:11:22:33:44:55"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn asked(annotations: &[(&str, &str)]) -> Result<Networks, NetworksError> {
        let pairs = annotations.iter();
        Networks::asked(&Metadata {
            annotations: pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            ..Metadata::default()
        })
    }

    #[test]
    fn networks_are_asked_for_as_the_specification_has_it() {
        let usual = asked(&[("note", "any")]).unwrap();
        assert!(usual.is_usual());
        let short = asked(&[
            (FIRST_NETWORK, "bridge"),
            (NETWORKS, "a, default/b@data ,a"),
        ])
        .unwrap();
        assert_eq!(short.first.as_deref(), Some("bridge"));
        let named = |name: &str, interface: Option<&str>| NetworkSelection {
            name: name.to_owned(),
            interface: interface.map(str::to_owned),
            ..NetworkSelection::default()
        };
        assert_eq!(
            short.further,
            [named("a", None), named("b", Some("data")), named("a", None)]
        );
        let interfaces = short.further.iter().enumerate();
        let interfaces: Vec<String> = interfaces
            .map(|(number, each)| each.interface(number))
            .collect();
        assert_eq!(interfaces, ["net1", "data", "net3"]);
        let long = r#"[{"name": "a", "namespace": "default", "interface": "data",
            "ips": ["10.1.0.5/24", "fd00::5"], "mac": "c2:11:22:33:44:55"}]"#;
        let long = asked(&[(NETWORKS, long)]).unwrap();
        assert_eq!(
            long.further,
            [NetworkSelection {
                ips: vec!["10.1.0.5/24".to_owned(), "fd00::5".to_owned()],
                mac: Some("c2:11:22:33:44:55".to_owned()),
                ..named("a", Some("data"))
            }]
        );
    }

    #[test]
    fn what_is_not_carried_out_is_refused() {
        for (annotation, text, words) in [
            (NETWORKS, "a,,b", "\"\" is not a name of a network"),
            (NETWORKS, "kube-system/a", "no \"kube-system\""),
            (NETWORKS, "a@eth0", "\"eth0\" of network a is there already"),
            (
                NETWORKS,
                "a@net2,b",
                "\"net2\" of network b is there already",
            ),
            (NETWORKS, "a@", "\"\" is not a name of an interface"),
            (
                NETWORKS,
                r#"[{"name": "a", "default-route": ["10.0.0.1"]}]"#,
                "unknown field `default-route`",
            ),
            (NETWORKS, r#"[{"interface": "a"}]"#, "missing field `name`"),
            (NETWORKS, r#"[{"name": "a", "namespace": "b"}]"#, "no \"b\""),
            (
                NETWORKS,
                r#"[{"name": "a", "ips": ["10.0.0"]}]"#,
                "\"10.0.0\" is not an address",
            ),
            (
                NETWORKS,
                r#"[{"name": "a", "ips": ["10.0.0.1/33"]}]"#,
                "length of 32 at most",
            ),
            (
                NETWORKS,
                r#"[{"name": "a", "mac": "c2:11"}]"#,
                "\"c2:11\" is not a hardware address",
            ),
            (NETWORKS, r#"{"name": "a"}"#, "as JSON: "),
            (FIRST_NETWORK, "host", "give hostNetwork: true"),
            (FIRST_NETWORK, "", "\"\" is not a name of a network"),
            (NETWORK_STATUS, "[]", "leave it out"),
            (
                "k8s.v1.cni.cncf.io/nonsense",
                "",
                "does not carry out this annotation",
            ),
            (
                "v1.multus-cni.io/nonsense",
                "",
                "does not carry out this annotation",
            ),
        ] {
            let error = asked(&[(annotation, text)]).unwrap_err();
            assert_eq!(error.annotation, annotation);
            assert!(error.message.contains(words), "{text}: {}", error.message);
        }
        let both = asked(&[(FIRST_NETWORK, "none"), (NETWORKS, "a")]).unwrap_err();
        assert!(both.message.contains("beside \"none\""), "{both}");
    }

    #[test]
    fn a_pod_on_the_nodes_network_has_no_other() {
        let annotations = [(NETWORKS.to_owned(), "a".to_owned())].into();
        let metadata = Metadata {
            annotations,
            ..Metadata::default()
        };
        assert_eq!(check(&metadata, false), None);
        let complaint = check(&metadata, true).unwrap();
        assert_eq!(
            complaint.field.to_string(),
            format!("metadata.annotations[{NETWORKS:?}]")
        );
        assert!(complaint.message.contains("hostNetwork"));
    }
}

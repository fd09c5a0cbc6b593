//! The node that networks are for: its plugins, runtimes, networks and what else is configured.
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use files::Links;
use ipnetwork::IpNetwork;
use kernel::{LinkKind, Netlink, RouteFilter, RouteKind};

use super::{
    Source,
    document::Document,
    finding::Findings,
    list::{self, Network},
    runtimes::{self, Runtime},
};

/// Where plugins lie when nobody says so: runtimes' defaults.
pub(crate) const PLUGIN_DIRS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
/// Where networks lie.
pub(crate) const CONF_DIR: &str = "/etc/cni/net.d";

/// What is known of this node.
#[derive(Debug)]
pub(crate) struct Node {
    plugin_dirs: Vec<PathBuf>,
    /// Networks that are configured there.
    configured: Vec<(PathBuf, Network)>,
    pub(super) taken: Vec<Taken>,
    pub(super) runtimes: Vec<Runtime>,
}

/// A network that the node has an address or a route in.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) network: IpNetwork,
    pub(super) device: String,
}

impl Node {
    /// Looks at this node. What cannot be looked at is taken for empty, with a word in the log.
    pub(crate) fn look(plugin_dirs: Vec<PathBuf>, conf_dir: &Path) -> Self {
        Self {
            plugin_dirs,
            configured: configured(conf_dir),
            taken: taken().unwrap_or_else(|error| {
                tracing::warn!("cannot look at this node's network: {error}");
                Vec::new()
            }),
            runtimes: runtimes::installed(),
        }
    }

    /// The directories that all lack the plugin. Where there are no directories at all, nothing
    /// can be said.
    pub(super) fn lacks_plugin(&self, name: &str) -> Option<String> {
        let mut there = self
            .plugin_dirs
            .iter()
            .filter(|dir| dir.is_dir())
            .peekable();
        there.peek()?;
        let texts: Vec<String> = there
            .map(|dir| (dir.join(name).is_file(), dir.display().to_string()))
            .map(|(has_it, text)| (!has_it).then_some(text))
            .collect::<Option<_>>()?;
        Some(texts.join(" and "))
    }

    /// The networks of files that are not judged themselves. A source that has the name of one of
    /// them and lies elsewhere is to take its place.
    pub(super) fn others<'n>(
        &'n self,
        judged: &'n [(&Source, Network)],
    ) -> impl Iterator<Item = (&'n Path, &'n Network)> {
        let is_judged = |path: &Path, network: &Network| {
            judged.iter().any(|(source, own)| {
                let own_path = source
                    .path
                    .as_deref()
                    .and_then(|path| path.canonicalize().ok());
                let is_same_file = own_path.is_some() && own_path == path.canonicalize().ok();
                let own_dir = own_path.as_deref().and_then(Path::parent);
                let is_beside = own_dir.is_some() && own_dir == path.parent();
                is_same_file || (own.name == network.name && !is_beside)
            })
        };
        let configured = self.configured.iter();
        configured
            .filter(move |(path, network)| !is_judged(path, network))
            .map(|(path, network)| (path.as_path(), network))
    }
}

/// The networks in a directory, as far as they can be read.
fn configured(dir: &Path) -> Vec<(PathBuf, Network)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("conflist" | "conf" | "json"))
        })
        .collect();
    paths.sort();
    let network = |path: PathBuf| {
        let text = files::read_to_string(&path, Links::Follow).ok()?;
        let source = Source {
            name: path.display().to_string(),
            path: Some(path.clone()),
            text,
        };
        let document = Document::parse(&source.text).ok()?;
        let mut unheard = Findings::of(&source.name, &source.text);
        let network = list::judge(&source, &document, None, &mut unheard)?;
        Some((path, network))
    };
    paths.into_iter().filter_map(network).collect()
}

/// What the node's addresses and routes take. Pods' own links, default routes, and what every
/// node has (loopback, link-local, multicast) are in nobody's way.
fn taken() -> kernel::Result<Vec<Taken>> {
    let host = Netlink::open()?;
    let links = host.links()?;
    let names: HashMap<_, _> = links
        .iter()
        .filter(|link| !matches!(link.kind, LinkKind::Veth) && link.name.as_str() != "lo")
        .map(|link| (link.index, link.name.to_string()))
        .collect();
    let addresses = host.addresses(None)?.into_iter();
    let addresses = addresses.map(|address| (address.address, Some(address.link)));
    let main = RouteFilter {
        table: Some(MAIN_TABLE),
        ..RouteFilter::default()
    };
    let routes = host.routes(&main)?.into_iter();
    let routes = routes
        .filter(|route| route.kind == RouteKind::Unicast)
        .map(|route| (route.dst, route.link));
    Ok(addresses
        .chain(routes)
        .filter(|(network, _)| !is_everywhere(*network))
        .filter_map(|(network, link)| {
            let network = IpNetwork::new(network.network(), network.prefix()).ok()?;
            let device = names.get(&link?)?.clone();
            Some(Taken { network, device })
        })
        .collect())
}

const MAIN_TABLE: u32 = 254;

fn is_everywhere(network: IpNetwork) -> bool {
    network.prefix() == 0
        || match network {
            IpNetwork::V4(network) => network.ip().is_link_local() || network.ip().is_multicast(),
            IpNetwork::V6(network) => {
                network.ip().is_unicast_link_local() || network.ip().is_multicast()
            }
        }
}

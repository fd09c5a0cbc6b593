//! The shape in memory into result documents of every version.

use serde_json::Value;

use super::{AddResult, Dns, Interface, IpConfig, Route, Shape};
use crate::json::{Node, print};
use crate::{Error, SpecVersion};

impl AddResult {
    /// Prints exactly as the reference prints for `version`: key order, 4-space indent, no newline
    /// at the end.
    ///
    /// # Errors
    /// 0.1.0 and 0.2.0 cannot say that there is no address: code 999
    /// `cannot convert: no valid IP addresses`.
    pub fn print(&self, version: SpecVersion) -> Result<String, Error> {
        Ok(print::pretty(&self.to_node(version)?))
    }

    /// The document of [`Self::print`] as a value, for `prevResult`.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn to_value(&self, version: SpecVersion) -> Result<Value, Error> {
        self.to_node(version).map(Value::from)
    }

    /// What is left after a plugin printed this for `version` and its caller read it back.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub(crate) fn seen_by_caller(self, version: SpecVersion) -> Result<Self, Error> {
        match Shape::of(version) {
            Shape::Current => Ok(self),
            Shape::Listed | Shape::Legacy => Self::parse_node(&self.to_node(version)?, version),
        }
    }

    pub(crate) fn to_node(&self, version: SpecVersion) -> Result<Node, Error> {
        let mut document = Object::default();
        document.text("cniVersion", version.as_str());
        match Shape::of(version) {
            Shape::Legacy => self.legacy_blocks(&mut document)?,
            Shape::Listed => self.lists(&mut document, Shape::Listed),
            Shape::Current => self.lists(&mut document, Shape::Current),
        }
        let mut node = document.into();
        if Shape::of(version) == Shape::Current {
            Node::sort_keys(&mut node);
        }
        Ok(node)
    }

    fn lists(&self, document: &mut Object, shape: Shape) {
        document.list(
            "interfaces",
            self.interfaces.iter().map(|i| interface(i, shape)),
        );
        document.list(
            "ips",
            self.ips.iter().map(|config| ip_config(config, shape)),
        );
        document.list("routes", self.routes.iter().map(route));
        if shape == Shape::Listed || !self.dns.is_empty() {
            document.put("dns", dns(&self.dns));
        }
    }

    /// `ip4` and `ip6`: the first address of each family, and the routes of the families that
    /// have one.
    fn legacy_blocks(&self, document: &mut Object) -> Result<(), Error> {
        if self.ips.is_empty() {
            return Err(Error::msg("cannot convert: no valid IP addresses"));
        }
        for (key, is_v4) in [("ip4", true), ("ip6", false)] {
            let Some(config) = self.ips.iter().find(|ip| ip.address.is_ipv4() == is_v4) else {
                continue;
            };
            let routes = self
                .routes
                .iter()
                .filter(|route| route.dst.is_ipv4() == is_v4);
            let mut block = Object::default();
            block.text("ip", &config.address.to_string());
            block.optional("gateway", config.gateway);
            block.list("routes", routes.map(|r| route(&Route::new(r.dst, r.gw))));
            document.put(key, block.into());
        }
        document.put("dns", dns(&self.dns));
        Ok(())
    }
}

fn interface(interface: &Interface, shape: Shape) -> Node {
    let mut entry = Object::default();
    entry.put("name", Node::from(interface.name.as_str()));
    entry.text("mac", interface.mac.as_deref().unwrap_or_default());
    entry.text("sandbox", interface.sandbox.as_deref().unwrap_or_default());
    if shape == Shape::Current {
        entry.number("mtu", interface.mtu.filter(|mtu| *mtu != 0));
        entry.text(
            "socketPath",
            interface.socket_path.as_deref().unwrap_or_default(),
        );
        entry.text("pciID", interface.pci_id.as_deref().unwrap_or_default());
    }
    entry.into()
}

fn ip_config(config: &IpConfig, shape: Shape) -> Node {
    let mut entry = Object::default();
    if shape == Shape::Listed {
        entry.text("version", if config.address.is_ipv4() { "4" } else { "6" });
    }
    if let Some(index) = config.interface {
        entry.put("interface", Node::Number(index.into()));
    }
    entry.text("address", &config.address.to_string());
    entry.optional("gateway", config.gateway);
    entry.into()
}

fn route(route: &Route) -> Node {
    let mut entry = Object::default();
    entry.text("dst", &route.dst.to_string());
    entry.optional("gw", route.gw);
    entry.number("mtu", route.mtu.filter(|mtu| *mtu != 0));
    entry.number("advmss", route.advmss.filter(|advmss| *advmss != 0));
    entry.number("priority", route.priority.filter(|priority| *priority != 0));
    entry.number("table", route.table);
    entry.number("scope", route.scope.map(u32::from));
    entry.into()
}

fn dns(dns: &Dns) -> Node {
    let texts = |list: &[String]| {
        list.iter()
            .map(|text| Node::from(text.as_str()))
            .collect::<Vec<_>>()
    };
    let mut entry = Object::default();
    entry.list("nameservers", texts(&dns.nameservers));
    entry.text("domain", &dns.domain);
    entry.list("search", texts(&dns.search));
    entry.list("options", texts(&dns.options));
    entry.into()
}

/// An object in the making; leaves out what is unset.
#[derive(Default)]
struct Object(Vec<(String, Node)>);

impl Object {
    fn put(&mut self, key: &str, value: Node) {
        self.0.push((key.to_owned(), value));
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Node::from(text));
        }
    }

    fn optional(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(key, Node::String(value.to_string()));
        }
    }

    fn number(&mut self, key: &str, number: Option<u32>) {
        if let Some(number) = number {
            self.put(key, Node::from(number));
        }
    }

    fn list(&mut self, key: &str, items: impl IntoIterator<Item = Node>) {
        let items: Vec<Node> = items.into_iter().collect();
        if !items.is_empty() {
            self.put(key, Node::Array(items));
        }
    }
}

impl From<Object> for Node {
    fn from(object: Object) -> Self {
        Node::Object(object.0)
    }
}

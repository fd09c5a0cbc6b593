//! The protocol between plugin and daemon, the reference's: Go's net/rpc over HTTP CONNECT, in
//! gob. A plugin of one suite can talk to the daemon of the other.
//!
//! A call is a header and its arguments, an answer a header and its result; both headers count
//! calls. The reference's daemon has `DHCP.Allocate` and `DHCP.Release`; ours has two more.

pub(crate) mod result;

use crate::gob::{Kind, Value};

/// What a client says first.
pub(crate) const CONNECT: &str = "CONNECT /_goRPC_ HTTP/1.0\n\n";
/// How the daemon's answer to that begins, behind the version of HTTP.
pub(crate) const CONNECTED: &str = "200 Connected to Go RPC";
/// How Go's server answers a call that it does not know.
pub(crate) const UNKNOWN_CALL: &str = "rpc: can't find";

/// What can be asked of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// A lease: the one there is, or a new one.
    Allocate,
    /// Gives a lease back; succeeds without one.
    Release,
    /// The lease that there is. Not known to the reference.
    Check,
    /// Gives back the leases of a network's attachments that are not listed. Not known to the
    /// reference.
    Collect,
}

const METHODS: [(Method, &str); 4] = [
    (Method::Allocate, "DHCP.Allocate"),
    (Method::Release, "DHCP.Release"),
    (Method::Check, "DHCP.Check"),
    (Method::Collect, "DHCP.Collect"),
];

impl Method {
    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        let found = METHODS.iter().find(|(method, _)| *method == self);
        found.map_or("", |(_, name)| name)
    }

    /// The method of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = METHODS.iter().find(|(_, known)| *known == name);
        found.map(|(method, _)| *method)
    }
}

/// The header of a call.
pub(crate) const REQUEST: Kind = Kind::Struct(
    "Request",
    &[("ServiceMethod", Kind::Text), ("Seq", Kind::Uint)],
);
/// The header of an answer.
pub(crate) const RESPONSE: Kind = Kind::Struct(
    "Response",
    &[
        ("ServiceMethod", Kind::Text),
        ("Seq", Kind::Uint),
        ("Error", Kind::Text),
    ],
);
/// A result that says nothing.
pub(crate) const NOTHING: Kind = Kind::Struct("", &[]);

/// Arguments of every call: what the plugin was called with.
pub(crate) const ARGUMENTS: Kind = Kind::Struct(
    "CmdArgs",
    &[
        ("ContainerID", Kind::Text),
        ("Netns", Kind::Text),
        ("IfName", Kind::Text),
        ("Args", Kind::Text),
        ("Path", Kind::Text),
        ("NetnsOverride", Kind::Text),
        ("StdinData", Kind::Bytes),
    ],
);

/// What a plugin was called with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) container: String,
    /// Absolute path of the namespace; empty where it is not known.
    pub(crate) netns: String,
    pub(crate) ifname: String,
    /// `CNI_ARGS`.
    pub(crate) args: String,
    /// `CNI_PATH`.
    pub(crate) path: String,
    pub(crate) stdin: Vec<u8>,
}

impl Arguments {
    pub(crate) fn to_value(&self) -> Value {
        object([
            ("ContainerID", text(&self.container)),
            ("Netns", text(&self.netns)),
            ("IfName", text(&self.ifname)),
            ("Args", text(&self.args)),
            ("Path", text(&self.path)),
            ("StdinData", Value::Bytes(self.stdin.clone())),
        ])
    }

    pub(crate) fn from_value(value: &Value) -> Self {
        Self {
            container: value.text("ContainerID"),
            netns: value.text("Netns"),
            ifname: value.text("IfName"),
            args: value.text("Args"),
            path: value.text("Path"),
            stdin: value.bytes("StdinData").to_vec(),
        }
    }
}

/// The header of call number `count`.
pub(crate) fn request(method: Method, count: u64) -> Value {
    object([
        ("ServiceMethod", text(method.name())),
        ("Seq", Value::Uint(count)),
    ])
}

/// The header of the answer to a call with this header; `error` is empty where it succeeded.
pub(crate) fn response(request: &Value, error: &str) -> Value {
    let count = u64::try_from(request.number("Seq")).unwrap_or_default();
    object([
        ("ServiceMethod", text(&request.text("ServiceMethod"))),
        ("Seq", Value::Uint(count)),
        ("Error", text(error)),
    ])
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn text(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

//! The CNI protocol: values in, values out; no kernel, no network.

#![warn(missing_docs)]

pub mod call;
pub mod delegate;
pub mod error;
pub mod exec;
pub mod invocation;
pub mod json;
pub mod names;
pub mod result;
pub mod runtime;
pub mod schema;
pub mod version;

pub use call::{Attachment, Call, CniArgs, Detachment, Plugin, Role, ValidAttachment};
pub use error::{Error, code};
pub use invocation::{Invocation, Outcome};
pub use names::{ContainerId, IfName, NetworkName};
pub use result::{AddResult, Dns, Interface, IpConfig, Route};
pub use schema::PluginSchema;
pub use version::SpecVersion;

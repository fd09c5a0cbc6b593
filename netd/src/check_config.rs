//! `netd check-config`: everything that is wrong with a network configuration, before a node meets
//! it. What is read is read by what the daemon reads it with.

mod keys;
mod node;
mod traps;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use backend::Family;
use cluster::{Allocation, Backend, Complaint, NetworkConfig, Object};
use serde_json::{Value, json};

use crate::backends::{self, OpenError};
use keys::Keys;

/// Bytes of a configuration that are read at most.
const LIMIT: u64 = 1 << 20;

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct ReadError {
    path: String,
    #[source]
    source: io::Error,
}

/// What is said of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// No node can use it.
    pub errors: Vec<String>,
    /// A node can, and something is not as it seems.
    pub warnings: Vec<String>,
    /// What a node makes of it, when it can.
    pub summary: Vec<String>,
}

/// The file's bytes; `-` is the standard input.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError {
        path: path.display().to_string(),
        source,
    };
    let mut text = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().take(LIMIT).read_to_end(&mut text),
        false => File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut text)),
    };
    read.map(|_| text).map_err(failed)
}

/// Everything: the document by itself, and what this node has for it.
pub fn check(text: &[u8], allocation: Allocation) -> Report {
    let mut report = judge(text, allocation);
    if let Ok(config) = NetworkConfig::parse_for(text, allocation) {
        report.warnings.extend(node::lacks(&config));
    }
    report
}

/// The document by itself. Pure.
pub fn judge(text: &[u8], allocation: Allocation) -> Report {
    let mut report = Report::default();
    let examined = NetworkConfig::examine(text, allocation);
    let readable = Object::parse("the network configuration", text);
    if let Err(complaints) = &examined {
        report.errors.push(error_of(&complaints.first));
        report.errors.extend(complaints.rest.iter().map(error_of));
    }
    let Ok(object) = readable else {
        return report;
    };
    if let Ok(backend) = Backend::parse(object.get("Backend")) {
        report.errors.extend(backend_errors(&object, &backend));
        let keys = Keys::read(text);
        report.warnings.extend(keys::warnings(&keys, &backend.kind));
    }
    report.warnings.extend(traps::warnings(&object));
    if let (Ok(config), true) = (&examined, report.errors.is_empty()) {
        report.summary = summary(config, allocation);
    }
    report
}

fn error_of(complaint: &Complaint) -> String {
    let Complaint {
        key,
        value,
        error,
        right,
    } = complaint;
    let mut text = String::new();
    if !key.is_empty() {
        text.push_str(key);
        text.push_str(": ");
    }
    if let Some(value) = value {
        text.push_str(&shown(key, value));
        text.push_str(": ");
    }
    text.push_str(&crate::chain(error));
    if !right.is_empty() {
        text.push_str("; ");
        text.push_str(right);
    }
    text
}

/// A value as it stands there; what is a secret, or long, is not repeated.
fn shown(key: &str, value: &Value) -> String {
    const LONG: usize = 60;
    let secret = ["psk", "accesskeysecret"];
    let last = key.rsplit('.').next().unwrap_or_default();
    if secret.contains(&last.to_ascii_lowercase().as_str()) {
        return "(not shown)".to_owned();
    }
    match value {
        Value::Object(map)
            if map
                .keys()
                .any(|key| secret.contains(&key.to_ascii_lowercase().as_str())) =>
        {
            "an object".to_owned()
        }
        value => {
            let text = value.to_string();
            match text.chars().count() > LONG {
                true => text.chars().take(LONG).chain(['…']).collect(),
                false => text,
            }
        }
    }
}

/// A configuration that is right but for its backend, in the families of `object`.
fn with_backend(object: &Object, backend: &Value) -> Option<NetworkConfig> {
    let on = |key, usual| object.bool(key).ok().flatten().unwrap_or(usual);
    let (v4, v6) = (on("EnableIPv4", true), on("EnableIPv6", false));
    let document = json!({
        "EnableIPv4": v4 || !v6, "Network": "10.0.0.0/8",
        "EnableIPv6": v6, "IPv6Network": "fd00::/32",
        "Backend": backend,
    });
    NetworkConfig::parse(document.to_string().as_bytes()).ok()
}

fn refusal(config: &NetworkConfig) -> Option<OpenError> {
    backends::check(config).err()
}

/// What is wrong, without the words that all of a backend's errors begin with.
fn words(error: &OpenError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| crate::chain(error), crate::chain)
}

/// Each option by itself, so that all that are wrong are told; together when that tells nothing.
fn backend_errors(object: &Object, backend: &Backend) -> Vec<String> {
    let refused = |options: &Value| {
        let config = with_backend(object, options)?;
        refusal(&config).map(|error| words(&error))
    };
    let kind = json!({"Type": backend.kind});
    let needs_nothing = match refused(&kind) {
        Some(_) if is_unknown(object, &kind) => {
            let what = refused(&kind).unwrap_or_default();
            return vec![format!("Backend.Type: {:?}: {what}", backend.kind)];
        }
        refused => refused.is_none(),
    };
    let mut errors = Vec::new();
    let options = backend.options.as_object().into_iter().flatten();
    let options = options.filter(|(key, _)| !key.eq_ignore_ascii_case("Type"));
    for (key, value) in options.filter(|_| needs_nothing) {
        if let Some(what) = refused(&json!({"Type": backend.kind, key: value})) {
            errors.push(format!("Backend.{key}: {}: {what}", shown(key, value)));
        }
    }
    // Without a Backend there is one all the same.
    let whole = object.get("Backend").map_or(&kind, |_| &backend.options);
    let together = || refused(whole).map(|what| format!("Backend: {what}"));
    match errors.is_empty() {
        true => together().into_iter().collect(),
        false => errors,
    }
}

/// Whether the type is the matter, not an option.
fn is_unknown(object: &Object, kind: &Value) -> bool {
    let error = with_backend(object, kind).and_then(|config| refusal(&config));
    matches!(error, Some(OpenError::NotYet(_) | OpenError::Unknown(_)))
}

fn summary(config: &NetworkConfig, allocation: Allocation) -> Vec<String> {
    let pool = |family: Family| {
        let pool = family.pool(config)?;
        Some(match allocation {
            Allocation::Drawn => format!(
                "{}: {} subnets of /{}, {} to {}",
                pool.network(),
                pool.size(),
                pool.subnet_len(),
                pool.first(),
                pool.last()
            ),
            Allocation::Given => format!("{}: the nodes' pod CIDRs", pool.network()),
        })
    };
    let mut lines: Vec<String> = Family::ALL.into_iter().filter_map(pool).collect();
    lines.push(format!("backend {}", config.backend.kind));
    lines
}

impl Report {
    /// Whether a node can use the configuration.
    pub fn is_usable(&self) -> bool {
        self.errors.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, lines) in [
            ("error", &self.errors),
            ("warning", &self.warnings),
            ("ok", &self.summary),
        ] {
            for line in lines {
                // Nothing that a terminal would obey.
                let is_plain = |c: char| if c.is_control() { '?' } else { c };
                let line: String = line.chars().map(is_plain).collect();
                writeln!(f, "{level:<8} {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! A configuration list, or a file with one plugin.
use std::path::Path;

use cni::{NetworkName, SpecVersion};
use jsonc_parser::ast::{Object, Value};

use super::{
    Source,
    chain::{self, Chain},
    document::{Document, find, key_place, kind, place, string},
    finding::Findings,
    keys::{self, Case},
    node::Node,
    subnets::Subnet,
};

/// What is known of a network when its file has been judged.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) name: String,
    /// Where the name stands.
    pub(super) place: usize,
    pub(super) subnets: Vec<Subnet>,
}

/// Judges a document by itself. What its subnets are is handed on.
pub(super) fn judge(
    source: &Source,
    document: &Document<'_>,
    node: Option<&Node>,
    findings: &mut Findings<'_>,
) -> Option<Network> {
    let Value::Object(root) = &document.root else {
        let text = format!(
            "a network configuration is an object, not {}",
            kind(&document.root)
        );
        findings.error(place(&document.root), text);
        return None;
    };
    let is_list = find(root, "plugins").is_some() || has_extension(source, "conflist");
    if is_list {
        keys::judge(
            "a list",
            root,
            cni::schema::list().as_value(),
            Case::Exact,
            findings,
        );
        judge_flags(root, findings);
    }
    let name = judge_name(root, findings);
    let version = judge_version(root, node, findings);
    let plugins = match is_list {
        true => plugins(source, root, findings),
        false => vec![root],
    };
    let chain = Chain {
        name: name.as_ref().map_or("network", |(_, name)| name.as_str()),
        version,
        is_list,
        node,
    };
    let subnets = chain::judge(&chain, &plugins, findings);
    name.map(|(place, name)| Network {
        name,
        place,
        subnets,
    })
}

fn has_extension(source: &Source, extension: &str) -> bool {
    let path = source.path.as_deref().and_then(Path::extension);
    path.is_some_and(|found| found == extension)
}

fn judge_name(root: &Object<'_>, findings: &mut Findings<'_>) -> Option<(usize, String)> {
    let Some(property) = find(root, "name") else {
        findings.error(root.range.start, "the network has no \"name\"");
        return None;
    };
    let (place, name) = string(root, "name")?;
    if let Err(error) = name.parse::<NetworkName>() {
        let text = format!("{error}; letters, digits, '_', '.' and '-' are valid");
        findings.error(key_place(property), text);
    }
    Some((place, name.to_owned()))
}

/// The version that plugins are spoken to in, where it is one.
fn judge_version(
    root: &Object<'_>,
    node: Option<&Node>,
    findings: &mut Findings<'_>,
) -> Option<SpecVersion> {
    let several = find(root, "cniVersions").is_some();
    let Some((place, text)) = string(root, "cniVersion") else {
        if find(root, "cniVersion").is_none() && !several {
            let text = "without \"cniVersion\" the network is of version 0.1.0, whose results \
                        hold one address of a family and no interfaces";
            findings.warning(root.range.start, text);
        }
        return None;
    };
    match text.parse::<SpecVersion>() {
        Ok(version) => {
            for runtime in node.into_iter().flat_map(|node| &node.runtimes) {
                if version > runtime.newest && !several {
                    let text = format!(
                        "{} on this node knows CNI up to {}; it refuses results of {version}",
                        runtime.name, runtime.newest
                    );
                    findings.warning(place, text);
                }
            }
            Some(version)
        }
        Err(error) => {
            findings.error(place, error.to_string());
            None
        }
    }
}

/// `true`, `false`, or the words for them.
fn judge_flags(root: &Object<'_>, findings: &mut Findings<'_>) {
    for key in ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"] {
        let Some(property) = root.properties.iter().rfind(|one| one.name.as_str() == key) else {
            continue;
        };
        let is_flag = match &property.value {
            Value::BooleanLit(_) | Value::NullKeyword(_) => true,
            Value::StringLit(text) => ["true", "false"]
                .iter()
                .any(|word| text.value.eq_ignore_ascii_case(word)),
            _ => false,
        };
        if !is_flag {
            let text = format!("{key:?} must be true or false");
            findings.error(place(&property.value), text);
        }
    }
}

/// The objects under `plugins`.
fn plugins<'o, 't>(
    source: &Source,
    root: &'o Object<'t>,
    findings: &mut Findings<'_>,
) -> Vec<&'o Object<'t>> {
    let Some(property) = find(root, "plugins") else {
        // They may lie in a directory of the network's name beside the file.
        let name = string(root, "name").map(|(_, name)| name);
        let beside = source.path.as_deref().and_then(Path::parent);
        let is_there = |(dir, name): (&Path, &str)| dir.join(name).is_dir();
        if !beside.zip(name).is_some_and(is_there) {
            findings.error(root.range.start, "the list has no \"plugins\"");
        }
        return Vec::new();
    };
    let Value::Array(array) = &property.value else {
        return Vec::new();
    };
    if array.elements.is_empty() {
        findings.error(array.range.start, "there are no plugins in the list");
    }
    array.elements.iter().filter_map(Value::as_object).collect()
}

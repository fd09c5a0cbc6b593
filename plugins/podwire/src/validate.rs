//! What is wrong with network configurations, all of it in one reading: what a plugin or the
//! runtime would refuse is an error, what they would pass over in silence a warning.
//!
//! Steps: the document ([`document`]), the list's own keys ([`list`]), each plugin's keys against
//! its schema ([`keys`]), each plugin in its chain ([`chain`]), what the plugins themselves refuse ([`ask`]),
//! what they are to do with the addresses that they are given ([`addresses`]), and the node that the networks are
//! for ([`node`]).

mod addresses;
mod ask;
mod chain;
mod document;
mod effect;
mod finding;
mod keys;
mod list;
mod node;
mod runtimes;
mod subnets;

use std::path::PathBuf;

use document::Document;
pub(crate) use finding::{Finding, Severity, json, text};
pub(crate) use node::{CONF_DIR, Node, PLUGIN_DIRS};

/// A configuration to be judged.
#[derive(Debug)]
pub(crate) struct Source {
    /// What findings call it.
    pub(crate) name: String,
    /// Where it lies; none for standard input.
    pub(crate) path: Option<PathBuf>,
    /// What it holds.
    pub(crate) text: String,
}

/// Judges configurations, alone and against each other, and against `node` where there is one.
pub(crate) fn validate(sources: &[Source], node: Option<&Node>) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut networks = Vec::new();
    for source in sources {
        let mut findings = finding::Findings::of(&source.name, &source.text);
        match Document::parse(&source.text) {
            Ok(document) => {
                let network = list::judge(source, &document, node, &mut findings);
                networks.extend(network.map(|network| (source, network)));
            }
            Err(problem) => findings.error(problem.offset, problem.text),
        }
        all.push(findings);
    }
    subnets::judge(&networks, node, &mut all);
    all.into_iter()
        .flat_map(finding::Findings::sorted)
        .collect()
}

#[cfg(test)]
mod tests;

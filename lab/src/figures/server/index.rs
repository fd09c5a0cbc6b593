//! The page that lists the others.

use anyhow::Result;

use crate::node::Node;
use crate::pod::Pod;
use crate::state::LabDir;

/// What there is to read, as links.
///
/// # Errors
/// A state file cannot be read.
pub(super) fn page(dir: &LabDir) -> Result<String> {
    let mut links = vec![link("/metrics", "all nodes, pods and containers")];
    for node in Node::all(dir)? {
        let name = &node.name;
        links.push(link(
            &format!("/metrics/{name}"),
            &format!("node {name} and its pods"),
        ));
        links.push(link(
            &format!("/metrics/{name}/netd"),
            &format!("netd of node {name}"),
        ));
    }
    for pod in Pod::all(dir)? {
        let ports = pod.containers().flat_map(|each| &each.ports);
        for port in ports.map(|port| port.container_port) {
            let path = format!("/pods/{}:{port}/", pod.name);
            links.push(link(&path, &format!("what pod {} serves there", pod.name)));
        }
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<title>lab {lab}</title>\n<h1>Lab {lab}</h1>\n<ul>\n{}</ul>\n\
         <p>/pods/POD:PORT/PATH is a page of a pod, asked from its node.</p>\n",
        links.concat(),
        lab = dir.name()
    ))
}

/// Names of labs, nodes and pods have no character that means something in HTML.
fn link(path: &str, what: &str) -> String {
    format!("<li><a href=\"{path}\">{path}</a>: {what}</li>\n")
}

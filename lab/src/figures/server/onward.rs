//! Pages of others, fetched from where they are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use sandbox::{Namespace, Namespaces};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Page, TEXT, read, require_pod};
use crate::netd::STATUS_SOCKET;
use crate::node::Node;
use crate::state::{LabDir, Name};

/// Time until a pod takes a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a page.
const MOST: usize = 16 << 20;

/// What a node's netd counts.
pub(super) async fn netd(node: &Node) -> Result<Page> {
    let what = || format!("ask netd on node {}", node.name);
    let socket = node.path(STATUS_SOCKET);
    let stream = UnixStream::connect(socket).await.with_context(what)?;
    fetch(stream, "netd", "/metrics").await.with_context(what)
}

/// A page of a pod's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pod: Name,
    /// Where it listens.
    port: u16,
    /// With its query.
    path: String,
}

impl Target {
    /// Of `/pods/POD:PORT/PATH`, as it was asked for: what is escaped stays so. `None` for a path that leads nowhere.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let asked = uri.path().strip_prefix("/pods/")?;
        let (place, path) = asked.split_once('/').unwrap_or((asked, ""));
        let (pod, port) = place.split_once(':')?;
        let query = uri.query().map(|query| format!("?{query}"));
        Some(Self {
            pod: pod.parse().ok()?,
            port: port.parse().ok()?,
            path: format!("/{path}{}", query.unwrap_or_default()),
        })
    }
}

/// A page of a pod.
pub(super) async fn pod(dir: LabDir, target: Target) -> Result<Page> {
    let Target { pod, port, path } = target;
    let what = format!("ask pod {pod} on port {port}");
    let context = what.clone();
    let (node, address) = read(dir, move |dir| {
        let (node, address) = place(dir, &pod)?;
        Ok((node, address.context("it has no address").context(context)?))
    })
    .await?;
    let address = SocketAddr::new(address, port);
    let connection = tokio::task::spawn_blocking(move || connect(&node, address));
    let page = async {
        let stream = TcpStream::from_std(connection.await??)?;
        fetch(stream, &address.to_string(), &path).await
    };
    page.await.context(what)
}

/// The node of a pod, and the pod's address, if it has one.
fn place(dir: &LabDir, name: &Name) -> Result<(Node, Option<IpAddr>)> {
    let pod = require_pod(dir, name)?;
    let node = Node::find(dir, &pod.node)?;
    let address = pod.reached_at(&node)?;
    Ok((node, address))
}

/// From the node, as its kubelet would.
fn connect(node: &Node, address: SocketAddr) -> Result<std::net::TcpStream> {
    let network = Namespaces::of(&node.holder, &[Namespace::Network])?;
    let stream = network.run(|| std::net::TcpStream::connect_timeout(&address, PATIENCE))??;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

async fn fetch(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> Result<Page> {
    let request = Request::get(path)
        .header(HOST, host)
        .header("Connection", "close")
        .body(String::new())
        .with_context(|| format!("request of {path:?}"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .context("speak HTTP")?;
    let page = async {
        let answer = sender.send_request(request).await.context("HTTP request")?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST).collect().await;
        let body = body.map_err(|error| anyhow!("read the page: {error}"))?;
        Ok(Page {
            status: head.status,
            kind: head.headers.get(CONTENT_TYPE).cloned().unwrap_or(TEXT),
            body: body.to_bytes(),
        })
    };
    let mut page = std::pin::pin!(page);
    tokio::select! {
        page = &mut page => page,
        // It may have brought the page and ended.
        _ = connection => page.await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_path_names_a_pod_its_port_and_a_page() {
        for (asked, port, path) in [
            ("/pods/web:80", 80, "/"),
            ("/pods/web:80/", 80, "/"),
            ("/pods/web:8080/a%2Fb/c?d=e", 8080, "/a%2Fb/c?d=e"),
        ] {
            let expected = Target {
                pod: "web".parse().unwrap(),
                port,
                path: path.to_owned(),
            };
            assert_eq!(
                Target::of(&asked.parse().unwrap()),
                Some(expected),
                "{asked}"
            );
        }
    }
}

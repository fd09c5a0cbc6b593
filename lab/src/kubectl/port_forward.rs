//! `lab port-forward`: ports of a pod, on the machine's loopback.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as Connected};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use clap::Args;
use futures::future::try_join_all;
use sandbox::{Namespace, Namespaces};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::print;
use super::selection::pod_name;
use crate::node::Node;
use crate::output::{complain, escaped_lines};
use crate::pod::Pod;
use crate::state::{LabDir, Name};
use crate::{keeper, web};

/// `lab port-forward`
#[derive(Debug, Args)]
#[command(after_help = "Example: lab port-forward web 8080:80")]
pub struct PortForwardArgs {
    /// The pod, or pod/NAME
    #[arg(value_parser = pod_name)]
    pub pod: Name,
    /// Ports of TCP: the machine's and the pod's, or one for both; with :PORT the machine's is any free one
    #[arg(required = true, value_name = "[LOCAL:]PORT")]
    pub ports: Vec<Ports>,
}

/// What leads where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// On the machine's loopback; 0 is any free one.
    local: u16,
    /// On the pod's.
    remote: u16,
}

impl FromStr for Ports {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let local = match local {
            "" if text != local => Ok(0),
            local => local.parse(),
        };
        match (local, remote.parse()) {
            (Ok(local), Ok(remote)) if remote > 0 => Ok(Self { local, remote }),
            _ => bail!("{text:?} is no port: give 80, 8080:80 or :80, with numbers up to 65535"),
        }
    }
}

/// Time until a port takes a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections at a time to a port; others wait.
const MOST_CONNECTIONS: usize = 256;

/// Hands on connections until SIGINT or SIGTERM. A connection finds the pod that has the name then.
///
/// # Errors
/// There is no such pod, or it has ended; a port of the machine cannot be had.
pub(super) fn port_forward(dir: &LabDir, args: &PortForwardArgs) -> Result<()> {
    keeper::require(dir)?;
    network(dir, &args.pod)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the event loop")?;
    let forwarded = runtime.block_on(async {
        let end = web::asked_to_end()?;
        let listeners = try_join_all(args.ports.iter().map(listen)).await?;
        for (listener, ports) in listeners.iter().zip(&args.ports) {
            let local = listener.local_addr().context("find the own address")?;
            print(&format!("Forwarding from {local} -> {}\n", ports.remote))?;
        }
        let target = Arc::new((dir.clone(), args.pod.clone()));
        let accepting = listeners.iter().zip(&args.ports).map(|(listener, ports)| {
            let (target, port) = (Arc::clone(&target), ports.remote);
            web::accept(listener, MOST_CONNECTIONS, move |client| {
                hand_on(client, Arc::clone(&target), port)
            })
        });
        tokio::select! {
            never = try_join_all(accepting) => never.map(drop),
            () = end => Ok(()),
        }
    });
    // Connections end with it.
    runtime.shutdown_background();
    forwarded
}

async fn listen(ports: &Ports) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.local));
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        let remote = ports.remote;
        format!("listen on {address} (:{remote} takes any port that is free)")
    })
}

/// Says, on standard error, why a connection comes to nothing.
async fn hand_on(mut client: TcpStream, target: Arc<(LabDir, Name)>, port: u16) {
    let connecting = tokio::task::spawn_blocking(move || connect(&target.0, &target.1, port));
    let connected = connecting.await.map_err(Error::from);
    match connected.and_then(|connected| Ok(TcpStream::from_std(connected?)?)) {
        // Who breaks off has its reasons.
        Ok(mut pod) => drop(copy_bidirectional(&mut client, &mut pod).await),
        Err(error) => complain(escaped_lines(&format!("{error:#}"))),
    }
}

/// Programs in a pod listen on an address of either family, and often on loopback alone.
fn connect(dir: &LabDir, pod: &Name, port: u16) -> Result<Connected> {
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let connect = || {
        let [first, second] = addresses.map(|address| SocketAddr::new(address, port));
        let first = Connected::connect_timeout(&first, PATIENCE);
        first.or_else(|error| Connected::connect_timeout(&second, PATIENCE).map_err(|_| error))
    };
    let connected = network(dir, pod)?.run(connect)?;
    let connected = connected.with_context(|| format!("connect to port {port} of pod {pod}"))?;
    connected.set_nonblocking(true)?;
    Ok(connected)
}

/// The network that a pod has, unless it has ended.
fn network(dir: &LabDir, name: &Name) -> Result<Namespaces> {
    let pod = Pod::find(dir, name)?;
    if pod.status(dir)?.has_ended() {
        bail!("pod {name} has ended: nothing listens there");
    }
    let node = Node::find(dir, &pod.node)?;
    if pod.spec().host_network {
        return node.namespaces();
    }
    let path = node.path(&Pod::netns(name).to_string_lossy());
    let network = Namespaces::at(Namespace::Network, path);
    network.with_context(|| format!("pod {name} has no network (yet)"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn ports_are_kubectls() {
        for (text, local, remote) in [("80", 80, 80), ("8080:80", 8080, 80), (":80", 0, 80)] {
            assert_eq!(
                text.parse::<Ports>().unwrap(),
                Ports { local, remote },
                "{text}"
            );
        }
        for text in ["", "0", "80:", "a:80", "8080:80:1", "65536", "1:0"] {
            let error = text.parse::<Ports>().unwrap_err().to_string();
            assert!(error.contains("is no port: give"), "{text}: {error}");
        }
    }
}

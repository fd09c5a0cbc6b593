//! What probes and lifecycle hooks do.

use std::io::{self, PipeReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use manifest::{Container, Exec, Handler, HttpGet, Port, TcpSocket};
use sandbox::{Process, Signal, signal_group};
use tokio::net::unix::pipe::Receiver;
use tokio::net::{TcpSocket as Socket, TcpStream};
use tokio::runtime::Handle;

use super::{Supervisor, http};
use crate::output::complain;
use crate::pod::Guest;

/// Of what a failed program said, this much is told.
const MOST_SAID: usize = 1024;

impl Supervisor {
    /// Does it once; `process` is the container's first one.
    ///
    /// # Errors
    /// It failed, and why.
    pub(super) async fn handle(
        &self,
        container: &Container,
        process: &Process,
        handler: &Handler,
    ) -> Result<()> {
        match handler {
            Handler::Exec(exec) => self.execute(container, process, exec).await,
            Handler::HttpGet(get) => self.get(container, get).await,
            Handler::TcpSocket(socket) => self.connect_to(container, socket).await.map(drop),
            Handler::Sleep(sleep) => {
                tokio::time::sleep(Duration::from_secs(sleep.seconds.into())).await;
                Ok(())
            }
        }
    }

    async fn execute(&self, container: &Container, process: &Process, exec: &Exec) -> Result<()> {
        let (output, input) = io::pipe().context("make a pipe")?;
        let mut guest = Guest::beside(&self.dir, &self.pod, container, process, &exec.command)?;
        guest
            .command
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .process_group(0);
        guest.pipes.push(output.try_clone()?.into());
        let runtime = Handle::current();
        let mut child = guest.start_by(move |command| {
            let _inside = runtime.enter();
            tokio::process::Command::from(command).spawn()
        })?;
        let too_long = KilledGroup(child.id());
        let (status, said) = listen(&mut child, output).await?;
        too_long.has_ended();
        if status.success() {
            return Ok(());
        }
        match said.trim() {
            "" => bail!("command ended with {status}"),
            said => bail!("{said}"),
        }
    }

    async fn get(&self, container: &Container, get: &HttpGet) -> Result<()> {
        let (stream, address) = self
            .connect(container, get.host.as_deref(), &get.port)
            .await?;
        http::get(stream, address, get).await
    }

    async fn connect_to(&self, container: &Container, socket: &TcpSocket) -> Result<TcpStream> {
        let connected = self.connect(container, socket.host.as_deref(), &socket.port);
        Ok(connected.await?.0)
    }

    /// From the node, as kubelet does.
    async fn connect(
        &self,
        container: &Container,
        host: Option<&str>,
        port: &Port,
    ) -> Result<(TcpStream, SocketAddr)> {
        let address: IpAddr = match host {
            Some(host) => host
                .parse()
                .with_context(|| format!("{host:?} is not an address"))?,
            None => self.address.context("the pod has no address")?,
        };
        let to = SocketAddr::new(address, number(container, port)?);
        let make = || match address {
            IpAddr::V4(_) => Socket::new_v4(),
            IpAddr::V6(_) => Socket::new_v6(),
        };
        let socket = self.node_network.run(make)?.context("make a socket")?;
        let stream = socket.connect(to).await;
        Ok((stream.with_context(|| format!("connect to {to}"))?, to))
    }
}

/// Processes that are killed when nobody waits for their first one any more. A stage and its program are two: the
/// kernel would not end a set-user-ID program with its stage (prctl(2), `PR_SET_PDEATHSIG`).
struct KilledGroup(Option<u32>);

impl KilledGroup {
    /// The first one was waited for: what it left in its container is that one's.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for KilledGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.0
            && let Err(error) = signal_group(leader, Signal::Kill)
        {
            complain(format_args!("{error}: {}", error.source));
        }
    }
}

/// The number of a port that may be named.
fn number(container: &Container, port: &Port) -> Result<u16> {
    match port {
        Port::Number(number) => Ok(*number),
        Port::Name(name) => {
            let named = |each: &&manifest::ContainerPort| each.name.as_ref() == Some(name);
            let found = container.ports.iter().find(named);
            found
                .map(|found| found.container_port)
                .ok_or_else(|| anyhow!("container {} has no port {name:?}", container.name))
        }
    }
}

/// Waits for a program and keeps the beginning of what it says.
async fn listen(
    child: &mut tokio::process::Child,
    output: PipeReader,
) -> Result<(ExitStatus, String)> {
    let output = Receiver::from_owned_fd(OwnedFd::from(output)).context("listen")?;
    let mut said = Vec::new();
    let mut open = true;
    let status = loop {
        tokio::select! {
            biased;
            status = child.wait() => break status.context("wait for the program")?,
            Ok(()) = output.readable(), if open => {
                open = keep(&output, &mut said);
                // One that prints without end does not keep the others, and the time limit, from their turn.
                tokio::task::yield_now().await;
            }
        }
    };
    keep(&output, &mut said);
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

/// Reads once from what is there, as much as is kept of all; whether there can be more.
fn keep(output: &Receiver, said: &mut Vec<u8>) -> bool {
    let mut some = [0; MOST_SAID];
    match output.try_read(&mut some) {
        Ok(length) => {
            let left = MOST_SAID.saturating_sub(said.len());
            said.extend_from_slice(&some[..length.min(left)]);
            length > 0
        }
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

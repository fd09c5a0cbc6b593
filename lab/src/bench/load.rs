//! The ends of a benchmark's traffic. Each runs in a namespace of its own, so each is a process: the
//! servers `lab load serve`, `receive`, `give` and `echo` say `ready` and end with their standard input, the
//! clients `connect`, `stream`, `take`, `packets` and `ask` print their figure.

mod latency;
mod throughput;

pub(super) use latency::Answers;
pub(super) use throughput::{Received, Sent};

use std::{
    io::{self, Read},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Longer than any connection here lives: a lost packet shall end the benchmark, not halt it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to be.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum LoadCommand {
    /// Accept TCP connections on a port and close each, until standard input ends
    Serve {
        /// The port, on every address
        port: u16,
    },
    /// Connect again and again, and print how many connections there were per second
    Connect {
        /// Where to
        to: SocketAddr,
        /// How long
        #[arg(long, default_value_t = 200)]
        milliseconds: u64,
    },
    /// Receive over TCP and UDP until standard input ends, then print what came
    Receive {
        /// The port, on every address
        port: u16,
    },
    /// Send streams of TCP to `receive`, and print how long they took
    Stream {
        /// Where to
        to: SocketAddr,
        /// How long
        #[arg(long)]
        milliseconds: u64,
        /// How many at once
        #[arg(long, default_value_t = 1)]
        streams: usize,
        /// Of what is sent
        #[arg(long)]
        congestion_control: Option<String>,
    },
    /// Send streams of TCP to whoever connects, for as long as they ask, until standard input ends
    Give {
        /// The port, on every address
        port: u16,
        /// Of what is sent
        #[arg(long)]
        congestion_control: Option<String>,
    },
    /// Receive streams of TCP from `give`, and print what came and how long it took
    Take {
        /// Where from
        to: SocketAddr,
        /// How long
        #[arg(long)]
        milliseconds: u64,
        /// How many at once
        #[arg(long, default_value_t = 1)]
        streams: usize,
    },
    /// Send UDP packets to `receive` as fast as they go, and print how many and how long it took
    Packets {
        /// Where to
        to: SocketAddr,
        /// How long
        #[arg(long)]
        milliseconds: u64,
        /// Bytes of data in each
        #[arg(long)]
        payload: usize,
    },
    /// Accept TCP connections on a port and send back each byte, until standard input ends
    Echo {
        /// The port, on every address
        port: u16,
    },
    /// Send `echo` one byte at a time, and print how long answers took
    Ask {
        /// Where to
        to: SocketAddr,
        /// How long
        #[arg(long)]
        milliseconds: u64,
    },
}

/// Runs it.
///
/// # Errors
/// The port is taken; a connection fails.
pub fn run(command: LoadCommand) -> Result<()> {
    match command {
        LoadCommand::Serve { port } => serve(port),
        LoadCommand::Connect { to, milliseconds } => {
            connect(to, Duration::from_millis(milliseconds))
        }
        LoadCommand::Receive { port } => throughput::receive(port),
        LoadCommand::Stream {
            to,
            milliseconds,
            streams,
            congestion_control,
        } => throughput::stream(
            to,
            Duration::from_millis(milliseconds),
            streams,
            congestion_control.as_deref(),
        ),
        LoadCommand::Give {
            port,
            congestion_control,
        } => throughput::give(port, congestion_control.as_deref()),
        LoadCommand::Take {
            to,
            milliseconds,
            streams,
        } => throughput::take(to, Duration::from_millis(milliseconds), streams),
        LoadCommand::Packets {
            to,
            milliseconds,
            payload,
        } => throughput::packets(to, Duration::from_millis(milliseconds), payload),
        LoadCommand::Echo { port } => latency::echo(port),
        LoadCommand::Ask { to, milliseconds } => {
            latency::ask(to, Duration::from_millis(milliseconds))
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    listener.with_context(|| format!("listen on port {port}"))
}

fn connect_to(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE);
    let stream = stream.with_context(|| format!("connect to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// For who started it: a server is ready, or a client's figure.
#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn say(what: impl std::fmt::Display) {
    println!("{what}");
}

/// Returns when whoever started this server closes its standard input, also by dying.
fn wait_for_the_end() {
    // An input that cannot be read has ended.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

fn serve(port: u16) -> Result<()> {
    let listener = listen(port)?;
    say("ready");
    thread::spawn(|| {
        wait_for_the_end();
        process::exit(0);
    });
    // The server closes first, so that the waiting for late packets is its, and the client's
    // ports are free at once.
    for connection in listener.incoming() {
        drop(connection?);
    }
    Ok(())
}

fn connect(to: SocketAddr, time: Duration) -> Result<()> {
    let mut connections = 0_u32;
    let start = Instant::now();
    while connections == 0 || start.elapsed() < time {
        connect_to(to)?
            .read(&mut [0])
            .with_context(|| format!("wait for {to}"))?;
        connections += 1;
    }
    let rate = f64::from(connections) / start.elapsed().as_secs_f64();
    say(format_args!("{rate:.1}"));
    Ok(())
}

//! The ends of a connection benchmark: a server that accepts and closes, and a client that
//! connects, waits for the close and connects again. Each runs in a namespace of its own, so each
//! is a process: `lab load serve`, `lab load connect`.

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
#[derive(Clone, Copy, Debug, clap::Subcommand)]
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
    }
}

#[allow(
    clippy::print_stdout,
    reason = "whoever started the server waits for it"
)]
fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = listener.with_context(|| format!("listen on port {port}"))?;
    println!("ready");
    // Whoever started it ends it by closing its standard input, also by dying.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    // The server closes first, so that the waiting for late packets is its, and the client's
    // ports are free at once.
    for connection in listener.incoming() {
        drop(connection?);
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the figure is the command's result")]
fn connect(to: SocketAddr, time: Duration) -> Result<()> {
    let mut connections = 0_u32;
    let start = Instant::now();
    while start.elapsed() < time {
        let stream = TcpStream::connect_timeout(&to, PATIENCE);
        let mut stream = stream.with_context(|| format!("connect to {to}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .read(&mut [0])
            .with_context(|| format!("wait for {to}"))?;
        connections += 1;
    }
    println!(
        "{:.1}",
        f64::from(connections) / start.elapsed().as_secs_f64()
    );
    Ok(())
}

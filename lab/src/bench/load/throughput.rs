//! As much as goes: TCP streams and UDP packets, and their receiver, which counts.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use kernel::congestion;
use serde::{Deserialize, Serialize};

use super::{PATIENCE, connect_to, listen, say, wait_for_the_end};
use crate::output::complain;

/// Of one read or write of a stream, in bytes; as iperf3.
const BLOCK: usize = 128 << 10;
/// How many packets are sent between two looks at the clock.
const BURST: u64 = 16;

/// When no packet has come for so long after the last was sent, and one did before, none is on its way.
const QUIET: Duration = Duration::from_millis(100);

/// What the receiver counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(in crate::bench) struct Received {
    /// Of all streams.
    pub(in crate::bench) bytes: u64,
    /// Of UDP.
    pub(in crate::bench) packets: u64,
    /// From the first question until the last byte, where the receiver asked for it; else 0.
    pub(in crate::bench) seconds: f64,
}

/// What the sender did.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(in crate::bench) struct Sent {
    /// Of UDP.
    pub(in crate::bench) packets: u64,
    /// From the first byte until the last was received (TCP) or sent (UDP).
    pub(in crate::bench) seconds: f64,
}

#[derive(Default)]
struct Counters {
    bytes: AtomicU64,
    packets: AtomicU64,
}

/// # Errors
/// The port is taken.
pub(super) fn receive(port: u16) -> Result<()> {
    let listener = listen(port)?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
    let socket = socket.with_context(|| format!("receive on port {port} of UDP"))?;
    socket.set_read_timeout(Some(QUIET))?;
    let (counters, ended) = (Arc::new(Counters::default()), Arc::new(OnceLock::new()));
    let streams = counters.clone();
    thread::spawn(move || end_with("receive", accept(&listener, &streams)));
    let (packets, end) = (counters.clone(), ended.clone());
    let late = thread::spawn(move || end_with("receive", count_packets(&socket, &packets, &end)));
    say("ready");
    wait_for_the_end();
    ended.get_or_init(Instant::now);
    late.join().map_err(|_| anyhow!("a thread panicked"))?;
    let received = Received {
        bytes: counters.bytes.load(Relaxed),
        packets: counters.packets.load(Relaxed),
        seconds: 0.0,
    };
    say(serde_json::to_string(&received)?);
    Ok(())
}

/// An end that misses something is none.
fn end_with(server: &str, result: Result<()>) {
    if let Err(error) = result {
        complain(format_args!("{server}: {error:#}"));
        process::exit(1);
    }
}

fn accept(listener: &TcpListener, counters: &Arc<Counters>) -> Result<()> {
    for stream in listener.incoming() {
        let (stream, counters) = (stream?, counters.clone());
        thread::spawn(move || end_with("receive", count_bytes(stream, &counters)));
    }
    Ok(())
}

/// The sender knows by the close that all has come, so that is counted before it.
fn count_bytes(mut stream: TcpStream, counters: &Counters) -> Result<()> {
    Ok(count_until_closed(&mut stream, &counters.bytes)?)
}

fn count_until_closed(stream: &mut TcpStream, counted: &AtomicU64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(()),
            bytes => counted.fetch_add(bytes as u64, Relaxed),
        };
    }
}

/// Until the sender has ended and then none has come for as long as the socket's reads take at most. The
/// first may be late: what carries it may have to wake up.
fn count_packets(socket: &UdpSocket, counters: &Counters, ended: &OnceLock<Instant>) -> Result<()> {
    let mut packet = vec![0; 1 << 16];
    loop {
        // Before the read, so that all of it is after the end.
        let end = ended.get();
        match socket.recv(&mut packet) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => {
                received?;
                counters.packets.fetch_add(1, Relaxed);
                continue;
            }
        }
        if end.is_some_and(|end| counters.has_some() || end.elapsed() >= PATIENCE) {
            return Ok(());
        }
    }
}

impl Counters {
    /// Of packets, or of streams: then none of packets will come.
    fn has_some(&self) -> bool {
        self.packets.load(Relaxed) > 0 || self.bytes.load(Relaxed) > 0
    }
}

/// # Errors
/// A connection cannot be had, or breaks.
pub(super) fn stream(
    to: SocketAddr,
    time: Duration,
    streams: usize,
    congestion_control: Option<&str>,
) -> Result<()> {
    let connections = connect_all(to, streams)?;
    for connection in &connections {
        choose(congestion_control, connection)?;
    }
    let start = Instant::now();
    let end = start + time;
    at_once(connections, |connection| send_until(end, connection))
        .with_context(|| format!("send to {to}"))?;
    print_sent(0, start)
}

fn choose(congestion_control: Option<&str>, connection: &TcpStream) -> Result<()> {
    if let Some(name) = congestion_control {
        congestion::choose(name, connection)?;
    }
    Ok(())
}

fn connect_all(to: SocketAddr, streams: usize) -> Result<Vec<TcpStream>> {
    (0..streams).map(|_| connect_to(to)).collect()
}

/// Runs `each` on a thread for every connection; what they gave.
fn at_once<T: Send>(
    connections: Vec<TcpStream>,
    each: impl Fn(TcpStream) -> io::Result<T> + Sync,
) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let threads = connections.into_iter();
        let threads: Vec<_> = threads
            .map(|connection| scope.spawn(|| each(connection)))
            .collect();
        let ends = threads.into_iter().map(|thread| {
            let end = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
            Ok(end?)
        });
        ends.collect()
    })
}

/// Until then, at least once, and until the receiver has all.
fn send_until(end: Instant, mut connection: TcpStream) -> io::Result<()> {
    let block = vec![0; BLOCK];
    loop {
        connection.write_all(&block)?;
        if Instant::now() >= end {
            break;
        }
    }
    connection.shutdown(Shutdown::Write)?;
    connection.read(&mut [0]).map(|_| ())
}

/// # Errors
/// The port is taken.
pub(super) fn give(port: u16, congestion_control: Option<&str>) -> Result<()> {
    let listener = listen(port)?;
    say("ready");
    thread::spawn(|| {
        wait_for_the_end();
        process::exit(0);
    });
    for stream in listener.incoming() {
        let stream = stream?;
        choose(congestion_control, &stream)?;
        thread::spawn(move || end_with("give", give_what_is_asked(stream)));
    }
    Ok(())
}

/// For as many milliseconds as the first eight bytes say.
fn give_what_is_asked(mut stream: TcpStream) -> Result<()> {
    let mut time = [0; 8];
    stream.read_exact(&mut time)?;
    let time = Duration::from_millis(u64::from_be_bytes(time));
    Ok(send_until(Instant::now() + time, stream)?)
}

/// # Errors
/// A connection cannot be had, or breaks.
pub(super) fn take(to: SocketAddr, time: Duration, streams: usize) -> Result<()> {
    let connections = connect_all(to, streams)?;
    let start = Instant::now();
    let bytes = at_once(connections, |connection| ask_and_count(time, connection));
    let bytes = bytes.with_context(|| format!("receive from {to}"))?;
    let received = Received {
        bytes: bytes.into_iter().sum(),
        packets: 0,
        seconds: start.elapsed().as_secs_f64(),
    };
    say(serde_json::to_string(&received)?);
    Ok(())
}

fn ask_and_count(time: Duration, mut connection: TcpStream) -> io::Result<u64> {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    connection.write_all(&milliseconds.to_be_bytes())?;
    let counted = AtomicU64::new(0);
    count_until_closed(&mut connection, &counted)?;
    Ok(counted.into_inner())
}

/// # Errors
/// A packet cannot be sent.
pub(super) fn packets(to: SocketAddr, time: Duration, payload: usize) -> Result<()> {
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = socket.context("make a UDP socket")?;
    socket.connect(to).with_context(|| format!("reach {to}"))?;
    let packet = vec![0; payload];
    let mut packets = 0;
    let start = Instant::now();
    loop {
        for _ in 0..BURST {
            let sent = socket.send(&packet);
            sent.with_context(|| format!("send {payload} bytes to {to}"))?;
        }
        packets += BURST;
        if start.elapsed() >= time {
            break;
        }
    }
    print_sent(packets, start)
}

fn print_sent(packets: u64, start: Instant) -> Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    say(serde_json::to_string(&Sent { packets, seconds })?);
    Ok(())
}

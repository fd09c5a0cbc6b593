//! Runs a load over a path, by iperf3 or by the lab's own ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use super::cores::{Cores, list};
use super::cpu;
use super::family::Family;
use super::loads::{Figures, Generator, Load};
use super::maker::Ends;
use super::wire::said;
use crate::bench::file::legible;
use crate::bench::load::{Answers, Received, Sent};
use crate::bench::netd::{Process, wait_for};
use crate::bench::world::{command, command_in, server_in};
use crate::demo::throughput::received;

/// Where every server listens; iperf3's own.
pub(super) const PORT: u16 = 5201;

/// A load over a path.
pub(super) struct Traffic<'a> {
    pub(super) load: Load,
    pub(super) ends: &'a Ends,
    pub(super) family: Family,
    pub(super) cores: Option<&'a Cores>,
    /// How long.
    pub(super) time: Duration,
    /// Of streams.
    pub(super) generator: Generator,
    /// Of streams; the machine's, if none.
    pub(super) congestion_control: Option<&'a str>,
}

/// What came of it.
pub(super) struct Outcome {
    /// The client, as it was run.
    pub(super) command: String,
    pub(super) figures: Figures,
    /// For how long the sender really sent.
    pub(super) seconds: f64,
    /// Of the whole machine, from the client's start until all that was sent has come.
    pub(super) cpu_seconds: f64,
    /// Of data without headers that arrived, if it is about them.
    pub(super) bits: Option<f64>,
    /// Some of the answers' times, in the order of the questions.
    pub(super) latencies: Vec<f64>,
}

/// What a client did and what that cost.
struct Done<T> {
    answer: T,
    command: String,
    cpu_seconds: f64,
}

impl Traffic<'_> {
    /// Runs it once.
    ///
    /// # Errors
    /// A program fails, or nothing arrives.
    pub(super) fn run(&self) -> Result<Outcome> {
        let outcome = match (self.load, self.generator) {
            (Load::Tcp1 | Load::Tcp8, Generator::Iperf3) => self.iperf3(&[]),
            (Load::Tcp1Reverse | Load::Tcp8Reverse, Generator::Iperf3) => {
                self.iperf3(&["--reverse"])
            }
            (Load::Tcp1 | Load::Tcp8, Generator::Lab) => self.streams(),
            (Load::Tcp1Reverse | Load::Tcp8Reverse, Generator::Lab) => self.reverse_streams(),
            (Load::Udp64, _) => self.packets(64),
            (Load::Udp1400, _) => self.packets(1400),
            (Load::Latency, _) => self.latency(),
            (Load::Connections, _) => self.connections(),
        }?;
        match outcome.figures.get(self.load.columns()[0].key) {
            Some(&figure) if figure > 0.0 => Ok(outcome),
            _ => bail!("nothing arrived: {:?}", outcome.figures),
        }
    }

    fn iperf3(&self, direction: &[&str]) -> Result<Outcome> {
        let server = self
            .at_server("iperf3")
            .args(["--server", "--one-off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let mut server = Process(server.context("run iperf3 (package iperf3)")?);
        wait_for("iperf3 to listen", || {
            if let Some(status) = server.0.try_wait()? {
                bail!("iperf3 --server has ended: {status}");
            }
            let listening = ["-ltnH", "sport", "=", &format!(":{PORT}")];
            let listening = said(command_in(&self.ends.server, "ss").args(listening))?;
            Ok(!listening.is_empty())
        })?;
        let mut client = self.at_client("iperf3");
        client
            .args(["--json", "--client", &self.ends.address.to_string()])
            .args(["--time", &self.time.as_secs().to_string()])
            .args(["--parallel", &self.load.at_once().to_string()])
            .args(
                self.congestion_control
                    .iter()
                    .flat_map(|name| ["--congestion", name]),
            )
            .args(direction);
        let done = run(&mut client, received)?;
        let stream = done.answer;
        let bits = stream.bits_per_second * stream.seconds;
        Ok(done.stream(bits, stream.seconds))
    }

    fn streams(&self) -> Result<Outcome> {
        let server = self.serve("receive")?;
        let mut client = self.ask("stream")?;
        client.args(self.at_once()).args(self.congestion_control());
        let done: Done<Sent> = run(&mut client, understood)?;
        let received: Received = server.end()?;
        let seconds = done.answer.seconds;
        Ok(done.stream(received.bytes as f64 * 8.0, seconds))
    }

    fn reverse_streams(&self) -> Result<Outcome> {
        let _server = self.serve_with("give", &self.congestion_control())?;
        let mut client = self.ask("take")?;
        let done: Done<Received> = run(client.args(self.at_once()), understood)?;
        let Received { bytes, seconds, .. } = done.answer;
        Ok(done.stream(bytes as f64 * 8.0, seconds))
    }

    /// As `lab load` takes it.
    fn congestion_control(&self) -> Vec<&str> {
        let named = self.congestion_control.into_iter();
        named
            .flat_map(|name| ["--congestion-control", name])
            .collect()
    }

    fn at_once(&self) -> [String; 2] {
        ["--streams".to_owned(), self.load.at_once().to_string()]
    }

    fn packets(&self, size: usize) -> Result<Outcome> {
        let server = self.serve("receive")?;
        let payload = size - self.family.headers();
        let mut client = self.ask("packets")?;
        client.args(["--payload", &payload.to_string()]);
        let before = cpu::used()?;
        let mut done: Done<Sent> = run(&mut client, understood)?;
        let received: Received = server.end()?;
        // The client does not wait for what is still on its way, and the receiver counts it.
        done.cpu_seconds = cpu::used()? - before;
        let Sent { packets, seconds } = done.answer;
        let lost = 100.0 * (1.0 - received.packets as f64 / packets as f64);
        let figures = [
            ("packets_per_second", received.packets as f64 / seconds),
            ("sent_packets_per_second", packets as f64 / seconds),
            ("lost_percent", lost),
        ];
        Ok(Outcome {
            bits: Some(received.packets as f64 * payload as f64 * 8.0),
            ..done.outcome(&figures, seconds)
        })
    }

    fn latency(&self) -> Result<Outcome> {
        let _server = self.serve("echo")?;
        let mut done: Done<Answers> = run(&mut self.ask("ask")?, understood)?;
        let latencies = std::mem::take(&mut done.answer.some);
        let figures = [
            ("p50_microseconds", done.answer.p50),
            ("p99_microseconds", done.answer.p99),
            ("p999_microseconds", done.answer.p999),
            ("requests", done.answer.count as f64),
        ];
        Ok(Outcome {
            latencies,
            ..done.outcome(&figures, self.time.as_secs_f64())
        })
    }

    fn connections(&self) -> Result<Outcome> {
        let _server = self.serve("serve")?;
        let done: Done<f64> = run(&mut self.ask("connect")?, understood)?;
        let figures = [("connections_per_second", done.answer)];
        Ok(done.outcome(&figures, self.time.as_secs_f64()))
    }

    /// `lab load` at the client's end.
    fn ask(&self, what: &str) -> Result<Command> {
        let to = SocketAddr::new(self.ends.address, PORT);
        let mut command = self.at_client(crate::program::own_executable()?);
        command
            .args(["load", what, &to.to_string()])
            .args(["--milliseconds", &self.time.as_millis().to_string()]);
        Ok(command)
    }

    /// `lab load` at the server's end.
    fn serve(&self, what: &str) -> Result<Server> {
        self.serve_with(what, &[])
    }

    /// The same, with further arguments.
    fn serve_with(&self, what: &str, arguments: &[&str]) -> Result<Server> {
        let mut command = self.at_server(crate::program::own_executable()?);
        command
            .args(["load", what, &PORT.to_string()])
            .args(arguments);
        Server::start(command, what)
    }

    fn at_client(&self, program: impl AsRef<std::path::Path>) -> Command {
        let cores = self.cores.map(|cores| cores.client.as_slice());
        self.pinned(cores, server_in(&self.ends.client, program))
    }

    fn at_server(&self, program: impl AsRef<std::path::Path>) -> Command {
        let cores = self.cores.map(|cores| cores.server.as_slice());
        self.pinned(cores, server_in(&self.ends.server, program))
    }

    fn pinned(&self, cores: Option<&[usize]>, inside: Command) -> Command {
        let Some(cores) = cores else { return inside };
        let mut pinned = command("taskset");
        pinned
            .args(["--cpu-list", &list(cores, self.load.at_once())])
            .arg(inside.get_program())
            .args(inside.get_args());
        pinned
    }
}

impl<T> Done<T> {
    fn outcome(self, figures: &[(&str, f64)], seconds: f64) -> Outcome {
        let figures = figures.iter();
        Outcome {
            command: self.command,
            figures: figures
                .map(|&(key, figure)| (key.to_owned(), figure))
                .collect(),
            seconds,
            cpu_seconds: self.cpu_seconds,
            bits: None,
            latencies: Vec::new(),
        }
    }

    fn stream(self, bits: f64, seconds: f64) -> Outcome {
        Outcome {
            bits: Some(bits),
            ..self.outcome(&[("bits_per_second", bits / seconds)], seconds)
        }
    }
}

/// Runs a client to its end, and reads what it says.
fn run<T>(client: &mut Command, read: impl Fn(&str) -> Result<T>) -> Result<Done<T>> {
    let before = cpu::used()?;
    let said = said(client)?;
    let cpu_seconds = cpu::used()? - before;
    Ok(Done {
        answer: read(&said)?,
        command: words(client)?,
        cpu_seconds,
    })
}

fn understood<T: DeserializeOwned>(said: &str) -> Result<T> {
    serde_json::from_str(said).with_context(|| format!("understand {said:?}"))
}

fn words(command: &Command) -> Result<String> {
    let words = [command.get_program()].into_iter();
    Ok(legible(words.chain(command.get_args()))?.join(" "))
}

/// A server of the lab's own.
struct Server {
    process: Process,
    said: BufReader<ChildStdout>,
}

impl Server {
    fn start(mut command: Command, what: &str) -> Result<Self> {
        let mut child: Child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("run lab load {what}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (process, mut said) = (Process(child), BufReader::new(stdout));
        let mut line = String::new();
        said.read_line(&mut line)?;
        if line != "ready\n" {
            bail!("lab load {what} said {line:?} instead of being ready");
        }
        Ok(Self { process, said })
    }

    /// Ends it; what it counted.
    fn end<T: DeserializeOwned>(mut self) -> Result<T> {
        drop(self.process.0.stdin.take());
        let mut said = String::new();
        self.said.read_to_string(&mut said)?;
        understood(&said)
    }
}

//! Probes between daemons over the overlay: whether packets reach a peer and come back, small ones and
//! those as large as a packet between pods can be, and how long that takes. A netd that probes answers
//! the others' probes as well.

mod record;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::{Ends, Family};
use ipnetwork::IpNetwork;
use tokio::net::UdpSocket;

use crate::health::{Finding, Part, Severity};
use crate::status::{Reach, Reachable, ServedSubnet, Status};
use record::Record;
use wire::{Message, Size};

/// Headers of IP and of UDP or ICMP, bytes.
const HEADERS: [u32; 2] = [28, 48];
/// Peers are not probed at once: so long is it at least from some to the next, which are woken up for
/// together.
const STEP: Duration = Duration::from_millis(20);
/// No packet is larger.
const LARGEST: usize = 1 << 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// From probe to probe of one peer.
    pub interval: Duration,
    /// UDP port, the same on all nodes.
    pub port: u16,
}

/// Sends probes, and answers them.
pub struct Prober {
    probing: Probing,
    ends: Ends,
    /// One for each family of the network.
    sockets: Vec<(Family, UdpSocket)>,
    status: Arc<Status>,
    run: u64,
    started: Instant,
    sequence: u32,
    paths: BTreeMap<IpNetwork, Path>,
    /// Whose packets have this source: more than one's, where leases share a public address.
    sources: BTreeMap<IpAddr, BTreeSet<IpNetwork>>,
}

/// To one subnet.
struct Path {
    public: IpAddr,
    to: IpAddr,
    record: Record,
}

/// No probes can be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The port is another's, perhaps.
    #[error(
        "probes cannot be sent or answered: give another -probe-port on all nodes, or no -probe-interval"
    )]
    Socket(#[source] kernel::Error),
    /// The runtime does not take the socket.
    #[error("probes cannot be waited for")]
    Wait(#[source] io::Error),
}

impl Prober {
    /// Opens the sockets, of the calling thread's namespace.
    ///
    /// # Errors
    /// Another program has the port.
    pub fn open(
        probing: Probing,
        ends: Ends,
        families: impl Iterator<Item = Family>,
        status: Arc<Status>,
    ) -> Result<Self, ProbeError> {
        let socket = |family: Family| {
            let socket = kernel::udp::probing(family.into(), probing.port);
            let socket = UdpSocket::from_std(socket.map_err(ProbeError::Socket)?);
            Ok((family, socket.map_err(ProbeError::Wait)?))
        };
        Ok(Self {
            probing,
            ends,
            sockets: families.map(socket).collect::<Result<_, _>>()?,
            status,
            run: fastrand::u64(..),
            started: Instant::now(),
            sequence: 0,
            paths: BTreeMap::new(),
            sources: BTreeMap::new(),
        })
    }

    /// Round after round, for ever.
    pub async fn run(mut self) {
        loop {
            self.follow(&self.status.served_subnets());
            let mut due: VecDeque<IpNetwork> = self.paths.keys().copied().collect();
            let pace = Pace::of(due.len(), self.probing.interval);
            for _ in 0..pace.steps {
                for subnet in due.drain(..due.len().min(pace.at_once)) {
                    self.probe(subnet);
                }
                self.listen(pace.step).await;
            }
            self.tell();
        }
    }

    /// The peers as they are now; what is known of those that stay is kept.
    fn follow(&mut self, served: &[ServedSubnet]) {
        let mut known = std::mem::take(&mut self.paths);
        self.sources.clear();
        for ServedSubnet { subnet, public } in served {
            let to = match self.ends {
                Ends::Tunnels => subnet.network(),
                Ends::Nodes => *public,
                Ends::Unknown => return,
            };
            // Where packets go to a neighbour as they are, in spite of a tunnel, they have that source.
            for source in [to, *public] {
                self.sources.entry(source).or_default().insert(*subnet);
            }
            let before = known.remove(subnet).filter(|path| path.to == to);
            let record = before.map(|path| path.record).unwrap_or_default();
            let (public, to) = (*public, to);
            self.paths.insert(*subnet, Path { public, to, record });
        }
    }

    fn probe(&mut self, subnet: IpNetwork) {
        let largest = self.status.mtu();
        for size in [Size::Small, Size::Full] {
            let Some(path) = self.paths.get_mut(&subnet) else {
                return;
            };
            self.sequence = self.sequence.wrapping_add(1);
            path.record.sent(size, self.sequence);
            let message = Message {
                is_answer: false,
                size,
                sequence: self.sequence,
                run: self.run,
                sent: micros(self.started.elapsed()),
            };
            let length = match size {
                Size::Small => 0,
                Size::Full => largest.saturating_sub(headers(path.to)) as usize,
            };
            let to = SocketAddr::new(path.to, self.probing.port);
            self.send(&message.to_bytes(length), to);
        }
    }

    /// What cannot be sent is lost like what is lost on the way.
    fn send(&self, bytes: &[u8], to: SocketAddr) {
        let family = Family::of(to.ip());
        let socket = self.sockets.iter().find(|(of, _)| *of == family);
        let Some((_, socket)) = socket else { return };
        if let Err(error) = socket.try_send_to(bytes, to) {
            tracing::debug!(%to, %error, "probe not sent");
        }
    }

    /// Takes what comes for so long.
    async fn listen(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        let mut buffer = vec![0; LARGEST];
        while tokio::time::Instant::now() < end {
            let heard = hear(&self.sockets, &mut buffer);
            let Ok((length, from)) = tokio::time::timeout_at(end, heard).await else {
                return;
            };
            self.take(&buffer[..length], from);
            // However many come: the rest of netd runs on this thread as well.
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        let now = Instant::now();
        // Nobody but a peer is answered, and nothing of anybody else's counts.
        let subnets = self.sources.get(&from.ip());
        let (Some(subnets), Some(message)) = (subnets, Message::parse(bytes)) else {
            return;
        };
        if !message.is_answer {
            heard(&mut self.paths, subnets, now);
            let answer = Message {
                is_answer: true,
                ..message
            };
            self.send(&answer.to_bytes(bytes.len()), from);
        } else if message.run == self.run {
            let age = micros(now - self.started).saturating_sub(message.sent);
            let age = Duration::from_micros(age);
            // The address alone does not say whose probe this answers, its number does.
            for subnet in subnets {
                if let Some(path) = self.paths.get_mut(subnet) {
                    path.record
                        .answered(message.size, message.sequence, age, now);
                }
            }
        }
    }

    /// Has the status say how the paths are, and what is wrong with them.
    fn tell(&self) {
        let (now, interval, mtu) = (Instant::now(), self.probing.interval, self.status.mtu());
        let (mut reach, mut findings) = (BTreeMap::new(), Vec::new());
        for (subnet, path) in &self.paths {
            let how = path.record.reach(subnet.to_string(), now, interval);
            findings.extend(finding(&how, path.public, mtu));
            reach.insert(*subnet, how);
        }
        self.status.probed(reach);
        self.status.report(Part::Probes, findings);
    }
}

/// In which steps a round goes.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    steps: u32,
    step: Duration,
    /// Peers.
    at_once: usize,
}

impl Pace {
    fn of(peers: usize, interval: Duration) -> Self {
        let most = (interval.as_micros() / STEP.as_micros()).max(1);
        let steps = u32::try_from(most.min(peers.max(1) as u128)).unwrap_or(u32::MAX);
        Self {
            steps,
            step: interval / steps,
            at_once: peers.div_ceil(steps as usize),
        }
    }
}

/// The next packet of either family; for ever, where there is none.
async fn hear(sockets: &[(Family, UdpSocket)], buffer: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        for (_, socket) in sockets {
            // An error of the socket is a lost packet.
            if let Ok(heard) = socket.try_recv_from(buffer) {
                return heard;
            }
        }
        match sockets {
            [(_, one)] => drop(one.readable().await),
            [(_, one), (_, other), ..] => tokio::select! {
                _ = one.readable() => {}
                _ = other.readable() => {}
            },
            [] => std::future::pending().await,
        }
    }
}

/// A request came from an address that these have. One that was never answered may be a lease that its
/// node has no more, and nothing is heard of it where another says that the node is there.
fn heard(paths: &mut BTreeMap<IpNetwork, Path>, subnets: &BTreeSet<IpNetwork>, now: Instant) {
    let answers = |path: &Path| path.record.has_answered();
    let is_one_known = subnets
        .iter()
        .any(|subnet| paths.get(subnet).is_some_and(answers));
    for subnet in subnets {
        if let Some(path) = paths.get_mut(subnet)
            && (answers(path) || !is_one_known)
        {
            path.record.heard(now);
        }
    }
}

/// What goes before the data of a UDP packet or a ping to this address, bytes.
pub(crate) fn headers(of: IpAddr) -> u32 {
    HEADERS[usize::from(Family::of(of) == Family::V6)]
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What somebody has to do something about; a peer that never answered may have no probes.
fn finding(reach: &Reach, public: IpAddr, mtu: u32) -> Option<Finding> {
    let peer = format!("{} ({public})", reach.subnet);
    let what = match reach.state {
        Reachable::Yes | Reachable::Unknown => return None,
        Reachable::Silent => {
            let what = format!(
                "{peer} has never answered a probe: its netd has no -probe-interval, or nothing gets \
                 through"
            );
            let finding = Finding::new(Severity::Notice, reach.subnet.clone(), what);
            return Some(finding.command(doctor(public)));
        }
        Reachable::Lossy => format!(
            "{} of the last {} probes to {peer} were lost",
            reach.lost, reach.sent
        ),
        Reachable::SmallOnly => format!(
            "packets of {mtu} bytes to {peer} or from it are lost, small ones are not: something on the \
             way carries less"
        ),
        Reachable::OneWay => format!(
            "probes of {peer} arrive here, and none to it is answered: packets get lost in one direction \
             only"
        ),
        Reachable::No => format!("{peer} answers no probes any more, and none of its arrive"),
    };
    let finding = Finding::new(Severity::Degraded, reach.subnet.clone(), what);
    Some(finding.command(doctor(public)))
}

fn doctor(public: IpAddr) -> String {
    format!("netd doctor --peer {public}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "192.168.50.2";
    const SUBNETS: [&str; 2] = ["10.100.2.0/24", "10.100.3.0/24"];

    /// Of two leases with one public address, without a socket: what it sends is lost.
    fn prober(ends: Ends) -> Prober {
        let mut prober = Prober {
            probing: Probing {
                interval: Duration::from_secs(5),
                port: 8475,
            },
            ends,
            sockets: Vec::new(),
            status: Arc::new(Status::new()),
            run: 7,
            started: Instant::now(),
            sequence: 0,
            paths: BTreeMap::new(),
            sources: BTreeMap::new(),
        };
        prober.follow(&SUBNETS.map(|subnet| ServedSubnet {
            subnet: subnet.parse().unwrap(),
            public: PUBLIC.parse().unwrap(),
        }));
        prober
    }

    /// What comes from the public address.
    fn comes(prober: &mut Prober, is_answer: bool, size: Size, sequence: u32) {
        let message = Message {
            is_answer,
            size,
            sequence,
            run: prober.run,
            sent: 0,
        };
        let from = SocketAddr::new(PUBLIC.parse().unwrap(), 8475);
        prober.take(&message.to_bytes(0), from);
    }

    fn states(prober: &Prober) -> Vec<Reachable> {
        let (now, interval) = (Instant::now(), prober.probing.interval);
        let records = prober.paths.values().map(|path| &path.record);
        records
            .map(|record| record.reach(String::new(), now, interval).state)
            .collect()
    }

    #[test]
    fn an_answer_counts_for_the_subnet_that_was_asked() {
        for ends in [Ends::Nodes, Ends::Tunnels] {
            for (answering, expected) in [
                (vec![0, 1], [Reachable::Yes, Reachable::Yes]),
                (vec![0], [Reachable::Yes, Reachable::Silent]),
                (vec![1], [Reachable::Silent, Reachable::Yes]),
                (vec![], [Reachable::OneWay, Reachable::OneWay]),
            ] {
                let mut prober = prober(ends);
                for _ in 0..4 {
                    for (n, subnet) in SUBNETS.iter().enumerate() {
                        prober.probe(subnet.parse().unwrap());
                        if answering.contains(&n) {
                            let last = prober.sequence;
                            comes(&mut prober, true, Size::Small, last - 1);
                            comes(&mut prober, true, Size::Full, last);
                        }
                    }
                }
                // The node probes as well, which says nothing of a lease that it has no more.
                comes(&mut prober, false, Size::Small, 1);
                assert_eq!(states(&prober), expected, "{ends:?} {answering:?}");
            }
        }
    }

    #[test]
    fn a_round_is_spread_over_its_interval() {
        let second = Duration::from_secs(1);
        for (peers, interval, steps, at_once) in [
            (0, second, 1, 0),
            (1, second, 1, 1),
            (7, second, 7, 1),
            (50, second, 50, 1),
            (51, second, 50, 2),
            (5000, 5 * second, 250, 20),
            (3, STEP / 2, 1, 3),
        ] {
            let pace = Pace::of(peers, interval);
            assert_eq!((pace.steps, pace.at_once), (steps, at_once), "{peers}");
            assert!(pace.at_once * pace.steps as usize >= peers);
            assert_eq!(pace.step, interval / steps);
        }
    }
}

//! What is said between client and server: for a lease, for more of it, and at its end.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{
    ask::Client,
    lease::Lease,
    message::{Mac, Message, MessageType, option},
    timing::Timing,
    wire::{Destination, EVERYBODY, Wire},
};

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// Nobody answered, or nobody kept to what he offered. The reference daemon's text.
    #[error("no more tries")]
    NoMoreTries,
    /// The link failed.
    #[error("exchange DHCP messages")]
    Link(#[from] io::Error),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The address is the client's.
    Granted(Box<Lease>),
    /// It is not; the server may say why.
    Refused(String),
}

/// One client on one link.
pub(crate) struct Exchange<'a, W> {
    pub(crate) wire: &'a W,
    pub(crate) client: &'a Client,
    pub(crate) mac: Mac,
    pub(crate) timing: Timing,
}

struct Offer {
    xid: u32,
    address: Ipv4Addr,
    server: Ipv4Addr,
}

impl<W: Wire> Exchange<'_, W> {
    /// A lease of any server's, and when it was asked for; `only`: of this address, or none.
    pub(crate) async fn acquire(
        &self,
        only: Option<Ipv4Addr>,
    ) -> Result<(Lease, Instant), ExchangeError> {
        let limit = match only {
            None => self.timing.give_up,
            Some(_) => self.timing.answer,
        };
        let found = timeout(limit, self.search(only)).await;
        found.map_err(|_| ExchangeError::NoMoreTries)?
    }

    /// Without end: discovers, requests, and begins again where the server does not keep to it.
    async fn search(&self, only: Option<Ipv4Addr>) -> Result<(Lease, Instant), ExchangeError> {
        let mut pauses = self.timing.pauses();
        loop {
            let offer = self.discover(only).await?;
            let asked = Instant::now();
            let answer = timeout(self.timing.answer, self.select(&offer)).await;
            if let Answer::Granted(lease) = answer.unwrap_or(Ok(refused()))? {
                return Ok((*lease, asked));
            }
            if let Some(pause) = pauses.next() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn discover(&self, only: Option<Ipv4Addr>) -> io::Result<Offer> {
        let message = self.client.discover(self.mac, fastrand::u32(..), only);
        let (offer, _) = self
            .repeat(message, |offer| {
                let is_wanted = only.is_none_or(|only| only == offer.yours);
                offer.kind() == Some(MessageType::Offer)
                    && is_wanted
                    && is_usable(offer.yours)
                    && offer.options.address(option::SERVER).is_some()
            })
            .await?;
        let server = offer.options.address(option::SERVER);
        Ok(Offer {
            xid: offer.xid,
            address: offer.yours,
            server: server.unwrap_or(Ipv4Addr::UNSPECIFIED),
        })
    }

    async fn select(&self, offer: &Offer) -> io::Result<Answer> {
        let message = self
            .client
            .select(self.mac, offer.xid, offer.address, offer.server);
        let answer = self
            .repeat(message, |answer| {
                is_answer(answer, offer.address, Some(offer.server))
            })
            .await?;
        Ok(judged(answer, offer.server))
    }

    /// Asks for more of a lease, once: its server, or `everybody`. `None`: no answer in the time.
    pub(crate) async fn extend(
        &self,
        lease: &Lease,
        everybody: bool,
        time: Duration,
    ) -> Result<Option<Answer>, ExchangeError> {
        let message = self
            .client
            .extend(self.mac, fastrand::u32(..), lease.address);
        let (to, server) = match everybody {
            true => (EVERYBODY, None),
            false => (to_server(lease), Some(lease.server)),
        };
        self.wire.send(&message, lease.address, to).await?;
        let wanted = |answer: &Message| is_answer(answer, lease.address, server);
        match timeout(time, self.hear(message.xid, wanted)).await {
            Ok(answer) => Ok(Some(judged(answer?, lease.server))),
            Err(_) => Ok(None),
        }
    }

    /// Gives a lease back, from its address: the server takes the word of nobody else. Nobody
    /// answers.
    pub(crate) async fn release(&self, lease: &Lease) -> io::Result<()> {
        let message = self.client.release(self.mac, lease.address, lease.server);
        self.wire
            .send(&message, lease.address, to_server(lease))
            .await
    }

    /// Sends a message to everybody until there is an answer.
    async fn repeat(
        &self,
        mut message: Message,
        wanted: impl Fn(&Message) -> bool,
    ) -> io::Result<(Message, Mac)> {
        let begin = Instant::now();
        let mut pauses = self.timing.pauses();
        loop {
            message.secs = begin.elapsed().as_secs().try_into().unwrap_or(u16::MAX);
            self.wire
                .send(&message, Ipv4Addr::UNSPECIFIED, EVERYBODY)
                .await?;
            let pause = pauses.next().unwrap_or(self.timing.longest_pause);
            if let Ok(answer) = timeout(pause, self.hear(message.xid, &wanted)).await {
                return answer;
            }
        }
    }

    /// The next answer to this client that is wanted. Whatever else is heard is not for it.
    async fn hear(
        &self,
        xid: u32,
        wanted: impl Fn(&Message) -> bool,
    ) -> io::Result<(Message, Mac)> {
        loop {
            let (message, from) = self.wire.receive().await?;
            let is_ours = message.is_reply && message.xid == xid && message.mac == self.mac;
            if is_ours && wanted(&message) {
                return Ok((message, from));
            }
        }
    }
}

/// The address and the hardware address that the lease came from: that of the server, or of the
/// router before it, which needs no route and no neighbour in a pod that may be half gone. Where
/// they have changed, everybody is asked in time.
fn to_server(lease: &Lease) -> Destination {
    Destination {
        address: lease.server,
        mac: lease.server_mac,
    }
}

/// Is it DHCPACK of this address, or DHCPNAK, by this server where one is named?
fn is_answer(message: &Message, address: Ipv4Addr, server: Option<Ipv4Addr>) -> bool {
    let by = message.options.address(option::SERVER);
    if server.is_some_and(|server| by.is_some_and(|by| by != server)) {
        return false;
    }
    match message.kind() {
        Some(MessageType::Ack) => message.yours == address,
        Some(MessageType::Nak) => true,
        _ => false,
    }
}

fn judged((answer, from): (Message, Mac), server: Ipv4Addr) -> Answer {
    if answer.kind() == Some(MessageType::Ack) {
        return Answer::Granted(Box::new(Lease::new(answer, from, server)));
    }
    let why = answer.options.get(option::MESSAGE).unwrap_or_default();
    Answer::Refused(String::from_utf8_lossy(why).into_owned())
}

fn refused() -> Answer {
    Answer::Refused(String::new())
}

/// An address that one host can have.
fn is_usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback())
}

#[cfg(test)]
mod tests;

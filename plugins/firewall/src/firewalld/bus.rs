//! The system bus and firewalld on it.

mod patience;

use std::{env, fmt, io, net::IpAddr, os::unix::net::UnixStream, path::Path, time::Duration};

use zbus::{Connection, connection::Builder};

const SERVICE: &str = "org.fedoraproject.FirewallD1";
const OBJECT: &str = "/org/fedoraproject/FirewallD1";
const ZONES: &str = "org.fedoraproject.FirewallD1.zone";
const BUS: &str = "org.freedesktop.DBus";
const BUS_OBJECT: &str = "/org/freedesktop/DBus";
/// Where the bus is, as the reference plugin names it.
const SOCKET: &str = "/var/run/dbus/system_bus_socket";
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Why firewalld did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("dial unix {SOCKET}: connect")]
    NoBus(#[source] Refusal),
    #[error("failed to connect to the system bus")]
    Connect(#[source] Reason),
    #[error("failed to ask the system bus for {SERVICE}")]
    Bus(#[source] Reason),
    #[error("failed to add the address {address} to {zone} zone")]
    Add {
        address: IpAddr,
        zone: String,
        #[source]
        reason: Reason,
    },
    #[error("failed to remove the address {address} from {zone} zone")]
    Remove {
        address: IpAddr,
        zone: String,
        #[source]
        reason: Reason,
    },
    #[error("failed to find the address {source_address} in {zone} zone")]
    Query {
        source_address: String,
        zone: String,
        #[source]
        reason: Reason,
    },
}

impl Error {
    /// Whether it may be another matter later: nobody has answered.
    pub(crate) fn is_silence(&self) -> bool {
        let (Self::Connect(reason)
        | Self::Bus(reason)
        | Self::Add { reason, .. }
        | Self::Remove { reason, .. }
        | Self::Query { reason, .. }) = self
        else {
            return false;
        };
        matches!(reason, Reason::Silent { .. })
    }
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("{who} has not answered for {} s; is it stopped, or overloaded?", waited.as_secs())]
    Silent { who: &'static str, waited: Duration },
    #[error(transparent)]
    Refused(#[from] zbus::Error),
}

/// `No such file or directory (os error 2)` as the reference plugin prints it.
#[derive(Debug)]
pub(crate) struct Refusal(io::Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string().to_lowercase();
        f.write_str(text.split(" (os error").next().unwrap_or_default())
    }
}

impl std::error::Error for Refusal {}

/// A connection to the system bus.
pub(super) struct Bus(Connection);

impl Bus {
    pub(super) fn connect() -> Result<Self, Error> {
        let builder = match env::var(ADDRESS) {
            Ok(address) => Builder::address(address.as_str()),
            Err(_) => Builder::unix_stream(
                UnixStream::connect(Path::new(SOCKET))
                    .map_err(|error| Error::NoBus(Refusal(error)))?,
            ),
        };
        let connection = answer_of("the system bus", builder.build());
        Ok(Self(connection.map_err(Error::Connect)?))
    }

    /// Whether firewalld runs.
    pub(super) fn has_firewalld(&self) -> Result<bool, Error> {
        let asked = async {
            let answer =
                self.0
                    .call_method(Some(BUS), BUS_OBJECT, Some(BUS), "NameHasOwner", &SERVICE);
            answer.await?.body().deserialize()
        };
        answer_of("the system bus", asked).map_err(Error::Bus)
    }

    /// `addSource` or `removeSource`.
    pub(super) fn change(&self, method: &str, zone: &str, source: &str) -> Result<(), Reason> {
        self.call(method, zone, source).map(drop)
    }

    pub(super) fn has_source(&self, zone: &str, source: &str) -> Result<bool, Error> {
        let answer = self.call("querySource", zone, source);
        let has = answer.and_then(|answer| Ok(answer.body().deserialize()?));
        has.map_err(|reason| Error::Query {
            source_address: source.to_owned(),
            zone: zone.to_owned(),
            reason,
        })
    }

    fn call(&self, method: &str, zone: &str, source: &str) -> Result<zbus::Message, Reason> {
        let arguments = (zone, source);
        let asked = self
            .0
            .call_method(Some(SERVICE), OBJECT, Some(ZONES), method, &arguments);
        let answer = answer_of("firewalld", asked);
        if !matches!(answer, Err(Reason::Silent { .. })) {
            patience::restore();
        }
        answer
    }
}

/// What somebody answers to a request, unless that takes too long.
fn answer_of<T>(
    who: &'static str,
    request: impl Future<Output = zbus::Result<T>>,
) -> Result<T, Reason> {
    let answer = patience::wait(request);
    let answer = answer.map_err(|waited| Reason::Silent { who, waited })?;
    Ok(answer?)
}

//! The system bus and firewalld on it.

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
/// libdbus' own limit. firewalld answers late while it loads its rules.
const PATIENCE: Duration = Duration::from_secs(25);

/// Why firewalld did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("dial unix {SOCKET}: connect")]
    NoBus(#[source] Refusal),
    #[error("failed to connect to the system bus")]
    Connect(#[source] zbus::Error),
    #[error("failed to ask the system bus for {SERVICE}")]
    Bus(#[source] zbus::Error),
    #[error("failed to add the address {address} to {zone} zone")]
    Add {
        address: IpAddr,
        zone: String,
        #[source]
        reason: zbus::Error,
    },
    #[error("failed to remove the address {address} from {zone} zone")]
    Remove {
        address: IpAddr,
        zone: String,
        #[source]
        reason: zbus::Error,
    },
    #[error("failed to find the address {source_address} in {zone} zone")]
    Query {
        source_address: String,
        zone: String,
        #[source]
        reason: zbus::Error,
    },
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
    pub(super) async fn connect() -> Result<Self, Error> {
        let builder = match env::var(ADDRESS) {
            Ok(address) => Builder::address(address.as_str()),
            Err(_) => Builder::unix_stream(
                UnixStream::connect(Path::new(SOCKET))
                    .map_err(|error| Error::NoBus(Refusal(error)))?,
            ),
        };
        let connection = builder.method_timeout(PATIENCE).build().await;
        Ok(Self(connection.map_err(Error::Connect)?))
    }

    /// Whether firewalld runs.
    pub(super) async fn has_firewalld(&self) -> Result<bool, Error> {
        let asked = async {
            let answer =
                self.0
                    .call_method(Some(BUS), BUS_OBJECT, Some(BUS), "NameHasOwner", &SERVICE);
            answer.await?.body().deserialize()
        };
        asked.await.map_err(Error::Bus)
    }

    /// `addSource` or `removeSource`.
    pub(super) async fn change(&self, method: &str, zone: &str, source: &str) -> zbus::Result<()> {
        self.call(method, zone, source).await.map(drop)
    }

    pub(super) async fn has_source(&self, zone: &str, source: &str) -> Result<bool, Error> {
        let asked = async {
            self.call("querySource", zone, source)
                .await?
                .body()
                .deserialize()
        };
        asked.await.map_err(|reason| Error::Query {
            source_address: source.to_owned(),
            zone: zone.to_owned(),
            reason,
        })
    }

    async fn call(&self, method: &str, zone: &str, source: &str) -> zbus::Result<zbus::Message> {
        let arguments = (zone, source);
        self.0
            .call_method(Some(SERVICE), OBJECT, Some(ZONES), method, &arguments)
            .await
            .map_err(named)
    }
}

/// Says who has not answered: the library does not.
fn named(error: zbus::Error) -> zbus::Error {
    match &error {
        zbus::Error::InputOutput(refused) if refused.kind() == io::ErrorKind::TimedOut => {
            let silent = format!("firewalld has not answered for {} s", PATIENCE.as_secs());
            zbus::Error::Failure(silent)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewalld_that_hangs_is_named() {
        let told = |kind: io::ErrorKind| named(io::Error::from(kind).into()).to_string();
        let silent = told(io::ErrorKind::TimedOut);
        assert_eq!(silent, "firewalld has not answered for 25 s");
        assert!(!told(io::ErrorKind::BrokenPipe).contains("firewalld"));
    }
}

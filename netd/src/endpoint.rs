//! URLs of etcd's members, checked before anything is done with them.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;

/// Time for finding the addresses of one member.
const LOOKUP: Duration = Duration::from_secs(2);
/// etcd's own, for a URL without a port.
const DEFAULT_PORT: u16 = 2379;

/// What is wrong with an endpoint. The text never holds what may be a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// A user, and perhaps a password, in the URL: status and log print endpoints.
    #[error(
        "an endpoint holds a user or password: give them by -etcd-username and the variable \
         FLANNELD_ETCD_PASSWORD, and the endpoint without the part before the @"
    )]
    Secret,
    /// Not a URL.
    #[error("{0:?} is no URL: give http://HOST:PORT or https://HOST:PORT")]
    NoUrl(String),
}

/// Checks one endpoint: `http://HOST:PORT`, `https://HOST:PORT`, or without a scheme.
///
/// # Errors
/// See [`EndpointError`].
pub fn check(text: &str) -> Result<(), EndpointError> {
    if text.contains('@') {
        return Err(EndpointError::Secret);
    }
    match host_and_port(text) {
        Some(_) => Ok(()),
        None => Err(EndpointError::NoUrl(text.to_owned())),
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let uri: Uri = text.parse().ok()?;
    let known = uri
        .scheme_str()
        .is_none_or(|scheme| matches!(scheme, "http" | "https"));
    let authority = uri.authority().filter(|_| known)?;
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host)?;
    let port = match rest {
        "" => DEFAULT_PORT,
        rest => rest
            .strip_prefix(':')?
            .parse()
            .ok()
            .filter(|port| *port > 0)?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The addresses of the members, as far as they can be found now: none of them may be behind a
/// peer.
pub async fn addresses(endpoints: &[String]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for endpoint in endpoints {
        let Some(host) = host_and_port(endpoint) else {
            continue;
        };
        match tokio::time::timeout(LOOKUP, tokio::net::lookup_host(host)).await {
            Ok(Ok(addresses)) => found.extend(addresses.map(|address| address.ip())),
            Ok(Err(error)) => tracing::debug!(endpoint, %error, "its address is not known"),
            Err(late) => tracing::debug!(endpoint, %late, "its address is not known"),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_by_table() {
        for good in [
            "http://127.0.0.1:2379",
            "https://etcd.example:2379/",
            "http://[2001:db8::1]:2379",
            "127.0.0.1:2379",
            "etcd-0.example",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "not a url",
            "http://",
            "ftp://127.0.0.1:2379",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:0",
            "http://127.0.0.1:port",
            "/var/run/etcd.sock",
            "http:/127.0.0.1",
        ] {
            assert_eq!(
                check(bad),
                Err(EndpointError::NoUrl(bad.to_owned())),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for secret in [
            "http://root:hunter2@127.0.0.1:2379",
            "root:hunter2@127.0.0.1:2379",
            "http://root:hunter2@not a url",
            "http://root@127.0.0.1:2379",
        ] {
            let error = check(secret).expect_err(secret);
            assert_eq!(error, EndpointError::Secret, "{secret}");
            assert!(!error.to_string().contains("hunter2"));
            assert!(error.to_string().contains("-etcd-username"));
        }
    }

    #[test]
    fn addresses_are_found_by_host() {
        assert_eq!(
            host_and_port("https://[fd00::1]:4001"),
            Some(("fd00::1".to_owned(), 4001))
        );
        assert_eq!(host_and_port("h"), Some(("h".to_owned(), DEFAULT_PORT)));
    }
}

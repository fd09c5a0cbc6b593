//! Which server a request means.

use std::net::IpAddr;

use axum::http::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;

/// Whether it means this machine by an address or the name that nobody else can have. Any other name may be one
/// that a web page's owner has lead here, so that the page may read the answer (DNS rebinding). No browser leaves
/// the name out.
pub(super) fn is_loopback<T>(request: &Request<T>) -> bool {
    let named = |host: &Authority| {
        let host = host.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address: IpAddr| address.is_loopback())
    };
    let mut hosts = request.headers().get_all(HOST).iter();
    request.uri().authority().is_none_or(named)
        && hosts.all(|host| Authority::try_from(host.as_bytes()).is_ok_and(|host| named(&host)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn names_that_others_give_are_refused() {
        let asked = |path: &str, hosts: &[&str]| {
            let mut request = Request::get(path);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            is_loopback(&request.body(()).unwrap())
        };
        for good in [
            "127.0.0.1:9180",
            "[::1]:9180",
            "localhost",
            "LOCALHOST:80",
            "127.1.2.3",
        ] {
            assert!(asked("/metrics", &[good]), "{good}");
        }
        for bad in [
            "lab",
            "example.org:9180",
            "127.0.0.1.example.org",
            "192.0.2.1",
            "[::]",
            "",
            "a b",
        ] {
            assert!(!asked("/metrics", &[bad]), "{bad}");
        }
        assert!(asked("/metrics", &[]));
        assert!(!asked("/metrics", &["localhost", "lab"]));
        assert!(asked("http://localhost:1/metrics", &["localhost"]));
        assert!(!asked("http://lab/metrics", &["localhost"]));
    }
}

//! What a request is for.

use hyper::Uri;

use crate::state::Name;

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The figures of all nodes.
    All,
    /// Those of one.
    Node(Name),
    /// The page of a node's netd.
    Netd(Name),
    /// A page of a pod's own.
    Pod {
        /// The pod.
        name: Name,
        /// Where it listens.
        port: u16,
        /// With its query.
        path: String,
    },
}

impl Route {
    /// `None` for a path that leads nowhere.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let mut parts = uri.path().trim_start_matches('/').splitn(3, '/');
        match (parts.next()?, parts.next(), parts.next()) {
            ("metrics", None, None) => Some(Self::All),
            ("metrics", Some(node), None) => Some(Self::Node(node.parse().ok()?)),
            ("metrics", Some(node), Some("netd")) => Some(Self::Netd(node.parse().ok()?)),
            ("pods", Some(pod), path) => {
                let (name, port) = pod.split_once(':')?;
                let query = uri.query().map(|query| format!("?{query}"));
                Some(Self::Pod {
                    name: name.parse().ok()?,
                    port: port.parse().ok()?,
                    path: format!("/{}{}", path.unwrap_or(""), query.unwrap_or_default()),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn of(path: &str) -> Option<Route> {
        Route::of(&path.parse().unwrap())
    }

    #[test]
    fn paths_lead_to_pages() {
        let name = |name: &str| name.parse::<Name>().unwrap();
        let pod = |port, path: &str| Route::Pod {
            name: name("web"),
            port,
            path: path.to_owned(),
        };
        for (path, route) in [
            ("/metrics", Route::All),
            ("/metrics/n1", Route::Node(name("n1"))),
            ("/metrics/n1/netd", Route::Netd(name("n1"))),
            ("/pods/web:80", pod(80, "/")),
            ("/pods/web:80/", pod(80, "/")),
            ("/pods/web:8080/a/b?c=d", pod(8080, "/a/b?c=d")),
        ] {
            assert_eq!(of(path), Some(route), "{path}");
        }
        for path in [
            "/",
            "/metrics/",
            "/metrics/n1/x",
            "/metrics/..",
            "/pods",
            "/pods/web",
            "/pods/web:80000/",
            "/pods/web:x/",
            "/other",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}

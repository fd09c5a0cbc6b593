//! Where the API server is and who netd is there: the service account of its pod, or a kubeconfig.

use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt as _;
use hyper::Uri;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube_client::client::{Body, Client, ConfigExt as _};
use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Config, config};
use tower::{BoxError, ServiceBuilder};

use crate::store::StoreError;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A silent connection is asked for a sign of life this often, three times at most: a server that
/// vanished is noticed within a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Why netd cannot speak to a cluster.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessError {
    #[error("the kubeconfig {1} cannot be used")]
    Kubeconfig(#[source] Box<config::KubeconfigError>, String),
    #[error(
        "netd runs in no pod with a service account: run it in one, or give -kubeconfig-file or \
         -kube-api-url"
    )]
    InCluster(#[source] config::InClusterError),
    #[error(
        "the kubeconfig {0} has its credentials made by a program (exec, auth-provider): netd executes \
         none; give a token, a token file or a client certificate"
    )]
    Program(String),
    #[error("the kubeconfig {0} asks for a proxy: netd speaks to API servers without one")]
    Proxy(String),
    #[error("{0:?} is no URL of an API server: give https://HOST:PORT")]
    Url(String),
    #[error("its credentials cannot be used")]
    Client(#[source] Box<kube_client::Error>),
}

/// The place of the credentials, which are read anew for each client.
#[derive(Clone, Debug)]
pub(super) struct Access {
    url: Option<Uri>,
    kubeconfig: Option<PathBuf>,
}

impl Access {
    pub(super) fn new(url: &str, kubeconfig: Option<PathBuf>) -> Result<Self, StoreError> {
        let url = match url {
            "" => None,
            url => Some(parse(url).map_err(|error| unusable(&error))?),
        };
        Ok(Self { url, kubeconfig })
    }

    /// The credentials as they are now.
    pub(super) fn read(&self) -> Result<Config, AccessError> {
        let mut config = match (&self.kubeconfig, &self.url) {
            (Some(path), _) => kubeconfig(path)?,
            (None, Some(url)) => Config::new(url.clone()),
            (None, None) => Config::incluster().map_err(AccessError::InCluster)?,
        };
        if let Some(url) = &self.url {
            config.cluster_url = url.clone();
        }
        Ok(config)
    }

    /// A client with the credentials as they are now; it reads a token file, and in a pod the
    /// authorities, again within a minute.
    pub(super) fn client(&self) -> Result<Client, AccessError> {
        let config = self.read()?;
        let failed = |error| AccessError::Client(Box::new(error));
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_keepalive(Some(KEEP_ALIVE));
        connector.set_keepalive_interval(Some(KEEP_ALIVE));
        connector.set_keepalive_retries(Some(3));
        let https = config.rustls_https_connector_with_connector(connector);
        let http: HttpClient<_, Body> =
            HttpClient::builder(TokioExecutor::new()).build(https.map_err(failed)?);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer().map_err(failed)?)
            .layer(config.extra_headers_layer().map_err(failed)?)
            .map_err(BoxError::from)
            .service(http);
        Ok(Client::new(service, config.default_namespace))
    }
}

fn parse(url: &str) -> Result<Uri, AccessError> {
    let parsed: Option<Uri> = url.parse().ok();
    let usable =
        |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && !url.contains('@');
    parsed
        .filter(usable)
        .ok_or_else(|| AccessError::Url(url.to_owned()))
}

fn kubeconfig(path: &PathBuf) -> Result<Config, AccessError> {
    let shown = path.display().to_string();
    let failed = |error| AccessError::Kubeconfig(Box::new(error), shown.clone());
    let read = Kubeconfig::read_from(path).map_err(failed)?;
    let options = KubeConfigOptions::default();
    // It reads files and waits for nothing.
    let config = Config::from_custom_kubeconfig(read, &options).now_or_never();
    let config = config
        .unwrap_or(Err(config::KubeconfigError::FindPath))
        .map_err(failed)?;
    let user = &config.auth_info;
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(AccessError::Program(shown));
    }
    match config.proxy_url {
        Some(_) => Err(AccessError::Proxy(shown)),
        None => Ok(config),
    }
}

/// Nothing that waiting would mend.
pub(super) fn unusable(error: &AccessError) -> StoreError {
    StoreError::Options {
        store: "Kubernetes".to_owned(),
        problem: crate::chain(error),
        source: None,
    }
}

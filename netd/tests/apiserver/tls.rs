//! TLS, with the certificates of `common`.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// How a server proves who it is, and whom it lets in.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// With the files that `make_certificates` makes; with `clients` it wants a certificate of them.
    pub fn new(dir: &Path, clients: bool) -> Self {
        let certificates = |name: &str| {
            let read = CertificateDer::pem_file_iter(dir.join(name)).expect(name);
            read.map(|certificate| certificate.expect(name))
                .collect::<Vec<_>>()
        };
        let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).expect("key");
        let config = ServerConfig::builder();
        let config = match clients {
            false => config.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("ca.pem") {
                    roots.add(certificate).expect("ca");
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
                config.with_client_cert_verifier(verifier.build().expect("verifier"))
            }
        };
        let config = config.with_single_cert(certificates("server.pem"), key);
        Self(Arc::new(config.expect("certificate")))
    }

    pub fn accept(&self, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
        let connection = ServerConnection::new(Arc::clone(&self.0)).expect("connection");
        StreamOwned::new(connection, stream)
    }
}

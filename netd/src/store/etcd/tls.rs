//! TLS as the files ask for, which are read again when they change: certificates are renewed while
//! netd runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use etcd_client::{Certificate, Identity, TlsOptions};

use super::EtcdOptions;
use crate::store::StoreError;
use crate::unreadable;

/// The files, and what they said when they could last be read.
pub(super) struct Tls {
    files: Files,
    stamps: Vec<Option<Stamp>>,
    options: Option<TlsOptions>,
}

struct Files {
    /// The authorities of the server; alone they are enough (flanneld ignores them then).
    ca: Option<PathBuf>,
    /// The client's certificate and key.
    client: Option<(PathBuf, PathBuf)>,
}

/// What tells a file from the one that was there before: device, inode, size, and time of change in
/// seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file is missing or not PEM; a certificate without its key, or the other way round.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
        let files = Files::new(options)?;
        // Before reading: a change in between is met next time.
        let stamps = files.stamps();
        let options = files.read()?;
        Ok(Self {
            files,
            stamps,
            options,
        })
    }

    /// What the files said when they could last be read; nothing when none is given.
    pub(super) fn options(&self) -> Option<&TlsOptions> {
        self.options.as_ref()
    }

    /// Reads the files again if they have changed; says whether they say something new. Files that
    /// cannot be read are told once, and what they said before holds.
    pub(super) fn refresh(&mut self) -> bool {
        let stamps = self.files.stamps();
        if stamps == self.stamps {
            return false;
        }
        self.stamps = stamps;
        match self.files.read() {
            Ok(options) => {
                tracing::info!("the TLS files of etcd have changed: the next connection uses them");
                self.options = options;
                true
            }
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(
                    error,
                    "the TLS files of etcd have changed, what they said before is used"
                );
                false
            }
        }
    }
}

impl Files {
    fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
        let client = match (&options.cert_file, &options.key_file) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            // One of them alone would be dropped, and netd would speak to etcd without a name.
            (cert, _) => {
                let (given, missing) = match cert {
                    Some(_) => ("certificate", "key"),
                    None => ("key", "certificate"),
                };
                let problem = format!("a client {given} is given without its {missing}: give both");
                return Err(unusable(problem, None));
            }
        };
        Ok(Self {
            ca: options.ca_file.clone(),
            client,
        })
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        let files = self.ca.iter().chain(client);
        files.map(|path| stamp(path)).collect()
    }

    fn read(&self) -> Result<Option<TlsOptions>, StoreError> {
        if self.ca.is_none() && self.client.is_none() {
            return Ok(None);
        }
        let mut tls = TlsOptions::new();
        if let Some(path) = &self.ca {
            tls = tls.ca_certificate(Certificate::from_pem(pem(path)?));
        }
        if let Some((cert, key)) = &self.client {
            tls = tls.identity(Identity::from_pem(pem(cert)?, pem(key)?));
        }
        Ok(Some(tls))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
    ))
}

fn pem(path: &Path) -> Result<Vec<u8>, StoreError> {
    let text = fs::read(path).map_err(|source| {
        unusable(
            format!(
                "cannot read {}{}",
                path.display(),
                unreadable::hint(path, &source)
            ),
            Some(source.into()),
        )
    })?;
    if !String::from_utf8_lossy(&text).contains("-----BEGIN ") {
        return Err(unusable(
            format!("{} is not a PEM file", path.display()),
            None,
        ));
    }
    Ok(text)
}

fn unusable(
    problem: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Options {
        store: "etcd".to_owned(),
        problem,
        source,
    }
}

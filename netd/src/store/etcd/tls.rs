//! TLS as the files ask for, which are read again when they change: certificates are renewed while
//! netd runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use etcd_client::{Certificate, Identity, TlsOptions};

use super::EtcdOptions;
use crate::store::StoreError;
use crate::unreadable;

/// The files.
pub(super) struct Files {
    /// The authorities of the server; alone they are enough (flanneld ignores them then).
    ca: Option<PathBuf>,
    /// The client's certificate and key.
    client: Option<(PathBuf, PathBuf)>,
}

/// What they said at one moment.
pub(super) struct Said {
    stamps: Vec<Option<Stamp>>,
    options: Option<TlsOptions>,
}

/// What tells a file from the one that was there before, and from itself with other rights: device,
/// inode, size, and time of the last change of either in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Said {
    /// How to connect; nothing when no file is given.
    pub(super) fn options(&self) -> Option<&TlsOptions> {
        self.options.as_ref()
    }
}

impl Files {
    /// # Errors
    /// A certificate is given without its key, or the other way round.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
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

    /// Whether they are others than those that said this.
    pub(super) fn have_changed_since(&self, said: &Said) -> bool {
        self.stamps() != said.stamps
    }

    /// What they say now.
    ///
    /// # Errors
    /// A file is missing or not PEM.
    pub(super) fn read(&self) -> Result<Said, StoreError> {
        // Before reading: a change in between is met next time.
        let stamps = self.stamps();
        let options = self.options()?;
        Ok(Said { stamps, options })
    }

    fn options(&self) -> Result<Option<TlsOptions>, StoreError> {
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
        file.ctime(),
        file.ctime_nsec(),
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

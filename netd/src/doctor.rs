//! `netd doctor`: looks at this node, and at the path to a peer, for what commonly goes wrong; says
//! of each finding what it means and what mends it. Changes nothing.

pub mod checks;
pub mod facts;
mod gather;
mod passing;
mod path;

use serde::Serialize;

use crate::commands::Doctor;
use crate::pages;

use checks::Finding;
use gather::system;

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The kernel.
    #[error("the kernel cannot be asked")]
    Kernel(#[from] kernel::Error),
    /// There is no such peer.
    #[error(
        "no peer {0:?} that is served has a lease in the store: give a node's public address, its \
         subnet, or an address in that; netd status --peers names them"
    )]
    NoPeer(String),
    /// The path cannot be probed.
    #[error("{0}")]
    Probe(String),
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What each check says, also where nothing is wrong.
    pub findings: Vec<Finding>,
}

/// Looks.
///
/// # Errors
/// The kernel does not answer; the peer is not known, or cannot be probed.
pub fn run(asked: &Doctor) -> Result<Report, DoctorError> {
    let before = system::bad_checksums();
    let mut facts = gather::gather(&asked.options)?;
    let mut probed = Vec::new();
    if let Some(node) = &asked.peer {
        let peer = path::find(&facts, node).ok_or_else(|| DoctorError::NoPeer(node.clone()))?;
        probed = path::probe(&facts, peer, &path::ping).map_err(DoctorError::Probe)?;
    }
    // The probes' answers are counted, too.
    facts.bad_checksums = system::bad_checksums_since(before);
    let mut findings = checks::judge(&facts);
    findings.extend(probed);
    Ok(Report {
        ok: findings.iter().all(|finding| finding.ok),
        findings,
    })
}

impl Report {
    /// For people; what is well only when `verbose`.
    pub fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            match finding.ok {
                true if verbose => {
                    let what = format!("{}: {}", finding.check, finding.found);
                    pages::line(&mut text, "ok", &what);
                }
                true => {}
                false => {
                    let what = format!("{}: {}", finding.check, finding.found);
                    pages::line(&mut text, "finding", &what);
                    pages::line(&mut text, "", &finding.means);
                    pages::line(&mut text, "", &format!("-> {}", finding.mend));
                }
            }
        }
        let wrong = self.findings.iter().filter(|finding| !finding.ok).count();
        if wrong == 0 {
            pages::line(&mut text, "ok", "nothing was found");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        match serde_json::to_string_pretty(self) {
            Ok(text) => text + "\n",
            Err(error) => serde_json::json!({ "error": error.to_string() }).to_string() + "\n",
        }
    }
}

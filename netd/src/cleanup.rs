//! `netd cleanup`: takes away what netd and flanneld leave on this node when they end, and nothing
//! else.

mod running;

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use backend::Family;
use cluster::{Allocation, SubnetEnv, Subnets};
use ipnetwork::IpNetwork;
use kernel::Netlink;

use crate::commands::Cleanup;
use crate::daemon;
use crate::forwarding;
use crate::options::Options;
use crate::store::{Record, StoreError};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// It would make again what is removed.
    #[error(
        "{0} runs on this node and would make again what is removed: stop it first, or give -force"
    )]
    Running(String),
    /// What is there cannot be found out.
    #[error("cannot look at what is left")]
    Look(#[from] leftovers::Error),
    /// The runtime for the store.
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    /// The store does not tell.
    #[error("cannot look at the leases in the store")]
    Store(#[source] StoreError),
    /// The lease is not this node's to remove.
    #[error("the lease stays, and so does everything else: {0}")]
    Lease(String),
    /// Nobody takes what is printed.
    #[error("cannot print")]
    Print(#[source] io::Error),
}

/// Removes, or says what would be removed, line by line. Returns how many things stay although
/// they should have gone.
///
/// # Errors
/// Nothing was removed.
pub fn run(asked: &Cleanup) -> Result<usize, CleanupError> {
    let options = &asked.options;
    let running = || running::who(&options.status_socket);
    if let Some(who) = (!asked.force).then(running).flatten() {
        return Err(CleanupError::Running(who));
    }
    let parts = parts(asked, options)?;
    let mut stay = 0;
    if parts.is_empty() {
        print("nothing is left of netd or flanneld on this node")?;
    }
    for Part { what, remove } in parts {
        if asked.dry_run {
            print(&format!("would remove {what}"))?;
            continue;
        }
        match remove() {
            Ok(()) => print(&format!("removed {what}"))?,
            Err(error) => {
                stay += 1;
                print(&format!("{what}: stays: {}", crate::chain(&*error)))?;
            }
        }
    }
    Ok(stay)
}

fn print(line: &str) -> Result<(), CleanupError> {
    writeln!(io::stdout(), "{line}").map_err(CleanupError::Print)
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One thing that goes.
struct Part {
    what: String,
    remove: Box<dyn FnOnce() -> Outcome>,
}

/// All that goes, in this order: the lease, which is known by what subnet.env says; the kernel's
/// objects; the files.
fn parts(asked: &Cleanup, options: &Options) -> Result<Vec<Part>, CleanupError> {
    let mut parts = Vec::new();
    if asked.lease {
        parts.extend(lease(options)?);
    }
    let mut left = leftovers::look()?;
    left.extend(leftovers::made_tables(&leftovers::is_flannels_chain)?);
    if asked.flanneld_routes {
        left.extend(leftovers::routes_to(&peers(options)?)?);
    }
    parts.extend(left.into_iter().map(|left| Part {
        what: left.what.clone(),
        remove: Box::new(move || Ok(left.remove()?)),
    }));
    parts.extend(file(&options.subnet_file));
    parts.extend(file(&options.wireguard_key_file).filter(|_| asked.wireguard_key));
    // The process that listens there ends when its device is gone.
    parts.extend(file(&forwarding::socket(options)));
    // A socket on which nobody answers.
    let unanswered = !running::answers(&options.status_socket);
    parts.extend(file(&options.status_socket).filter(|_| unanswered));
    Ok(parts)
}

/// A file, if it is there.
fn file(path: &Path) -> Option<Part> {
    let path = path.to_owned();
    let is_there = !path.as_os_str().is_empty() && fs::symlink_metadata(&path).is_ok();
    is_there.then(|| Part {
        what: path.display().to_string(),
        remove: Box::new(move || match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => Ok(outcome?),
        }),
    })
}

/// The subnet of each lease, and the public address of the node that has it.
fn peers(options: &Options) -> Result<Vec<(IpNetwork, IpAddr)>, CleanupError> {
    let store = daemon::open_store(options).map_err(CleanupError::Store)?;
    let listing = runtime()?
        .block_on(store.list())
        .map_err(CleanupError::Store)?;
    let of_family = |record: &Record, family: Family| {
        Some((
            family.subnet(&record.subnets)?,
            family.public_ip(&record.attrs)?,
        ))
    };
    let records = listing.records.iter();
    let found = records.flat_map(|record| {
        let families = Family::ALL.into_iter();
        families.filter_map(|family| of_family(record, family))
    });
    Ok(found.collect())
}

fn runtime() -> Result<tokio::runtime::Runtime, CleanupError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CleanupError::Runtime)
}

/// The lease that subnet.env names, if this node still holds it.
fn lease(options: &Options) -> Result<Option<Part>, CleanupError> {
    let Some(subnets) = subnets(&options.subnet_file) else {
        let what = format!(
            "{} does not say which one it is; wait for its end, or delete its key in the store",
            options.subnet_file.display()
        );
        return Err(CleanupError::Lease(what));
    };
    let runtime = runtime()?;
    let store = daemon::open_store(options).map_err(CleanupError::Store)?;
    let found = runtime
        .block_on(store.get(subnets))
        .map_err(CleanupError::Store)?;
    let Some(record) = found else {
        return Ok(None);
    };
    // Where a node is known by its name nobody else has its lease.
    if store.allocation() == Allocation::Drawn {
        check_owner(&record, options)?;
    }
    let what = format!("lease {subnets} in {}", store.describe());
    let revision = record.revision;
    Ok(Some(Part {
        what,
        remove: Box::new(
            move || match runtime.block_on(store.delete(subnets, revision))? {
                true => Ok(()),
                false => Err("somebody wrote it at this very moment; try again".into()),
            },
        ),
    }))
}

fn subnets(path: &PathBuf) -> Option<Subnets> {
    SubnetEnv::previous(&fs::read_to_string(path).ok()?)
}

/// Another node's lease is never touched, and what an operator reserved stays reserved.
fn check_owner(record: &Record, options: &Options) -> Result<(), CleanupError> {
    let subnets = record.subnets;
    if record.term.is_none() {
        let what =
            format!("{subnets} is reserved for this node by an operator; delete its key by hand");
        return Err(CleanupError::Lease(what));
    }
    let public: Vec<IpAddr> = Family::ALL
        .into_iter()
        .filter_map(|family| family.public_ip(&record.attrs))
        .collect();
    let given = [
        options.public_ip.map(IpAddr::V4),
        options.public_ipv6.map(IpAddr::V6),
    ];
    let addresses = Netlink::open().and_then(|netlink| netlink.addresses(None));
    let addresses = addresses.map_err(leftovers::Error::Kernel)?;
    let here = |address: &IpAddr| {
        given.contains(&Some(*address))
            || addresses.iter().any(|found| found.address.ip() == *address)
    };
    match public.iter().all(here) && !public.is_empty() {
        true => Ok(()),
        false => Err(CleanupError::Lease(format!(
            "{subnets} is held by {}, which is no address of this node (give -public-ip if it is \
             this node's all the same)",
            public
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        ))),
    }
}

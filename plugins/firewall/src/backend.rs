//! Which backend lets a pod's packets through.

use kernel::{
    Family,
    iptables::{Flavour, Iptables, has_legacy_table},
};

use crate::{
    config::{Backend, Config},
    error::Error,
    firewalld, iptables, native,
    reference::TABLE,
};

/// The backend that the configuration asks for, or the one whose rules decide on this host: firewalld if
/// it runs; iptables if the host uses its old kernel interface, which nothing else can change;
/// nftables, into whose chains iptables writes otherwise.
///
/// # Errors
/// The system bus or nftables cannot be asked.
pub(crate) fn choose(config: &Config) -> Result<Backend, Error> {
    if let Some(backend) = config.backend {
        return Ok(backend);
    }
    if firewalld::runs()? {
        return Ok(Backend::Firewalld);
    }
    if is_legacy() || !native::is_supported()? {
        return Ok(Backend::Iptables);
    }
    Ok(Backend::Nftables)
}

/// Whether the iptables that the administrator chose speaks to the old kernel interface.
fn is_legacy() -> bool {
    let Ok(program) = Iptables::new(Family::V4) else {
        return false;
    };
    match program.flavour() {
        Some(flavour) => flavour == Flavour::Legacy,
        None => has_legacy_table(Family::V4, TABLE),
    }
}

/// STATUS: whether ADD would work.
///
/// # Errors
/// Why it would not.
pub(crate) fn usable(config: &Config) -> Result<(), Error> {
    match choose(config)? {
        Backend::Firewalld => Ok(firewalld::usable(&config.zone)?),
        Backend::Iptables => iptables::usable(),
        Backend::Nftables => Ok(kernel::nft::Nft::open()?.generation().map(drop)?),
    }
}

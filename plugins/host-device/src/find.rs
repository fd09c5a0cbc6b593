//! Finding the device on the host.

use kernel::{Link, MacAddr, Netlink};

use crate::{
    bus::{self, Bus},
    error::{Error, NotFound},
};

/// How the configuration names the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// Name of the link.
    Name(String),
    /// Its hardware address, as written.
    Mac(String),
    /// The directory of its device, as written.
    KernelPath(String),
    /// Its place on a bus.
    Place(Bus),
}

impl Selector {
    /// The device's link on the host.
    ///
    /// # Errors
    /// There is none; links cannot be read.
    pub(crate) fn find(&self, host: &Netlink) -> Result<Link, Error> {
        let found = match self {
            Self::Name(name) => by_name(host, name)?,
            Self::Mac(mac) => by_mac(host, mac)?,
            Self::KernelPath(path) => match bus::links_below(path) {
                Ok(names) => first_of(host, &names, path)?,
                Err(why) => Err(why),
            },
            Self::Place(place) => match place.links() {
                Ok(names) => first_of(host, &names, place.name())?,
                Err(why) => Err(why),
            },
        };
        Ok(found?)
    }

    /// Whether there can be such a device.
    ///
    /// # Errors
    /// An impossible address or path; nothing on the bus.
    pub(crate) fn is_possible(&self) -> Result<(), NotFound> {
        match self {
            Self::Mac(text) => parse_mac(text).map(drop),
            Self::KernelPath(path) => bus::kernel_path(path).map(drop),
            Self::Name(_) | Self::Place(_) => Ok(()),
        }
    }
}

type Found = Result<Link, NotFound>;

fn by_name(host: &Netlink, name: &str) -> Result<Found, kernel::Error> {
    let link = match name.parse() {
        Ok(name) => host.link(&name)?,
        Err(_) => None,
    };
    Ok(link.ok_or_else(|| NotFound::Name(name.to_owned())))
}

fn by_mac(host: &Netlink, text: &str) -> Result<Found, kernel::Error> {
    let mac = match parse_mac(text) {
        Ok(mac) => mac,
        Err(why) => return Ok(Err(why)),
    };
    let has_it = |link: &Link| link.mac == Some(mac);
    let link = host.links()?.into_iter().find(has_it);
    Ok(link.ok_or_else(|| NotFound::NoInterface(text.to_owned())))
}

fn parse_mac(text: &str) -> Result<MacAddr, NotFound> {
    text.parse().map_err(|_| NotFound::Mac(text.to_owned()))
}

/// The first of the names that a link has; sysfs may also show links of other namespaces.
fn first_of(host: &Netlink, names: &[String], place: &str) -> Result<Found, kernel::Error> {
    for name in names {
        if let Ok(link) = by_name(host, name)? {
            return Ok(Ok(link));
        }
    }
    Ok(Err(NotFound::NoInterface(place.to_owned())))
}

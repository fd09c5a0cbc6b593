//! Devices by their place in sysfs.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::error::{Error, NotFound};

const PCI: &str = "/sys/bus/pci/devices";
const AUXILIARY: &str = "/sys/bus/auxiliary/devices";
const DEVICES: &str = "/sys/devices";

/// Drivers that hand a card to a program (DPDK, "Linux Drivers").
const DPDK_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// A place on a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// A PCI address.
    Pci(String),
    /// The name of an auxiliary device, such as a subfunction of a card.
    Auxiliary(String),
}

impl Bus {
    /// The bus that has a device of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if place(PCI, name)?.exists() {
            Some(Self::Pci(name.to_owned()))
        } else if place(AUXILIARY, name)?.exists() {
            Some(Self::Auxiliary(name.to_owned()))
        } else {
            None
        }
    }

    /// What the device is called there.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Pci(name) | Self::Auxiliary(name) => name,
        }
    }

    /// Names of the links of the device at this place; those of a virtio card are below the
    /// virtio device on it.
    pub(crate) fn links(&self) -> Result<Vec<String>, NotFound> {
        let (directory, missing) = match self {
            Self::Pci(address) => (place(PCI, address), NotFound::NoNetOfPci(address.clone())),
            Self::Auxiliary(name) => (
                place(AUXILIARY, name),
                NotFound::NoNetOfAuxiliary(name.clone()),
            ),
        };
        let directory = directory.unwrap_or_default();
        let virtio = virtio_of(&directory)
            .into_iter()
            .map(|name| directory.join(name));
        let places = [directory.clone()].into_iter().chain(virtio);
        let found = places.filter_map(|place| entries(&place.join("net")).ok());
        found
            .into_iter()
            .find(|links| !links.is_empty())
            .ok_or(missing)
    }

    /// What the kernel calls the device of such a link.
    pub(crate) fn devices(&self) -> Vec<String> {
        match self {
            Self::Auxiliary(name) => vec![name.clone()],
            Self::Pci(address) => {
                let directory = place(PCI, address).unwrap_or_default();
                [address.clone()]
                    .into_iter()
                    .chain(virtio_of(&directory))
                    .collect()
            }
        }
    }
}

/// Whether a driver for programs has the card at this PCI address. A card without a driver has no
/// link either.
///
/// # Errors
/// There is no such card.
pub(crate) fn has_dpdk_driver(address: &str) -> Result<bool, Error> {
    let missing = || Error::NoCard(address.to_owned());
    let card = place(PCI, address).ok_or_else(missing)?;
    fs::symlink_metadata(&card).map_err(|_| missing())?;
    let driver = fs::read_link(card.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name);
    Ok(driver.is_some_and(|driver| DPDK_DRIVERS.iter().any(|dpdk| driver == *dpdk)))
}

/// Names of the links below a path of the kernel's devices.
pub(crate) fn links_below(path: &str) -> Result<Vec<String>, NotFound> {
    let net = kernel_path(path)?.join("net");
    entries(&net).map_err(|source| NotFound::Unreadable {
        path: net.display().to_string(),
        source: kernel::Error::new("open", net.display(), source).into(),
    })
}

/// The path without detours, which must lie below `/sys/devices`.
pub(crate) fn kernel_path(path: &str) -> Result<PathBuf, NotFound> {
    let straight = straight(Path::new(path));
    if straight.starts_with(DEVICES) && straight != Path::new(DEVICES) {
        Ok(straight)
    } else {
        Err(NotFound::OutsideOfDevices(path.to_owned()))
    }
}

fn straight(path: &Path) -> PathBuf {
    path.components()
        .fold(PathBuf::new(), |mut straight, part| {
            match part {
                Component::ParentDir => drop(straight.pop()),
                Component::CurDir => {}
                part => straight.push(part),
            }
            straight
        })
}

/// The directory of a device on a bus; `None` for what is no name of one.
fn place(bus: &str, name: &str) -> Option<PathBuf> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Some(Path::new(bus).join(name)),
        _ => None,
    }
}

/// Names of the virtio devices of a card.
fn virtio_of(card: &Path) -> Vec<String> {
    let mut names = entries(card).unwrap_or_default();
    names.retain(|name| name.starts_with("virtio"));
    names
}

fn entries(directory: &Path) -> io::Result<Vec<String>> {
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names = fs::read_dir(directory)?
        .map(name)
        .collect::<io::Result<Vec<String>>>()?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_path_lies_below_the_devices_whatever_its_detours() {
        for (path, straight) in [
            (
                "/sys/devices/pci0000:00/x",
                Some("/sys/devices/pci0000:00/x"),
            ),
            ("/sys/devices/a/../b/", Some("/sys/devices/b")),
            ("/sys/./devices//a", Some("/sys/devices/a")),
            ("/sys/devices/../class/net/m0", None),
            ("/sys/class/net/m0", None),
            ("/sys/devices", None),
            ("/sys/devices2/a", None),
            ("devices/x", None),
            ("", None),
        ] {
            assert_eq!(
                kernel_path(path).ok(),
                straight.map(PathBuf::from),
                "{path}"
            );
        }
    }

    #[test]
    fn a_name_on_a_bus_is_no_path() {
        for (name, is_one) in [
            ("0000:00:05.0", true),
            ("mlx5_core.sf.2", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a/", false),
            ("/a", false),
        ] {
            assert_eq!(place(PCI, name).is_some(), is_one, "{name}");
        }
    }
}

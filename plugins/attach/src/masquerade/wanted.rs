//! `ipMasq` and `ipMasqBackend` of an interface plugin's configuration.

use cni::AddResult;
use ipnetwork::IpNetwork;
use kernel::Undo;

use super::{Backend, Error, Masquerade, Wanted, add, check, remove, usable};
use crate::{Attaching, Identity, check::own_addresses, conf::IpamConf, record};

/// Packets of the container's addresses shall be masqueraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masquerading {
    /// The best there is if none.
    pub backend: Option<Backend>,
}

impl Masquerading {
    /// What the configuration asks for. Only addresses can be masqueraded, so there is nothing to
    /// do without IPAM; an empty backend is as good as none.
    ///
    /// # Errors
    /// An unknown backend.
    pub fn wanted(
        ip_masq: bool,
        backend: Option<&str>,
        ipam: &IpamConf,
    ) -> Result<Option<Self>, Error> {
        if !ip_masq || ipam.is_none() {
            return Ok(None);
        }
        let backend = backend.filter(|backend| !backend.is_empty());
        Ok(Some(Self {
            backend: backend.map(str::parse).transpose()?,
        }))
    }

    /// Masquerades the addresses of a result, and remembers that; the inverse goes onto `undo`
    /// before, because a failure may leave a part.
    ///
    /// # Errors
    /// As [`add`].
    pub fn set_up<'a>(
        self,
        base: &'a Attaching<'_>,
        result: &AddResult,
        undo: &mut Undo<'a>,
    ) -> crate::Result<()> {
        let pod = base.pod();
        let addresses: Vec<IpNetwork> = result.ips.iter().map(|ip| ip.address).collect();
        let to_remove = addresses.clone();
        let backend = self.backend;
        let earlier = record::keep::<Masquerade>(pod, &addresses, Wanted { backend });
        undo.push("masquerade", move || {
            let removed = remove(&pod.identity, &to_remove);
            let back = earlier.come_back();
            removed?;
            Ok(back?)
        })?;
        Ok(add(self.backend, &pod.identity, &addresses)?)
    }

    /// CHECK: the attachment's own addresses are masqueraded; see [`check`].
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(self, identity: Identity<'_>, added: &AddResult) -> Result<(), Error> {
        let ips = own_addresses(identity.ifname, added);
        let addresses: Vec<IpNetwork> = ips.map(|ip| ip.address).collect();
        check(self.backend, &identity, &addresses)
    }

    /// STATUS: see [`usable`].
    ///
    /// # Errors
    /// As [`usable`].
    pub fn is_usable(self) -> Result<(), Error> {
        usable(self.backend)
    }
}

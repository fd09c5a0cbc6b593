//! Attributes of the pod's interface: which ones, what they were, setting them one by one.

use attach::Refusal;
use kernel::{Link, LinkChange, LinkIndex, MacAddr, Netlink};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Those that are given; the others are nobody's business. Also the form, and the order, in which
/// the reference plugin keeps what was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Attributes {
    /// Hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Takes all packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promisc: Option<bool>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Takes all multicast packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allmulti: Option<bool>,
    /// Packets.
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    pub tx_queue_len: Option<u32>,
}

impl Attributes {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `link` has of these.
    pub(crate) fn of(&self, link: &Link) -> Self {
        Self {
            mac: self.mac.and(link.mac),
            promisc: self.promisc.map(|_| link.promisc),
            mtu: self.mtu.map(|_| link.mtu),
            allmulti: self.allmulti.map(|_| link.allmulti),
            tx_queue_len: self.tx_queue_len.map(|_| link.tx_queue_len),
        }
    }

    /// These, and of `others` what is missing.
    pub(crate) fn or(self, others: &Self) -> Self {
        Self {
            mac: self.mac.or(others.mac),
            promisc: self.promisc.or(others.promisc),
            mtu: self.mtu.or(others.mtu),
            allmulti: self.allmulti.or(others.allmulti),
            tx_queue_len: self.tx_queue_len.or(others.tx_queue_len),
        }
    }

    /// Each alone, in the reference plugin's order.
    pub(crate) fn each(&self) -> Vec<Self> {
        let none = Self::default;
        let all = [
            self.mac.map(|mac| Self {
                mac: Some(mac),
                ..none()
            }),
            self.promisc.map(|promisc| Self {
                promisc: Some(promisc),
                ..none()
            }),
            self.mtu.map(|mtu| Self {
                mtu: Some(mtu),
                ..none()
            }),
            self.allmulti.map(|allmulti| Self {
                allmulti: Some(allmulti),
                ..none()
            }),
            self.tx_queue_len.map(|packets| Self {
                tx_queue_len: Some(packets),
                ..none()
            }),
        ];
        all.into_iter().flatten().collect()
    }

    /// Gives these to a link in one request.
    ///
    /// # Errors
    /// The kernel refuses; of several it may have set some.
    pub(crate) fn set(
        &self,
        netlink: &Netlink,
        index: LinkIndex,
        interface: &str,
    ) -> Result<(), Error> {
        let change = LinkChange {
            mac: self.mac,
            promisc: self.promisc,
            mtu: self.mtu,
            allmulti: self.allmulti,
            tx_queue_len: self.tx_queue_len,
            ..LinkChange::default()
        };
        let set = netlink.set_link(index, &change);
        set.map_err(|source| Error::Set {
            what: self.described(),
            interface: interface.to_owned(),
            source: Refusal::from(source),
        })
    }

    /// Looks whether a link has these.
    ///
    /// # Errors
    /// The first that it has not.
    pub(crate) fn check(&self, link: &Link) -> Result<(), Error> {
        let has = self.of(link);
        // Without a hardware address of Ethernet's the link has not the one that is wanted.
        let pairs = [
            ("Ethernet", text(self.mac), text(has.mac)),
            ("promisc", text(self.promisc), text(has.promisc)),
            ("MTU", text(self.mtu), text(has.mtu)),
            (
                "all-multicast mode",
                text(self.allmulti),
                text(has.allmulti),
            ),
            (
                "Transmit Queue Length",
                text(self.tx_queue_len),
                text(has.tx_queue_len),
            ),
        ];
        match pairs.into_iter().find(|(_, wanted, seen)| wanted != seen) {
            None => Ok(()),
            Some((what, wanted, seen)) => Err(Error::Differs {
                what,
                interface: link.name.to_string(),
                wanted,
                seen,
            }),
        }
    }

    /// `MTU 1400`, or several.
    fn described(&self) -> String {
        let all = [
            self.mac.map(|mac| format!("MAC addr {mac}")),
            self.promisc.map(|promisc| format!("promisc {promisc}")),
            self.mtu.map(|mtu| format!("MTU {mtu}")),
            self.allmulti.map(|allmulti| format!("allmulti {allmulti}")),
            self.tx_queue_len.map(|packets| format!("txQLen {packets}")),
        ];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_the_reference_plugin_does() {
        let text = r#"{"mac":"c2:11:22:00:00:01","promisc":false,"mtu":1500,"allmulti":false,"txQLen":1000}"#;
        let all: Attributes = serde_json::from_str(text).unwrap();
        assert_eq!(all.tx_queue_len, Some(1000));
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        assert_eq!(all.each().len(), 5);
        let joined = all
            .each()
            .into_iter()
            .fold(Attributes::default(), |joined, one| joined.or(&one));
        assert_eq!(joined, all);
        let nothing: Attributes = serde_json::from_str("{}").unwrap();
        assert!(nothing.is_empty() && nothing.each().is_empty());
    }

    #[test]
    fn what_was_first_stays() {
        let first = Attributes {
            mtu: Some(1500),
            ..Attributes::default()
        };
        let later = Attributes {
            mtu: Some(1400),
            promisc: Some(false),
            ..Attributes::default()
        };
        let both = first.or(&later);
        assert_eq!((both.mtu, both.promisc), (Some(1500), Some(false)));
    }
}

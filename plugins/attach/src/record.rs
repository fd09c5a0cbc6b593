//! What is remembered of attachments that have packet-filter rules, so that rules which somebody
//! flushed (`nft flush ruleset`, a reload of firewalld) can be made again for every pod that runs.
//!
//! One small file for each attachment and [kind](Rules::KIND) of rules,
//! `/run/podwire/attachments/<kind>/<hash pair>`, in memory: it goes at a reboot, together with the
//! rules. A record never brings back the rules of a pod that is gone ([`living`]): the reference plugins'
//! DEL does not know it. Restoring needs records; and where rules bear no names, as those of firewall with
//! iptables and firewalld, so does a removal that is not told the addresses.
//!
//! A record is there before its rules and until they are gone. ADD [`keep`]s it before it makes them. Whoever
//! removes them sets it aside first and removes it last: DEL ([`forget`]), GC ([`forget_others`]), whoever meets
//! a pod that is gone ([`remove_gone`]). One that is aside counts no longer: whoever restores meanwhile and
//! finds that it does not when he has made rules takes them back, and no lock is needed. What removal leaves
//! aside the next one goes by.
//!
//! What cannot be read is told of and stays: it may name rules that nothing else does. Nor are rules removed
//! because a record was not to be seen.
//!
//! Needs CAP_SYS_ADMIN to look into the pods' namespaces.

mod earlier;
mod leaving;
mod life;
mod restore;
mod sight;
mod store;

use cni::{Attachment, Call};
use ipnetwork::IpNetwork;
use kernel::NetNsId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use earlier::Earlier;
pub use leaving::{Remembered, forget, forget_others, remove_gone};
pub use life::Life;
pub use restore::{
    Manner, Restored, Restorer, Seen, look, restore, restore_and_log, restore_container, settle,
};
use sight::Sight;
pub(crate) use store::make_run;
pub use store::{Kept, RecordError};

use crate::{Identity, owner::Owner};

/// One kind of packet-filter rules that attachments have.
pub trait Rules {
    /// What must be known to make them again, besides the attachment and its addresses.
    type Wanted: Serialize + DeserializeOwned + PartialEq;

    /// What they are called: in reports, and as the directory of their records.
    const KIND: &'static str;

    /// Whether all rules of the attachment are there and at work.
    ///
    /// # Errors
    /// They cannot be looked at.
    fn are_there(record: &Record<Self::Wanted>) -> Result<bool, cni::Error>;

    /// Makes them, where a part may be there.
    ///
    /// # Errors
    /// They cannot be made.
    fn make(record: &Record<Self::Wanted>) -> Result<(), cni::Error>;

    /// Removes them, as DEL does, by what is remembered of their attachment. The records are the caller's to
    /// remove.
    ///
    /// # Errors
    /// They cannot be removed.
    fn remove(
        identity: Identity<'_>,
        remembered: &Remembered<'_, Self::Wanted>,
    ) -> Result<(), cni::Error>;

    /// Whose rules are there, as far as the rules tell it themselves: to find those that belong to
    /// nobody. None by default.
    ///
    /// # Errors
    /// They cannot be read.
    fn owners() -> Result<Vec<Owner>, cni::Error> {
        Ok(Vec::new())
    }
}

/// What is remembered of one attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<W> {
    /// The network's name.
    pub network: String,
    /// `CNI_CONTAINERID`
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// `CNI_IFNAME`
    pub ifname: String,
    /// `CNI_NETNS`
    pub netns: String,
    /// Which namespace that was.
    pub namespace: NetNsId,
    /// The namespace that the rules are in.
    pub host: NetNsId,
    /// How ADD saw the path. None of a record from before this was written down.
    #[serde(default)]
    sight: Option<Sight>,
    /// The pod's addresses with their subnets' prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// What the plugin must know besides.
    pub wanted: W,
}

impl<W> Record<W> {
    /// Of an attachment that is being made.
    ///
    /// # Errors
    /// The container's namespace is not there.
    pub fn new(pod: Pod<'_>, addresses: &[IpNetwork], wanted: W) -> kernel::Result<Self> {
        Ok(Self {
            network: pod.identity.network.to_owned(),
            container_id: pod.identity.container_id.to_owned(),
            ifname: pod.identity.ifname.to_owned(),
            netns: pod.netns.to_owned(),
            namespace: NetNsId::at(pod.netns)?,
            host: NetNsId::current()?,
            sight: Sight::of(pod.netns),
            addresses: addresses.to_vec(),
            wanted,
        })
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            network: &self.network,
            container_id: &self.container_id,
            ifname: &self.ifname,
        }
    }
}

/// An attachment and where its container is.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    /// Whose the rules are.
    pub identity: Identity<'a>,
    /// `CNI_NETNS`
    pub netns: &'a str,
}

impl<'a> Pod<'a> {
    /// The pod of an ADD.
    pub fn new(call: &'a Call<'_>, attachment: &'a Attachment) -> Self {
        Self {
            identity: Identity::new(call, attachment),
            netns: &attachment.netns,
        }
    }
}

/// Remembers an attachment, before its rules are made, and returns what was remembered of it before, which
/// an ADD that fails [has come back](Earlier::come_back), and which DEL knows besides if it is another. What an
/// earlier DEL could not remove goes first.
/// Where the attachment cannot be remembered the pod still gets its rules, and a line in the log says what
/// it lacks.
pub fn keep<R: Rules>(pod: Pod<'_>, addresses: &[IpNetwork], wanted: R::Wanted) -> Earlier<R> {
    let earlier = Earlier::of(pod.identity);
    leaving::finish_del::<R>(pod.identity);
    let record = Record::new(pod, addresses, wanted);
    earlier.make_way(record.as_ref().ok());
    let kept = record
        .map_err(Into::into)
        .and_then(|record| store::write::<R>(&record));
    if let Err(error) = kept {
        let error: &dyn std::error::Error = &*error;
        tracing::warn!(
            error = cni::error::one_line(error),
            "the pod's rules of the kind {} will not come back by themselves if they are flushed",
            R::KIND
        );
    }
    earlier
}

/// The addresses that are given, and those that are remembered besides.
pub fn with_remembered<W>(given: &[IpNetwork], remembered: &[Record<W>]) -> Vec<IpNetwork> {
    let mut all = given.to_vec();
    for address in remembered.iter().flat_map(|record| &record.addresses) {
        if !all.iter().any(|known| known.ip() == address.ip()) {
            all.push(*address);
        }
    }
    all
}

/// The records of all attachments that live, in this network namespace: the path still leads to the
/// same namespace, and the interface is in it with one of the addresses. Of those that cannot be seen from
/// here the log tells.
///
/// # Errors
/// The records cannot be read.
pub fn living<R: Rules>() -> Result<Vec<Record<R::Wanted>>, RecordError> {
    let mut living = Vec::new();
    for Kept { record, .. } in all::<R>()? {
        match life::of(&record) {
            Ok(Life::Living) => living.push(record),
            Ok(Life::Gone | Life::Detached | Life::Elsewhere) => {}
            Ok(Life::Unseen) => tracing::warn!("{}", unseen(&record)),
            Err(error) => {
                let error = cni::error::one_line(&error);
                tracing::warn!(error, "cannot look for the pod at {}", record.netns);
            }
        }
    }
    Ok(living)
}

/// The same but for `owner`'s. None where the records cannot be read, which the log tells.
pub fn other_living<R: Rules>(owner: &Identity<'_>) -> Vec<Record<R::Wanted>> {
    let mut living = living::<R>().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read what is remembered of attachments");
        Vec::new()
    });
    living.retain(|record| record.identity() != *owner);
    living
}

/// Whether the attachment of a record lives.
///
/// # Errors
/// Its pod cannot be looked at.
pub fn life_of<W>(record: &Record<W>) -> crate::Result<Life> {
    life::of(record)
}

fn unseen<W>(record: &Record<W>) -> crate::Error {
    crate::Error::PodUnseen {
        path: record.netns.clone(),
    }
}

/// Every record, oldest first, whether its attachment lives or not.
///
/// # Errors
/// As [`living`].
pub fn all<R: Rules>() -> Result<Vec<Kept<R::Wanted>>, RecordError> {
    store::read_all::<R>(store::Shelf::Kept)
}

/// Every record that is aside: its DEL has begun and not ended, or another ADD of the attachment came after it.
///
/// # Errors
/// As [`living`].
pub fn left<R: Rules>() -> Result<Vec<Kept<R::Wanted>>, RecordError> {
    store::read_all::<R>(store::Shelf::Aside)
}

/// Any record but that of `identity`: a sample of whether rules were flushed, at a cost that does
/// not depend on the number of pods. None where it cannot be read, which the log tells.
pub fn another<R: Rules>(identity: Identity<'_>) -> Option<Record<R::Wanted>> {
    store::read_another::<R>(&identity.hash_pair()).unwrap_or_else(|error| {
        error.tell();
        None
    })
}

/// What is remembered of one attachment, also what is aside: at a cost that does not depend on the number of pods.
///
/// # Errors
/// As [`living`].
pub fn of<R: Rules>(identity: Identity<'_>) -> Result<Vec<Record<R::Wanted>>, RecordError> {
    store::read_all_of::<R>(&identity.hash_pair())
}

/// Whether the attachment is remembered.
pub fn is_kept<R: Rules>(identity: Identity<'_>) -> bool {
    store::exists::<R>(&identity.hash_pair())
}

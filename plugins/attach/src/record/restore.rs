//! Making rules again.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Kept, Life, Record, RecordError, Remembered, Rules, all, is_kept, left, life, remove_gone,
    unseen,
};
use crate::owner::Owner;

/// What to do about rules that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Make them; remove what is left of attachments that are gone.
    Make,
    /// Change nothing.
    Look,
}

/// An attachment whose rules were missing.
#[derive(Debug)]
pub struct Restored {
    /// [`Rules::KIND`]
    pub kind: &'static str,
    /// The attachment, without what only its plugin understands.
    pub record: Record<()>,
    /// Whether the rules are there now, or would have been made.
    pub outcome: Result<(), cni::Error>,
}

/// `masquerade of 10.22.0.2/24 for network "podnet", container "ctr1", interface "eth0"`
impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record {
            network,
            container_id,
            ifname,
            addresses,
            ..
        } = &self.record;
        f.write_str(self.kind)?;
        if !addresses.is_empty() {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            write!(f, " of {}", addresses.join(" and "))?;
        }
        write!(
            f,
            " for network {network:?}, container {container_id:?}, interface {ifname:?}"
        )
    }
}

/// Makes the rules of every living attachment that lacks some, and returns those, and those that
/// cannot be looked at. What is left of those that are gone is removed.
///
/// # Errors
/// The records cannot be read.
pub fn restore<R: Rules>(manner: Manner) -> Result<Vec<Restored>, RecordError> {
    let kept = all::<R>()?.into_iter().map(|kept| kept.record);
    let seen: Vec<_> = kept.map(|record| (life::of(&record), record)).collect();
    if manner == Manner::Make {
        remove_all_gone::<R>(&seen)?;
    }
    Ok(restore_lacking::<R>(manner, seen))
}

/// What fails after so long, as a firewalld that hangs, would do so for each of a node's pods: the first one's is told.
const UNANSWERED: Duration = Duration::from_secs(5);

fn restore_lacking<R: Rules>(
    manner: Manner,
    seen: Vec<(crate::Result<Life>, Record<R::Wanted>)>,
) -> Vec<Restored> {
    // Whoever makes the first may make them all; each one that lacked some is told of.
    let mut lacking = Vec::new();
    for (life, record) in seen {
        let began = Instant::now();
        let lacks = lacks::<R>(life, &record);
        let is_unanswered = lacks.is_err() && began.elapsed() >= UNANSWERED;
        if !matches!(lacks, Ok(false)) {
            lacking.push((lacks, record));
        }
        if is_unanswered {
            break;
        }
    }
    let restored = |(lacks, record): (Result<bool, cni::Error>, Record<R::Wanted>)| Restored {
        kind: R::KIND,
        outcome: match manner {
            Manner::Make => lacks.and_then(|_| make::<R>(&record)),
            Manner::Look => lacks.map(drop),
        },
        record: plain(record),
    };
    lacking.into_iter().map(restored).collect()
}

/// Also what a DEL could not remove. While a pod lives its DEL will be called again.
fn remove_all_gone<R: Rules>(
    seen: &[(crate::Result<Life>, Record<R::Wanted>)],
) -> Result<(), RecordError> {
    let left: Vec<_> = left::<R>()?.into_iter().map(|kept| kept.record).collect();
    let kept = seen
        .iter()
        .filter(|(life, record)| match life {
            Ok(Life::Gone) => true,
            // A runtime may count it as valid: what it has it keeps.
            Ok(Life::Detached) => matches!(R::are_there(record), Ok(false)),
            _ => false,
        })
        .map(|(_, record)| record);
    let left = left
        .iter()
        .filter(|record| matches!(life::of(record), Ok(Life::Gone | Life::Detached)));
    for record in kept.chain(left) {
        if let Err(error) = remove_gone::<R>(record) {
            tracing::warn!(%error, "what is left of {} cannot be removed", R::KIND);
        }
    }
    Ok(())
}

/// [`restore`] for ADD and GC, which do not fail for what is not their own: the log tells.
pub fn restore_and_log<R: Rules>() {
    match restore::<R>(Manner::Make) {
        Ok(restored) => restored.iter().for_each(tell),
        Err(error) => error.tell(),
    }
}

/// The same for the attachments of one container, of which another has just made room.
pub fn restore_container<R: Rules>(container_id: &str) {
    let kept = match all::<R>() {
        Ok(kept) => kept.into_iter(),
        Err(error) => return error.tell(),
    };
    let records = kept
        .map(|kept| kept.record)
        .filter(|record| record.container_id == container_id);
    let seen = records.map(|record| (life::of(&record), record)).collect();
    restore_lacking::<R>(Manner::Make, seen)
        .iter()
        .for_each(tell);
}

fn tell(restored: &Restored) {
    match &restored.outcome {
        Ok(()) => tracing::info!("restored {restored}"),
        Err(error) => tracing::warn!(%error, "cannot restore {restored}"),
    }
}

/// Whether an attachment that lives lacks rules. One that cannot be seen may live.
fn lacks<R: Rules>(
    life: crate::Result<Life>,
    record: &Record<R::Wanted>,
) -> Result<bool, cni::Error> {
    match life? {
        Life::Living => Ok(!R::are_there(record)?),
        Life::Unseen if !R::are_there(record)? => Err(unseen(record).into()),
        Life::Unseen | Life::Elsewhere | Life::Detached | Life::Gone => Ok(false),
    }
}

/// What is remembered of an attachment, and what has become of it and of its rules.
#[derive(Debug)]
pub struct Seen {
    /// [`Rules::KIND`]
    pub kind: &'static str,
    /// The attachment, without what only its plugin understands.
    pub record: Record<()>,
    /// When ADD wrote it.
    pub since: SystemTime,
    /// What became of the attachment.
    pub life: Life,
    /// Whether its rules are there, which those of a living attachment should be.
    pub has_rules: bool,
}

/// Looks at everything that is remembered, and changes nothing.
///
/// # Errors
/// Something cannot be looked at.
pub fn look<R: Rules>() -> Result<Vec<Seen>, cni::Error> {
    let seen = |Kept { record, since }: Kept<R::Wanted>| {
        Ok(Seen {
            kind: R::KIND,
            life: life::of(&record)?,
            has_rules: R::are_there(&record).unwrap_or_else(|error| {
                // As those of a firewalld that ended. All else is worth seeing.
                tracing::warn!(%error, "cannot look at {} of {}", R::KIND, record.container_id);
                false
            }),
            record: plain(record),
            since,
        })
    };
    let mut kept = all::<R>()?;
    kept.extend(left::<R>()?);
    kept.into_iter().map(seen).collect()
}

/// Makes the rules of one attachment, unless a DEL came meanwhile: it has set the record aside
/// before it removed the rules, so rules without a record are too many. Of one that came since the
/// records were read nothing is made: the address may be another pod's by now, which would lose it.
pub(super) fn make<R: Rules>(record: &Record<R::Wanted>) -> Result<(), cni::Error> {
    if !is_kept::<R>(record.identity()) {
        return Ok(());
    }
    R::make(record)?;
    settle::<R>(record)?;
    match !is_kept::<R>(record.identity()) || R::are_there(record)? {
        true => Ok(()),
        false => Err(cni::Error::internal(
            "something else keeps the rules from their work; CHECK says what",
        )),
    }
}

/// What whoever has made rules by a record that he read must do then.
///
/// # Errors
/// The rules of an attachment that was deleted meanwhile cannot be removed.
pub fn settle<R: Rules>(record: &Record<R::Wanted>) -> Result<(), cni::Error> {
    match is_kept::<R>(record.identity()) {
        true => Ok(()),
        false => R::remove(record.identity(), &Remembered::only(record)),
    }
}

fn plain<W>(record: Record<W>) -> Record<()> {
    Record {
        network: record.network,
        container_id: record.container_id,
        ifname: record.ifname,
        netns: record.netns,
        namespace: record.namespace,
        host: record.host,
        sight: record.sight,
        addresses: record.addresses,
        wanted: (),
    }
}

/// A kind of rules for those who restore every kind: `podwire repair`.
#[derive(Clone, Copy, Debug)]
pub struct Restorer {
    /// [`Rules::KIND`]
    pub kind: &'static str,
    /// [`restore`]
    pub restore: fn(Manner) -> Result<Vec<Restored>, RecordError>,
    /// [`restore_and_log`]
    pub restore_and_log: fn(),
    /// [`look`]
    pub look: fn() -> Result<Vec<Seen>, cni::Error>,
    /// [`Rules::owners`]
    pub owners: fn() -> Result<Vec<Owner>, cni::Error>,
}

impl Restorer {
    /// Of one kind.
    pub const fn of<R: Rules>() -> Self {
        Self {
            kind: R::KIND,
            restore: restore::<R>,
            restore_and_log: restore_and_log::<R>,
            look: look::<R>,
            owners: R::owners,
        }
    }
}

//! The node's firewall rules, in flannel's chains, so that either daemon finds the other's: what leaves
//! the pod network is masqueraded, what is forwarded for it is accepted. With iptables, or with
//! nftables (`EnableNFTables`); the rules of the other flavour go.

mod iptables;
mod native;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use cluster::{NetworkConfig, Subnets};
use kernel::nft::Watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::health::{Finding, Part, Severity};
use crate::status::{SourcePorts, Status};
use rules::{Purpose, RuleSet, rule_sets};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Masquerade what leaves the pod network.
    pub masquerade: bool,
    /// Accept what is forwarded for the pod network.
    pub forward: bool,
    /// Random source ports for masqueraded connections.
    pub random_fully: bool,
}

impl Features {
    /// What may be had where these cannot: without random ports, which old iptables lack, without
    /// forward rules, without either.
    fn lesser(self) -> Vec<Self> {
        let random = Self {
            random_fully: false,
            ..self
        };
        let forward = Self {
            forward: false,
            ..self
        };
        let neither = Self {
            forward: false,
            ..random
        };
        match (self.masquerade && self.random_fully, self.forward) {
            (true, true) => vec![random, forward, neither],
            (true, false) => vec![random],
            (false, true) => vec![forward],
            (false, false) => vec![],
        }
    }

    /// With one more of what was `asked` for, each in turn.
    const GREATER: [fn(Self, Self) -> Self; 2] = [
        |kept, asked| Self {
            random_fully: asked.random_fully,
            ..kept
        },
        |kept, asked| Self {
            forward: asked.forward,
            ..kept
        },
    ];

    /// How masqueraded connections get their source ports, where these are kept of what was `asked` for;
    /// nothing where none are masqueraded.
    pub fn source_ports(self, asked: Self) -> Option<SourcePorts> {
        let ports = match (self.random_fully, asked.random_fully) {
            (true, _) => SourcePorts::Random,
            (false, true) => SourcePorts::Refused,
            (false, false) => SourcePorts::Disabled,
        };
        self.masquerade.then_some(ports)
    }
}

/// Rules that cannot be had although they were asked for.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// iptables is missing or refuses.
    #[error("the {what} rules cannot be installed{}", hint(source))]
    Refused {
        /// `masquerade` or `forward`.
        what: &'static str,
        /// Why.
        #[source]
        source: kernel::iptables::Error,
    },
    /// The kernel refuses.
    #[error("the rules cannot be installed with nftables, which EnableNFTables asks for")]
    Nftables(#[source] kernel::Error),
    /// The thread that changed the rules broke.
    #[error("the firewall rules could not be looked at")]
    Thread(#[source] tokio::task::JoinError),
}

/// Where the rules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Iptables,
    Nftables,
}

/// Everything is looked at this often where the kernel tells of changes.
const NFTABLES_RESYNC: Duration = Duration::from_secs(30);
/// From a change to the look at the rules, in which whoever changes one changes others.
const PAUSE: Duration = Duration::from_millis(20);
/// The same at most, while somebody else changes our rules again and again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What had to be left out is asked for again after this many times the period in which iptables is compared: a
/// minute with the usual one. What refused it may have been mended, or have had no time.
const PERIODS_UNTIL_ASKED_AGAIN: u32 = 12;

/// Keeps the rules of one node.
pub struct Firewall {
    flavour: Flavour,
    config: NetworkConfig,
    own: Subnets,
    asked: Features,
    /// What is kept now.
    features: Features,
    sets: Vec<RuleSet>,
    /// What was asked for and had to be left out.
    left_out: Vec<Finding>,
}

impl Firewall {
    /// Installs the rules, and removes those of the other flavour. Masquerading is what the user asked
    /// for, so its failure is an error; forward rules are on by default and may be impossible: then they
    /// are left out with a warning, and asked for again later.
    ///
    /// # Errors
    /// The masquerade rules cannot be installed.
    pub async fn install(
        config: &NetworkConfig,
        own: &Subnets,
        features: Features,
    ) -> Result<Self, FirewallError> {
        let flavour = match config.nftables {
            true => Flavour::Nftables,
            false => Flavour::Iptables,
        };
        let mut firewall = Self {
            flavour,
            config: config.clone(),
            own: *own,
            asked: features,
            features,
            sets: rule_sets(config, own, features),
            left_out: Vec::new(),
        };
        if let Err(error) = firewall.ensure().await {
            firewall.give_in(error).await?;
        }
        flavour.remove_other().await;
        Ok(firewall)
    }

    /// Goes on with what can be had of what was asked for.
    async fn give_in(&mut self, error: FirewallError) -> Result<(), FirewallError> {
        for features in self.asked.lesser() {
            if self.change_to(features).await.is_ok() {
                tracing::warn!(
                    error = %crate::chain(&error),
                    masquerade = features.masquerade,
                    forward = features.forward,
                    random_fully = features.random_fully,
                    "not all firewall rules can be installed, going on with these"
                );
                self.left_out = self.flavour.left_out(self.asked, features, &error);
                return Ok(());
            }
        }
        Err(error)
    }

    /// Asks again for what was left out, one by one. Sets are changed as a whole, so that what is refused again
    /// changes nothing of what is kept.
    async fn ask_again(&mut self) {
        let mut left_out = Vec::new();
        for greater in Features::GREATER {
            let features = greater(self.features, self.asked);
            if features == self.features {
                continue;
            }
            match self.change_to(features).await {
                Ok(()) => tracing::info!(
                    masquerade = features.masquerade,
                    forward = features.forward,
                    random_fully = features.random_fully,
                    "firewall rules that were left out are installed"
                ),
                Err(error) => {
                    left_out.extend(self.flavour.left_out(features, self.features, &error));
                }
            }
        }
        self.left_out = left_out;
    }

    /// Installs and keeps these, if they can be had.
    async fn change_to(&mut self, features: Features) -> Result<(), FirewallError> {
        let sets = rule_sets(&self.config, &self.own, features);
        self.flavour.ensure(sets.clone()).await?;
        (self.sets, self.features) = (sets, features);
        Ok(())
    }

    async fn ensure(&self) -> Result<bool, FirewallError> {
        self.flavour.ensure(self.sets.clone()).await
    }

    /// Puts back what is missing, for ever: iptables is compared every `period`, of nftables the kernel
    /// tells what changes.
    pub async fn keep(mut self, period: Duration, status: Arc<Status>) {
        let mut news = News::of(self.flavour, period);
        let pause = period.saturating_mul(PERIODS_UNTIL_ASKED_AGAIN);
        let mut asked = Instant::now();
        loop {
            if !self.left_out.is_empty() && asked.elapsed() >= pause {
                self.ask_again().await;
                asked = Instant::now();
            }
            // Also once before the first news: what changed since the rules were made nobody told.
            let outcome = self.ensure().await;
            let repaired = matches!(outcome, Ok(true));
            if repaired {
                tracing::warn!("firewall rules were missing or changed, put back");
                status.repaired("firewall rules");
            }
            if repaired {
                news.repaired();
            }
            status.update(|state| state.firewall.repairs += u64::from(repaired));
            let finding = outcome.err().map(|error| {
                let what = format!("firewall rules cannot be kept: {}", crate::chain(&error));
                Finding::new(Severity::NotReady, "rules", what).remedy(self.flavour.remedy())
            });
            self.report(&status, finding.into_iter().chain(news.deaf()));
            news.next().await;
        }
    }

    /// Reports what is kept, what was left out, and what is wrong now.
    pub fn report(&self, status: &Status, findings: impl IntoIterator<Item = Finding>) {
        status.update(|state| {
            state.firewall.masquerade = self.features.masquerade;
            state.firewall.forward = self.features.forward;
            state.firewall.source_ports = self.features.source_ports(self.asked);
        });
        let findings = self.left_out.iter().cloned().chain(findings);
        status.report(Part::Firewall, findings.collect());
    }

    /// Whether there is anything to keep or to ask for again.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.left_out.is_empty()
    }
}

/// When to look at the rules again.
struct News {
    ears: Ears,
    /// From look to look, where nobody tells of changes.
    period: Duration,
    /// From a change to the next look.
    pause: Duration,
    repaired: Option<Instant>,
}

/// How changes are heard of.
enum Ears {
    /// Not at all: iptables tells nobody.
    None,
    /// The kernel tells.
    Open(Watch),
    /// The kernel would tell, but for this.
    Deaf(String),
}

impl Ears {
    fn open() -> Self {
        Watch::open().map_or_else(|error| Self::deaf(&error), Self::Open)
    }

    fn deaf(error: &kernel::Error) -> Self {
        let error = crate::chain(error);
        tracing::warn!(error, "changes of the firewall rules are not heard of");
        Self::Deaf(error)
    }
}

impl News {
    fn of(flavour: Flavour, period: Duration) -> Self {
        let ears = match flavour {
            Flavour::Iptables => Ears::None,
            Flavour::Nftables => Ears::open(),
        };
        Self {
            ears,
            period,
            pause: PAUSE,
            repaired: None,
        }
    }

    /// Waits until the rules are worth a look. Ears that are deaf are opened again before it.
    async fn next(&mut self) {
        match &mut self.ears {
            Ears::None => tokio::time::sleep(self.period).await,
            Ears::Deaf(_) => {
                tokio::time::sleep(self.period).await;
                self.ears = Ears::open();
            }
            Ears::Open(watch) => tokio::select! {
                () = tokio::time::sleep(NFTABLES_RESYNC) => {}
                heard = watch.changed() => {
                    if let Err(error) = heard {
                        self.ears = Ears::deaf(&error);
                    }
                    tokio::time::sleep(self.pause).await;
                }
            },
        }
    }

    /// What is wrong with the ears.
    fn deaf(&self) -> Option<Finding> {
        let Ears::Deaf(error) = &self.ears else {
            return None;
        };
        let what = format!(
            "changes of the firewall rules are not heard of; they are looked at every {:?}: {error}",
            self.period,
        );
        Some(Finding::new(Severity::Notice, "watch of the rules", what))
    }

    /// The next repair waits twice as long, unless there was peace for a while.
    fn repaired(&mut self) {
        let last = self.repaired.replace(Instant::now());
        self.pause = match last {
            Some(last) if last.elapsed() < 2 * LONGEST_PAUSE => LONGEST_PAUSE.min(2 * self.pause),
            _ => PAUSE,
        };
    }
}

/// iptables-legacy has modprobe load its module, for which netd.service lacks the right.
fn hint(error: &kernel::iptables::Error) -> &'static str {
    match error {
        kernel::iptables::Error::Refused { output, .. } if output.contains("insmod?") => {
            " (load the modules of iptables-legacy, which netd may not: modprobe -a ip_tables ip6_tables, \
             and put them into /etc/modules-load.d; or use iptables-nft: update-alternatives --config \
             iptables)"
        }
        _ => "",
    }
}

impl Flavour {
    fn remedy(self) -> &'static str {
        match self {
            Self::Iptables => "install iptables (package iptables), or stop what holds its lock",
            Self::Nftables => "run a kernel with nf_tables, or leave EnableNFTables out",
        }
    }

    /// What `kept` lacks of what was `asked` for, because of `error`.
    fn left_out(self, asked: Features, kept: Features, error: &FirewallError) -> Vec<Finding> {
        let forward = asked.forward && !kept.forward;
        let ports = kept.source_ports(asked) == Some(SourcePorts::Refused);
        [
            forward.then(|| without_forward(error)),
            ports.then(|| self.without_random_ports(error)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn without_random_ports(self, error: &FirewallError) -> Finding {
        let what = format!(
            "masqueraded connections do not get source ports at random: of two that begin at once one \
             may lose its first packet: {}",
            crate::chain(error)
        );
        let able = match self {
            Self::Iptables => "install iptables 1.6.2 or newer",
            Self::Nftables => "run a kernel that has `masquerade fully-random`",
        };
        let remedy =
            format!("{able}; where it does no harm, start netd with -ip-masq-fully-random-disable");
        Finding::new(Severity::Notice, "source ports", what).remedy(remedy)
    }

    /// On a thread of its own: iptables takes milliseconds, in which the datapath must not wait.
    async fn ensure(self, sets: Vec<RuleSet>) -> Result<bool, FirewallError> {
        let ensured = spawn_blocking(move || match self {
            Self::Nftables => native::ensure(&sets).map_err(FirewallError::Nftables),
            Self::Iptables => ensure_iptables(&sets),
        });
        ensured.await.map_err(FirewallError::Thread)?
    }

    /// Twice masqueraded is once, and accepted twice as well, so rules of the other flavour that cannot
    /// be removed do no harm now: they are told.
    async fn remove_other(self) {
        let removed = spawn_blocking(move || match self {
            Self::Nftables => iptables::remove().map_err(|error| crate::chain(&error)),
            Self::Iptables => native::remove().map_err(|error| crate::chain(&error)),
        });
        let other = match self {
            Self::Nftables => "iptables",
            Self::Iptables => "nftables",
        };
        match removed.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(false) => {}
            Ok(true) => tracing::info!("removed flannel's rules of {other}"),
            Err(error) => tracing::warn!(error, "flannel's rules of {other} stay"),
        }
    }
}

fn ensure_iptables(sets: &[RuleSet]) -> Result<bool, FirewallError> {
    let mut changed = false;
    for set in sets {
        let refused = |source| FirewallError::Refused {
            what: match set.purpose {
                Purpose::Masquerade => "masquerade",
                Purpose::Forward => "forward",
            },
            source,
        };
        changed |= iptables::ensure(set).map_err(refused)?;
    }
    Ok(changed)
}

fn without_forward(error: &FirewallError) -> Finding {
    let what = format!(
        "forwarded traffic of the pod network is not accepted by rules of netd's, and may be \
         dropped: {}",
        crate::chain(error)
    );
    Finding::new(Severity::Degraded, "forward rules", what)
        .remedy("where other rules accept it, start netd with -iptables-forward-rules=false")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    const ALL: Features = Features {
        masquerade: true,
        forward: true,
        random_fully: true,
    };

    #[test]
    fn less_is_tried_one_by_one_and_then_all_at_once() {
        let told = |features: Features| -> Vec<_> {
            let lesser = features.lesser().into_iter();
            lesser
                .map(|less| (less.random_fully, less.forward))
                .collect()
        };
        let cases: [(Features, Vec<(bool, bool)>); 4] = [
            (ALL, vec![(false, true), (true, false), (false, false)]),
            (
                Features {
                    forward: false,
                    ..ALL
                },
                vec![(false, false)],
            ),
            (
                Features {
                    masquerade: false,
                    ..ALL
                },
                vec![(true, false)],
            ),
            (
                Features {
                    masquerade: false,
                    forward: false,
                    ..ALL
                },
                vec![],
            ),
        ];
        for (features, expected) in cases {
            assert_eq!(told(features), expected, "{features:?}");
            assert!(
                features
                    .lesser()
                    .iter()
                    .all(|less| less.masquerade == features.masquerade)
            );
        }
    }

    #[test]
    fn what_was_left_out_is_told_and_what_nobody_asked_for_is_not() {
        let unsupported = std::io::Error::from_raw_os_error(95);
        let error = kernel::Error::new("change", "the rules", unsupported);
        let error = FirewallError::Nftables(error);
        let without = |random_fully, forward| Features {
            random_fully,
            forward,
            ..ALL
        };
        let unmasked = |random_fully| Features {
            masquerade: false,
            random_fully,
            ..ALL
        };
        let cases: [(Features, Features, Option<SourcePorts>, &[&str]); 7] = [
            (ALL, ALL, Some(SourcePorts::Random), &[]),
            (
                ALL,
                without(false, true),
                Some(SourcePorts::Refused),
                &["source ports"],
            ),
            (
                ALL,
                without(true, false),
                Some(SourcePorts::Random),
                &["forward rules"],
            ),
            (
                ALL,
                without(false, false),
                Some(SourcePorts::Refused),
                &["forward rules", "source ports"],
            ),
            (
                without(false, true),
                without(false, true),
                Some(SourcePorts::Disabled),
                &[],
            ),
            (unmasked(true), unmasked(true), None, &[]),
            (unmasked(true), unmasked(false), None, &[]),
        ];
        for (asked, kept, ports, told) in cases {
            assert_eq!(kept.source_ports(asked), ports, "{asked:?} {kept:?}");
            for (flavour, able) in [
                (Flavour::Iptables, "install iptables 1.6.2"),
                (Flavour::Nftables, "run a kernel"),
            ] {
                let found = flavour.left_out(asked, kept, &error);
                let objects: Vec<&str> = found.iter().map(|found| &*found.object).collect();
                assert_eq!(objects, told, "{asked:?} {kept:?}");
                let ports = found.iter().find(|found| found.object == "source ports");
                assert!(
                    ports.is_none_or(|found| found.remedy.starts_with(able)),
                    "{found:?}"
                );
            }
        }
    }

    #[test]
    fn deaf_ears_are_told_and_opened_again() {
        let Some(_world) = kernel::testing::World::new() else {
            return;
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let mut news = News::of(Flavour::Nftables, Duration::from_millis(1));
            assert!(matches!(news.ears, Ears::Open(_)) && news.deaf().is_none());
            news.ears = Ears::Deaf("closed".into());
            let told = news.deaf().expect("told");
            assert!(told.what.contains("looked at every 1ms"), "{told:?}");
            news.next().await;
            assert!(matches!(news.ears, Ears::Open(_)) && news.deaf().is_none());
        });
    }

    #[test]
    fn modules_that_iptables_lacks_are_named() {
        let refused = |output: &str| FirewallError::Refused {
            what: "masquerade",
            source: kernel::iptables::Error::Refused {
                command: "iptables -t nat -S".to_owned(),
                status: ExitStatus::from_raw(3 << 8),
                output: output.to_owned(),
            },
        };
        let legacy = "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not \
                      exist (do you need to insmod?)";
        let told = refused(legacy).to_string();
        assert!(told.contains("modprobe -a ip_tables ip6_tables"), "{told}");
        let told = refused("iptables: Chain already exists.").to_string();
        assert_eq!(told, "the masquerade rules cannot be installed");
    }
}

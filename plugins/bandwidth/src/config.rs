//! The network configuration: as written, and as checked for ADD, CHECK and STATUS.

use std::time::Duration;

use attach::conf::IpamConf;
use cni::{Call, Dns};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{error::Error, limit::Limit};

/// How long the reference plugin lets packets wait, in milliseconds.
const LATENCY: u64 = 25;
/// A packet that waited longer than this, in milliseconds, was given up by its sender.
const LONGEST_LATENCY: u64 = 10_000;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// How much may come to the pod; 0 is no limit. If any of the four keys of this kind stands
    /// here, `runtimeConfig.bandwidth` does not count.
    #[schemars(extend("x-unit" = "bits per second", "examples" = [100_000_000]))]
    ingress_rate: Option<u64>,
    /// How much may come to the pod at once, after it received less than it might. 2147483647 and
    /// more, which is what runtimes write when nobody told a burst, is what comes in a tenth of a
    /// second.
    #[schemars(extend("x-unit" = "bits", "examples" = [10_000_000]))]
    ingress_burst: Option<u64>,
    /// How much the pod may send; 0 is no limit.
    #[schemars(extend("x-unit" = "bits per second", "examples" = [100_000_000]))]
    egress_rate: Option<u64>,
    /// How much the pod may send at once, after it sent less than it might; see `ingressBurst`.
    #[schemars(extend("x-unit" = "bits", "examples" = [10_000_000]))]
    egress_burst: Option<u64>,
    /// How long packets beyond the burst may wait before others are dropped. Without effect where
    /// `queue` is `fq_codel`, which has times of its own.
    #[schemars(extend("x-unit" = "milliseconds", "x-since" = "podwire", "default" = LATENCY))]
    latency: Option<u64>,
    /// In which order packets wait: `fifo`, one behind the other, or `fq_codel`, each connection
    /// in a queue of its own that is kept short, so that a download delays nobody else.
    #[schemars(with = "Option<String>")]
    #[schemars(extend("enum" = ["fifo", "fq_codel"], "x-since" = "podwire", "default" = "fifo"))]
    queue: Option<Queue>,
    runtime_config: RuntimeConfig,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    ipam: IpamConf,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    dns: Dns,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    prev_result: Option<Map<String, Value>>,
}

/// `runtimeConfig`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RuntimeConfig {
    /// The pod's limits, for the capability `bandwidth`.
    #[schemars(extend("x-needed" = true))]
    bandwidth: Bandwidth,
}

/// `runtimeConfig.bandwidth`
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Bandwidth {
    /// How much may come to the pod.
    #[schemars(extend("x-unit" = "bits per second"))]
    ingress_rate: u64,
    /// How much may come to the pod at once.
    #[schemars(extend("x-unit" = "bits"))]
    ingress_burst: u64,
    /// How much the pod may send.
    #[schemars(extend("x-unit" = "bits per second"))]
    egress_rate: u64,
    /// How much the pod may send at once.
    #[schemars(extend("x-unit" = "bits"))]
    egress_burst: u64,
}

/// In which order packets wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Queue {
    /// One behind the other.
    #[default]
    Fifo,
    /// Each connection in a queue of its own.
    FqCodel,
}

/// What ADD makes and CHECK expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Of what comes to the pod.
    pub ingress: Option<Limit>,
    /// Of what the pod sends.
    pub egress: Option<Limit>,
    /// How long packets may wait.
    pub latency: Duration,
    pub queue: Queue,
}

impl Config {
    /// Reads and checks all of it, before anything is changed. The inner error is an impossible
    /// value.
    ///
    /// # Errors
    /// A field of the wrong type.
    pub(crate) fn read(call: &Call<'_>) -> Result<Result<Self, Error>, cni::Error> {
        let conf: NetConf = call.config()?;
        Ok(conf.checked())
    }

    /// Whether nothing is limited.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

impl NetConf {
    fn bandwidth(&self) -> Bandwidth {
        let own = [
            self.ingress_rate,
            self.ingress_burst,
            self.egress_rate,
            self.egress_burst,
        ];
        if own.iter().all(Option::is_none) {
            return self.runtime_config.bandwidth;
        }
        let [ingress_rate, ingress_burst, egress_rate, egress_burst] =
            own.map(Option::unwrap_or_default);
        Bandwidth {
            ingress_rate,
            ingress_burst,
            egress_rate,
            egress_burst,
        }
    }

    fn checked(&self) -> Result<Config, Error> {
        let wanted = self.bandwidth();
        let latency = self.latency.unwrap_or(LATENCY);
        if latency == 0 || latency > LONGEST_LATENCY {
            return Err(Error::Latency(latency));
        }
        Ok(Config {
            ingress: Limit::new("ingress", wanted.ingress_rate, wanted.ingress_burst)?,
            egress: Limit::new("egress", wanted.egress_rate, wanted.egress_burst)?,
            latency: Duration::from_millis(latency),
            queue: self.queue.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Config, String> {
        let conf: NetConf = cni::json::from_slice(json.as_bytes()).map_err(|e| e.to_string())?;
        conf.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn any_own_limit_takes_the_place_of_all_of_the_runtimes() {
        let limit = |rate, burst| Limit::new("x", rate, burst).unwrap();
        let runtime = r#""runtimeConfig": {"bandwidth": {"ingressRate": 8000, "ingressBurst": 80, "egressRate": 16000, "egressBurst": 160}}"#;
        let both = checked(&format!("{{{runtime}}}")).unwrap();
        assert_eq!(
            (both.ingress, both.egress),
            (limit(8000, 80), limit(16000, 160))
        );
        let own = checked(&format!(
            r#"{{"egressRate": 24000, "egressBurst": 240, {runtime}}}"#
        ));
        let own = own.unwrap();
        assert_eq!((own.ingress, own.egress), (None, limit(24000, 240)));
        let none = checked(&format!(r#"{{"ingressRate": 0, {runtime}}}"#)).unwrap();
        assert!(none.is_unlimited());
        assert!(checked("{}").unwrap().is_unlimited());
    }

    #[test]
    fn queues_and_latencies() {
        let config = checked(r#"{"queue": "fq_codel", "latency": 100}"#).unwrap();
        assert_eq!(config.queue, Queue::FqCodel);
        assert_eq!(config.latency, Duration::from_millis(100));
        let config = checked("{}").unwrap();
        assert_eq!(config.queue, Queue::Fifo);
        assert_eq!(config.latency, Duration::from_millis(25));
        for latency in [0, 10_001] {
            let error = checked(&format!(r#"{{"latency": {latency}}}"#)).unwrap_err();
            let text = format!("invalid latency {latency}: it must be from 1 to 10000 ms");
            assert_eq!(error, text);
        }
        assert!(checked(r#"{"queue": "red"}"#).is_err());
    }
}

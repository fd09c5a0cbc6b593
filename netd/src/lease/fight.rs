//! Another node writes this node's lease, as two with one public address do: put back at once
//! what is written once, and slow down when it goes on.

use std::time::Duration;

use cluster::{LeaseAttrs, Subnets};
use tokio::time::Instant;

/// Foreign writes at this distance follow each other; when there is none for so long after the
/// last truce, the fight is over.
const TRUCES: u32 = 2;

/// Foreign writes that follow each other.
#[derive(Debug)]
pub(super) struct Fight {
    /// After the first pause there is one write in this time at most.
    truce: Duration,
    writes: u32,
    last: Option<Instant>,
    words: String,
}

impl Fight {
    pub(super) fn new(truce: Duration) -> Self {
        Self {
            truce,
            writes: 0,
            last: None,
            words: String::new(),
        }
    }

    /// A foreign write is found and put back now. How long to wait before the next one is.
    pub(super) fn foreign(
        &mut self,
        subnets: &Subnets,
        ours: &LeaseAttrs,
        theirs: &LeaseAttrs,
        now: Instant,
    ) -> Duration {
        self.writes = match self.until() {
            Some(end) if now < end => self.writes.saturating_add(1),
            _ => 1,
        };
        self.last = Some(now);
        self.words = words(subnets, ours, theirs);
        match self.writes {
            1 => Duration::ZERO,
            _ => self.truce,
        }
    }

    /// Who fights with whom, while it goes on.
    pub(super) fn words(&self, now: Instant) -> Option<&str> {
        let on = self.writes > 1 && self.until().is_some_and(|end| now < end);
        on.then_some(self.words.as_str())
    }

    /// When it is over, if nothing more is written.
    pub(super) fn until(&self) -> Option<Instant> {
        self.last.map(|last| last + self.truce * TRUCES)
    }
}

fn words(subnets: &Subnets, ours: &LeaseAttrs, theirs: &LeaseAttrs) -> String {
    let whose = match ours.public_ip == theirs.public_ip {
        true => format!(
            "both have the public address {}: give one of them another (-public-ip, -iface)",
            ours.public_ip
        ),
        false => "only one of them can hold it: stop the other, or remove its write".to_owned(),
    };
    format!(
        "two nodes write the lease of {subnets} in turns, this one as {} and another one as {}; \
         {whose}",
        ours.to_json(),
        theirs.to_json()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn attrs(ip: [u8; 4], mac: u8) -> LeaseAttrs {
        let value = format!(
            r#"{{"PublicIP":"{}","PublicIPv6":null,"BackendType":"vxlan",
                "BackendData":{{"VNI":1,"VtepMAC":"02:00:00:00:00:{mac:02x}"}}}}"#,
            std::net::Ipv4Addr::from(ip)
        );
        LeaseAttrs::parse(value.as_bytes()).expect("attrs")
    }

    #[test]
    fn what_is_written_once_is_put_back_and_forgotten() {
        let subnets = Subnets::parse_key("10.5.1.0-24").expect("key");
        let (ours, theirs) = (attrs([192, 0, 2, 1], 1), attrs([192, 0, 2, 9], 9));
        let mut fight = Fight::new(MINUTE);
        let start = Instant::now();
        for day in 0..3 {
            let now = start + MINUTE * 1440 * day;
            assert_eq!(fight.foreign(&subnets, &ours, &theirs, now), Duration::ZERO);
            assert_eq!(fight.words(now), None);
        }
    }

    #[test]
    fn a_fight_has_one_write_a_minute_and_says_who_it_is() {
        let subnets = Subnets::parse_key("10.5.1.0-24").expect("key");
        let (ours, theirs) = (attrs([192, 0, 2, 1], 1), attrs([192, 0, 2, 1], 9));
        let mut fight = Fight::new(MINUTE);
        let mut now = Instant::now();
        let end = now + MINUTE * 10;
        let mut writes = 0;
        while now < end {
            // The other one answers at once.
            now += fight.foreign(&subnets, &ours, &theirs, now) + Duration::from_millis(1);
            writes += 1;
        }
        assert_eq!(writes, 11, "two at once, then one a minute");
        let words = fight.words(now).expect("a fight");
        for part in [
            "10.5.1.0/24",
            "this one as {\"PublicIP\":\"192.0.2.1\"",
            "02:00:00:00:00:01",
            "02:00:00:00:00:09",
            "both have the public address 192.0.2.1",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(fight.words(now + MINUTE * 2), None, "over");
    }
}

//! Changed copies of what is usual, the same ones for the same seed.

use serde_json::{Value, json};

/// Words that readers of JSON, addresses, numbers and paths stumble over.
const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e400",
    b"99999999999999999999",
    b"4294967296",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[",
    b"{\"a\":",
    b"\"\\u0000\"",
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"..",
    b"/",
    b"%",
    b"::",
    b"0.0.0.0/0",
    b"::/0",
    b"255.255.255.255",
    b"fe80::1%eth0",
    b"/33",
    b"/129",
    b"\n",
    b"\r\n",
    b"=",
    b";",
    b",",
    b"ff:ff:ff:ff:ff:ff",
    b"00:00:00:00:00:00:00:00",
    b"9.9.9",
    b"\"type\":\"bridge\"",
    b"\"prevResult\":{}",
    b"\"ipam\":{\"type\":\"host-local\"}",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];
/// No copy is longer, in bytes.
const LIMIT: usize = 4096;

/// A source of numbers (SplitMix64, Steele and others 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // Lossless: usize has no more bits than u64 on any Linux.
        (self.next() % limit as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A copy of one of `seeds` with a few changes.
#[must_use]
pub fn changed(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut copy = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        change(&mut copy, seeds, random);
    }
    copy.truncate(LIMIT);
    copy
}

fn change(copy: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(copy.len() + 1);
    let end = at + random.below(copy.len() - at + 1).min(40);
    match random.below(9) {
        0 if at < copy.len() => copy[at] ^= 1 << random.below(8),
        1 => drop(copy.drain(at..end)),
        2 => drop(copy.splice(at..at, random.pick(WORDS).iter().copied())),
        3 => drop(copy.splice(at..end, random.pick(WORDS).iter().copied())),
        4 => copy.truncate(at),
        5..8 => change_json(copy, random),
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            let piece = other[from..].iter().take(60).copied();
            copy.splice(at..end, piece);
        }
    }
}

/// Another value somewhere in the document, which may stand behind a byte that chooses something. What
/// is no JSON stays as it is.
fn change_json(copy: &mut Vec<u8>, random: &mut Random) {
    for start in 0..2 {
        let document = copy.get(start..).unwrap_or_default();
        if let Ok(mut document) = serde_json::from_slice(document) {
            change_value(&mut document, random);
            copy.truncate(start);
            copy.extend(document.to_string().into_bytes());
            return;
        }
    }
}

fn change_value(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() && random.below(8) > 0 => {
            let key = members.keys().nth(random.below(members.len())).cloned();
            let key = key.unwrap_or_default();
            match random.below(12) {
                0 => drop(members.remove(&key)),
                _ => change_value(&mut members[&key], random),
            }
        }
        Value::Array(items) if !items.is_empty() && random.below(8) > 0 => {
            let at = random.below(items.len());
            match random.below(12) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change_value(&mut items[at], random),
            }
        }
        other => *other = another(other, random),
    }
}

/// Often of the same kind, so that readers get as far as to use it.
fn another(value: &Value, random: &mut Random) -> Value {
    let word = String::from_utf8_lossy(random.pick(WORDS)).into_owned();
    match (value, random.below(6)) {
        (Value::String(text), 0 | 1) => format!("{text}{word}").into(),
        (Value::String(text), 2) => text.chars().skip(1).collect::<String>().into(),
        (Value::Number(_), 0..3) => extreme(random),
        (Value::Bool(is), 0..3) => (!is).into(),
        (_, 3) => [json!(null), json!([]), json!({}), json!([{}])][random.below(4)].clone(),
        (_, 4) => extreme(random),
        _ => word.into(),
    }
}

/// The ends of what integers hold, and a little beyond.
fn extreme(random: &mut Random) -> Value {
    let power = 2_i128.pow([0, 5, 7, 8, 12, 16, 24, 31, 32, 63, 64][random.below(11)]);
    let number = [power - 1, power, power + 1, -power][random.below(4)];
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        // Lossy on purpose: JSON's readers take a number beyond 64 bits for one with a fraction.
        _ => json!(number as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_behind_a_byte_stays_json_and_changes() {
        let document = br#"x{"a":[1,{"b":"c"}],"d":true}"#;
        let mut random = Random::new(7);
        let mut different = 0;
        for _ in 0..100 {
            let mut copy = document.to_vec();
            change_json(&mut copy, &mut random);
            assert_eq!(copy[0], b'x');
            let parsed: Value = serde_json::from_slice(&copy[1..]).unwrap();
            let before: Value = serde_json::from_slice(&document[1..]).unwrap();
            different += usize::from(parsed != before);
        }
        assert!(different > 50, "{different}");
    }

    #[test]
    fn what_is_no_json_stays() {
        let mut copy = b"FLANNEL_MTU=1450".to_vec();
        change_json(&mut copy, &mut Random::new(7));
        assert_eq!(copy, b"FLANNEL_MTU=1450");
    }
}

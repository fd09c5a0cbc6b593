//! Which of the words that are known somebody meant who wrote another.

/// The word that is few letters away from `word`, whatever their case.
pub(crate) fn likely<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    let distances = known.map(|known| {
        let distance = strsim::damerau_levenshtein(&word, &known.to_ascii_lowercase());
        (distance, known)
    });
    let near = distances.filter(|(distance, known)| *distance * 3 <= known.len().max(3));
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_meant_if_it_is_near() {
        for (word, meant) in [
            ("bridgee", Some("bridge")),
            ("Bridge", Some("bridge")),
            ("vlna", Some("vlan")),
            ("vlan2", Some("vlan")),
            ("mac", None),
            ("", None),
        ] {
            let known = ["bridge", "ipvlan", "macvlan", "vlan"];
            assert_eq!(likely(word, known.into_iter()), meant, "{word}");
        }
    }
}

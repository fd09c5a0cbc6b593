//! The text that `iptables -S` prints.

/// One line of `iptables -S`: a policy, a chain or a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    text: String,
    words: Vec<String>,
}

impl Line {
    /// Takes a line apart.
    pub fn parse(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            words: words(text),
        }
    }

    /// Whether this line says that `chain` exists.
    pub fn declares(&self, chain: &str) -> bool {
        matches!(&self.words[..], [command, name, ..] if (command == "-N" || command == "-P") && name == chain)
    }

    /// Whether this line is a rule in `chain`.
    pub fn is_rule_of(&self, chain: &str) -> bool {
        matches!(&self.words[..], [command, name, ..] if command == "-A" && name == chain)
    }

    /// All words.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The words of the rule behind `-A CHAIN`.
    pub fn rule(&self) -> &[String] {
        self.words.get(2..).unwrap_or_default()
    }

    /// The word behind `option`, unless the option is negated.
    pub fn value(&self, option: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == option)?;
        let negated = at > 0 && self.words[at - 1] == "!";
        self.words
            .get(at + 1)
            .filter(|_| !negated)
            .map(String::as_str)
    }

    /// The chain or target that a rule leads to.
    pub fn target(&self) -> Option<&str> {
        self.value("-j").or_else(|| self.value("-g"))
    }

    /// The command that deletes this rule; `None` for a line that is not a rule.
    pub fn deletion(&self) -> Option<String> {
        Some(format!("-D{}", self.text.strip_prefix("-A")?))
    }
}

/// Splits into words as iptables-restore does: blanks separate, double quotes hold together, a
/// backslash inside them takes the next character as it is.
pub fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut started) = (Vec::new(), String::new(), false, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => (quoted, started) = (!quoted, true),
            '\\' if quoted => word.extend(characters.next()),
            blank if blank.is_whitespace() && !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            other => {
                word.push(other);
                started = true;
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = r#"-A POSTROUTING -s 10.22.0.2/32 -m comment --comment "name: \"dbnet\" id: \"ctr1\"" -j CNI-a4fa"#;

    #[test]
    fn splits_like_iptables_restore() {
        for (text, expected) in [
            ("", vec![]),
            ("-P INPUT ACCEPT", vec!["-P", "INPUT", "ACCEPT"]),
            (
                r#"--comment "a b" -j X"#,
                vec!["--comment", "a b", "-j", "X"],
            ),
            (
                r#"--comment "a \"b\" \\c""#,
                vec!["--comment", r#"a "b" \c"#],
            ),
            (r#"--comment "" -j X"#, vec!["--comment", "", "-j", "X"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_a_rule() {
        let line = Line::parse(RULE);
        assert!(line.is_rule_of("POSTROUTING") && !line.is_rule_of("CNI-a4fa"));
        assert_eq!(line.value("-s"), Some("10.22.0.2/32"));
        assert_eq!(line.value("--comment"), Some(r#"name: "dbnet" id: "ctr1""#));
        assert_eq!(line.target(), Some("CNI-a4fa"));
        assert_eq!(line.deletion().unwrap(), RULE.replacen("-A", "-D", 1));
    }

    #[test]
    fn negated_options_have_no_value() {
        assert_eq!(
            Line::parse("-A X ! -d 224.0.0.0/4 -j MASQUERADE").value("-d"),
            None
        );
    }

    #[test]
    fn chains_and_policies_are_declarations() {
        assert!(Line::parse("-N CNI-a4fa").declares("CNI-a4fa"));
        assert!(Line::parse("-P INPUT ACCEPT").declares("INPUT"));
        assert!(!Line::parse(RULE).declares("POSTROUTING"));
        assert_eq!(Line::parse("-N X").deletion(), None);
    }
}

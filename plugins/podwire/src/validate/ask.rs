//! What the plugins themselves refuse, all of it: they tell the first thing that they meet, so that is left
//! out, and they are asked again.
use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use cni::{Call, Plugin, SpecVersion};
use jsonc_parser::{
    ast::{Object, Value},
    common::Ranged as _,
};
use serde_json::{Map, Value as Json};

use super::{
    chain::{Chain, OF_RUNTIME},
    document::key_place,
    finding::Findings,
};
use crate::PLUGINS;

/// How many things of one plugin are told: enough for any file that somebody wrote.
const MOST: usize = 32;

/// Asks `plugin` for the configuration `object`, but for what is told of it already.
pub(super) fn ask(
    plugin: &dyn Plugin,
    object: &Object<'_>,
    otherwise: usize,
    chain: &Chain<'_>,
    findings: &mut Findings<'_>,
) {
    let mut left = Left {
        object,
        without: Vec::new(),
    };
    for place in findings.errors_in(object.range.start..object.range.end) {
        left.without.extend(left.cut(place));
    }
    let mut refused = refusal(plugin, &left, chain);
    if refused.as_ref().is_some_and(|text| left.is_missed(text)) {
        return;
    }
    for _ in 0..MOST {
        let Some(text) = refused else { return };
        let told = format!("{} refuses this: {text}", plugin.name());
        let mentions = left.mentions(&text);
        let keys = mentions.iter().filter_map(Mention::under_key);
        let mut tries = keys.chain(mentions.iter().flat_map(Mention::in_lists));
        let next = tries.find_map(|cut| {
            let place = cut.place;
            let then = left.try_without(cut, &text, plugin, chain)?;
            Some((place, then))
        });
        let Some((place, then)) = next else {
            let place = mentions.first().map(|mention| mention.place);
            return findings.error(place.unwrap_or(otherwise), told);
        };
        findings.error(place, told);
        refused = then;
    }
}

/// What the plugin says of the configuration as the runtime sends it with ADD.
fn refusal(plugin: &dyn Plugin, left: &Left<'_, '_>, chain: &Chain<'_>) -> Option<String> {
    let network = chain.name.parse().or_else(|_| "network".parse()).ok()?;
    let (env, request) = (BTreeMap::new(), left.request(chain));
    let call = Call {
        network,
        version: chain.version.unwrap_or(SpecVersion::V0_1_0),
        stdin: request.as_bytes(),
        env: &env,
        registry: PLUGINS,
    };
    plugin.validate(&call).err().map(|error| error.to_string())
}

/// A configuration without some of its keys and elements.
struct Left<'o, 't> {
    object: &'o Object<'t>,
    without: Vec<Cut>,
}

impl Left<'_, '_> {
    fn request(&self, chain: &Chain<'_>) -> String {
        let mut request = self.map(self.object);
        request.retain(|key, _| {
            let is_of_runtime = |other: &str| other.eq_ignore_ascii_case(key);
            !OF_RUNTIME.into_iter().any(is_of_runtime)
        });
        request.insert("name".to_owned(), chain.name.into());
        if let Some(version) = chain.version {
            request.insert("cniVersion".to_owned(), version.as_str().into());
        }
        Json::Object(request).to_string()
    }

    fn map(&self, object: &Object<'_>) -> Map<String, Json> {
        let properties = object.properties.iter();
        properties
            .filter(|property| self.has(property.range.start))
            .map(|property| {
                let key = property.name.as_str().to_owned();
                (key, self.json(&property.value))
            })
            .collect()
    }

    fn json(&self, value: &Value<'_>) -> Json {
        match value {
            Value::Object(object) => Json::Object(self.map(object)),
            Value::Array(array) => {
                let elements = array.elements.iter();
                elements
                    .filter(|element| self.has(element.start()))
                    .map(|element| self.json(element))
                    .collect()
            }
            Value::StringLit(text) => text.value.as_ref().into(),
            // The document is JSON.
            Value::NumberLit(number) => serde_json::from_str(number.value).unwrap_or_default(),
            Value::BooleanLit(flag) => flag.value.into(),
            Value::NullKeyword(_) => Json::Null,
        }
    }

    fn has(&self, place: usize) -> bool {
        !self.without.iter().any(|cut| cut.range.contains(&place))
    }

    /// Leaves this out, and tells what the plugin says then: another refusal, or none. None of both, and
    /// nothing is left out, where the plugin says the same again or misses what was left out.
    fn try_without(
        &mut self,
        cut: Cut,
        text: &str,
        plugin: &dyn Plugin,
        chain: &Chain<'_>,
    ) -> Option<Option<String>> {
        self.without.push(cut);
        let then = refusal(plugin, self, chain);
        if then
            .as_ref()
            .is_none_or(|other| other != text && !self.is_missed(other))
        {
            return Some(then);
        }
        self.without.pop();
        None
    }

    /// Whether an error comes of what was left out: it speaks of nothing that is there, or of what that
    /// stood in, or of its key.
    fn is_missed(&self, error: &str) -> bool {
        let mentions = self.mentions(error);
        let misses = |cut: &Cut, mention: &Mention| {
            let around = mention.property.as_ref();
            around.is_some_and(|one| one.start <= cut.range.start && cut.range.end <= one.end)
                || Some(&mention.text) == cut.key.as_ref()
        };
        match mentions.first().filter(|first| first.property.is_some()) {
            None => !self.without.is_empty(),
            Some(first) => self.without.iter().any(|cut| misses(cut, first)),
        }
    }

    /// What is left out where something is wrong at `place`: the element of a list, or the key.
    fn cut(&self, place: usize) -> Option<Cut> {
        let mention = self.mention(place, "");
        let key = mention.under_key();
        let element = mention.in_lists().next();
        let is_inner = |one: &Cut| {
            key.as_ref()
                .is_some_and(|key| key.range.start < one.range.start)
        };
        element.filter(is_inner).or(key)
    }

    /// What stands at `place`, and what it stands in. A plugin is of its type, whatever else is wrong: that is
    /// never left out.
    fn mention(&self, place: usize, text: &str) -> Mention {
        let mut mention = Mention {
            place,
            text: text.to_owned(),
            key: None,
            property: None,
            elements: Vec::new(),
        };
        let mut inner = Some(Inner::Object(self.object));
        while let Some(one) = inner.take() {
            let value = match one {
                Inner::Object(object) => {
                    let mut properties = object.properties.iter();
                    let found =
                        properties.find(|one| one.range.start <= place && place < one.range.end);
                    if let Some(one) = found {
                        let key = one.name.as_str();
                        let is_kept = key.eq_ignore_ascii_case("type");
                        mention.property = (!is_kept).then_some(one.range.start..one.range.end);
                        mention.key = Some(key.to_owned());
                    }
                    found.map(|one| &one.value)
                }
                Inner::Array(elements) => {
                    let mut elements = elements.iter();
                    let found = elements.find(|one| one.start() <= place && place < one.end());
                    mention
                        .elements
                        .extend(found.map(|one| one.start()..one.end()));
                    found
                }
            };
            inner = match value {
                Some(Value::Object(object)) => Some(Inner::Object(object)),
                Some(Value::Array(array)) => Some(Inner::Array(&array.elements)),
                _ => None,
            };
        }
        mention
    }

    /// All that an error's text repeats as words: what it speaks of, the likeliest first.
    fn mentions(&self, error: &str) -> Vec<Mention> {
        let mut found = Vec::new();
        let mut inner = vec![Inner::Object(self.object)];
        let mut offer = |text: &str, at: usize| {
            if text.len() > 1 && self.has(at) && has_word(error, text) {
                found.push(self.mention(at, text));
            }
        };
        while let Some(one) = inner.pop() {
            let values: Vec<&Value<'_>> = match one {
                Inner::Object(object) => {
                    let properties = object
                        .properties
                        .iter()
                        .filter(|one| self.has(one.range.start));
                    properties
                        .map(|one| {
                            offer(one.name.as_str(), key_place(one));
                            &one.value
                        })
                        .collect()
                }
                Inner::Array(elements) => {
                    let elements = elements.iter();
                    elements.filter(|one| self.has(one.start())).collect()
                }
            };
            for value in values {
                match value {
                    Value::StringLit(text) => offer(text.value.as_ref(), text.range.start),
                    Value::NumberLit(number) => offer(number.value, number.range.start),
                    Value::Object(object) => inner.push(Inner::Object(object)),
                    Value::Array(array) => inner.push(Inner::Array(&array.elements)),
                    Value::BooleanLit(_) | Value::NullKeyword(_) => {}
                }
            }
        }
        // Values say more than keys, and long texts more than short ones.
        found.sort_by_key(|one| Reverse((one.property.is_some(), !one.is_key(), one.text.len())));
        found
    }
}

/// What is left out.
struct Cut {
    /// Where the mention is that it is left out for.
    place: usize,
    range: Range<usize>,
    /// The innermost key of that.
    key: Option<String>,
}

impl Mention {
    fn cut(&self, range: &Range<usize>) -> Cut {
        Cut {
            place: self.place,
            range: range.clone(),
            key: self.key.clone(),
        }
    }

    fn is_key(&self) -> bool {
        let property = self.property.as_ref();
        property.is_some_and(|property| property.start == self.place)
    }

    /// The key with its value.
    fn under_key(&self) -> Option<Cut> {
        self.property.as_ref().map(|range| self.cut(range))
    }

    /// The elements of lists, the innermost first.
    fn in_lists(&self) -> impl Iterator<Item = Cut> {
        self.elements.iter().rev().map(|range| self.cut(range))
    }
}

/// A text of the configuration that an error repeats.
struct Mention {
    place: usize,
    text: String,
    /// The innermost key that it is, or stands under.
    key: Option<String>,
    /// Where that and its value are; none of what must stay.
    property: Option<Range<usize>>,
    /// The elements of lists that it is in, the outermost first.
    elements: Vec<Range<usize>>,
}

/// What holds values.
enum Inner<'o, 't> {
    Object(&'o Object<'t>),
    Array(&'o [Value<'t>]),
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let is_inside = |c: char| c.is_alphanumeric();
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_inside) && !after.is_some_and(is_inside)
    })
}

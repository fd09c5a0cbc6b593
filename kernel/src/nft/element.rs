//! Sets, maps and their elements in messages.
//!
//! A set of ranges is written in one of two ways: a single field as two elements, where the range
//! begins and what is behind its end, a concatenation as one element with two keys.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, SetAttribute, SetElementAttribute, SetElementFlags,
    SetElementList, SetElementMessage, SetFlags, SetMessage,
};

use super::{
    Data, DataType, Datum, Key, KeyType, NewElement, NewSet, SetType, Table,
    attribute::{attributes, find, number},
    decode, encode,
    key::{bytes_of, length_of, type_number, types_of, values_of},
    kind, userdata,
};

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The key.
    pub key: Key,
    /// What a map says of the key.
    pub data: Option<Data>,
    /// The comment, if any.
    pub comment: Option<String>,
}

pub(super) fn new_set(table: Table<'_>, set: &NewSet<'_>, id: u32) -> SetMessage {
    let SetType {
        key,
        data,
        intervals,
    } = &set.kind;
    let is_concatenation = *intervals && key.len() > 1;
    let flag = |is: bool, flag: u32| if is { flag } else { 0 };
    let flags = flag(*intervals, kind::set::HAS_INTERVALS)
        | flag(data.is_some(), kind::set::IS_MAP)
        | flag(is_concatenation, kind::set::IS_CONCATENATED);
    let mut attributes = vec![
        SetAttribute::Table(table.name.into()),
        SetAttribute::Name(set.name.into()),
        SetAttribute::Flags(SetFlags::from_bits_retain(flags)),
        SetAttribute::KeyType(type_number(key)),
        SetAttribute::KeyLen(length_of(key) as u32),
        SetAttribute::Id(id),
        SetAttribute::UserData(userdata::set(&set.kind, set.comment)),
    ];
    if let Some(data) = data {
        let (number, length) = match data {
            DataType::Verdict => (kind::set::VERDICTS, kind::set::VERDICT_LENGTH),
            DataType::Values(types) => (type_number(types), length_of(types) as u32),
        };
        attributes.extend([
            SetAttribute::DataType(number),
            SetAttribute::DataLen(length),
        ]);
    }
    if is_concatenation {
        attributes.push(SetAttribute::Other(field_lengths(key)));
    }
    SetMessage { attributes }
}

/// NFTA_SET_DESC_CONCAT: how long each field is, for ranges in each.
fn field_lengths(key: &[KeyType]) -> DefaultNla {
    let fields: Vec<DefaultNla> = key
        .iter()
        .map(|kind| {
            let length = encode::number(kind::set::FIELD_LENGTH, kind.length() as u32);
            encode::nested(kind::set::LIST_ELEMENT, &[length])
        })
        .collect();
    let fields = encode::nested(kind::set::CONCATENATION, &fields);
    encode::nested(kind::set::DESCRIPTION, &[fields])
}

/// A message about one element, which may be two to the kernel.
pub(super) fn elements(table: Table<'_>, set: &str, element: &NewElement<'_>) -> SetElementMessage {
    let mut list = vec![ListAttribute::Element(main_attributes(element))];
    list.extend(end_of_range(&element.key).map(ListAttribute::Element));
    SetElementMessage {
        attributes: vec![
            SetElementList::Table(table.name.into()),
            SetElementList::Set(set.into()),
            SetElementList::Elements(list),
        ],
    }
}

fn main_attributes(element: &NewElement<'_>) -> Vec<SetElementAttribute> {
    let value = |values: &[Datum]| DataAttribute::Value(bytes_of(values));
    let mut attributes = vec![SetElementAttribute::Key(value(element.key.first()))];
    if let Key::Range(first, last) = &element.key
        && first.len() > 1
    {
        let last = encode::data(bytes_of(last));
        attributes.push(SetElementAttribute::KeyEnd(vec![last]));
    }
    attributes.extend(element.data.as_ref().map(|data| match data {
        Data::Verdict(verdict) => {
            let data = encode::nested(kind::element::DATA, &[encode::verdict(verdict)]);
            SetElementAttribute::Other(data)
        }
        Data::Values(values) => SetElementAttribute::Data(value(values)),
    }));
    attributes.extend(
        element
            .comment
            .map(|text| SetElementAttribute::UserData(userdata::comment(userdata::COMMENT, text))),
    );
    attributes
}

/// What is behind a range of single fields; nothing behind the last value there is.
fn end_of_range(key: &Key) -> Option<Vec<SetElementAttribute>> {
    let Key::Range(_, last) = key else {
        return None;
    };
    let [last] = &last[..] else { return None };
    let behind = successor(last.bytes())?;
    Some(vec![
        SetElementAttribute::Key(DataAttribute::Value(behind)),
        SetElementAttribute::Flags(SetElementFlags::from_bits_retain(kind::element::IS_END)),
    ])
}

fn successor(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for byte in bytes.iter_mut().rev() {
        let (sum, overflows) = byte.overflowing_add(1);
        *byte = sum;
        if !overflows {
            return Some(bytes);
        }
    }
    None
}

fn predecessor(mut bytes: Vec<u8>) -> Vec<u8> {
    for byte in bytes.iter_mut().rev() {
        let (difference, borrows) = byte.overflowing_sub(1);
        *byte = difference;
        if !borrows {
            break;
        }
    }
    bytes
}

/// The types of a set; `None` when one is not in this vocabulary.
pub(super) fn set_type(bytes: &[u8]) -> Option<SetType> {
    let find_number = |kind| find(bytes, kind).and_then(number);
    let flags = find_number(kind::set::FLAGS).unwrap_or_default();
    let data = match find_number(kind::set::DATA_TYPE) {
        _ if flags & kind::set::IS_MAP == 0 => None,
        Some(kind::set::VERDICTS) => Some(DataType::Verdict),
        Some(number) => Some(DataType::Values(types_of(number)?)),
        None => return None,
    };
    Some(SetType {
        key: types_of(find_number(kind::set::KEY_TYPE)?)?,
        data,
        intervals: flags & kind::set::HAS_INTERVALS != 0,
    })
}

/// An element as it is in a message.
pub(super) struct RawElement {
    key: Vec<u8>,
    is_end: bool,
    element: Element,
}

/// The elements of one message; what cannot be read as `types` is left out.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    types: &'a SetType,
) -> impl Iterator<Item = RawElement> + 'a {
    let list = find(bytes, kind::element::LIST).unwrap_or_default();
    attributes(list).filter_map(|(_, element)| read_one(element, types))
}

fn read_one(bytes: &[u8], types: &SetType) -> Option<RawElement> {
    let values = |kind| {
        let bytes = decode::find_value(bytes, kind)?;
        values_of(&types.key, bytes)
    };
    let first = values(kind::element::KEY)?;
    let key = if types.intervals && types.key.len() > 1 {
        let last = values(kind::element::KEY_END).unwrap_or_else(|| first.clone());
        Key::Range(first, last)
    } else {
        Key::Single(first)
    };
    let data = match &types.data {
        None => None,
        Some(DataType::Verdict) => {
            decode::find_verdict(bytes, kind::element::DATA).map(Data::Verdict)
        }
        Some(DataType::Values(types)) => decode::find_value(bytes, kind::element::DATA)
            .and_then(|bytes| values_of(types, bytes))
            .map(Data::Values),
    };
    let flags = find(bytes, kind::element::FLAGS).and_then(number);
    let comment = find(bytes, kind::element::USERDATA)
        .and_then(|records| userdata::read_comment(userdata::COMMENT, records));
    Some(RawElement {
        key: bytes_of(key.first()),
        is_end: flags.unwrap_or_default() & kind::element::IS_END != 0,
        element: Element { key, data, comment },
    })
}

/// Elements as they were written: of a set of ranges, the ends back to their beginnings.
pub(super) fn assemble(types: &SetType, mut raw: Vec<RawElement>) -> Vec<Element> {
    let [kind] = types.key[..] else {
        return raw.into_iter().map(|one| one.element).collect();
    };
    if !types.intervals {
        return raw.into_iter().map(|one| one.element).collect();
    }
    raw.sort_by(|one, other| (&one.key, !one.is_end).cmp(&(&other.key, !other.is_end)));
    let mut elements = Vec::new();
    let mut rest = raw.into_iter().peekable();
    while let Some(one) = rest.next() {
        if one.is_end {
            continue;
        }
        let last = match rest.peek() {
            Some(next) => predecessor(next.key.clone()),
            None => vec![u8::MAX; kind.length()],
        };
        let mut element = one.element;
        let last = Datum::read(kind, &last).map(|last| vec![last]);
        if let (Key::Single(first), Some(last)) = (&element.key, last) {
            element.key = Key::Range(first.clone(), last);
        }
        elements.push(element);
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_carry() {
        for (bytes, next) in [([0, 0], [0, 1]), ([0, 255], [1, 0]), ([1, 255], [2, 0])] {
            assert_eq!(successor(bytes.to_vec()), Some(next.to_vec()));
            assert_eq!(predecessor(next.to_vec()), bytes);
        }
        assert_eq!(successor(vec![255, 255]), None);
    }
}

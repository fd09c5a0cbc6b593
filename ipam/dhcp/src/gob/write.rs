//! From values to bytes.

use super::{
    Value,
    types::{Fields, Kind, id},
};

/// Writes one stream: describes each type once, before its first value.
#[derive(Default)]
pub(crate) struct Writer {
    described: Vec<(Kind, i64)>,
}

impl Writer {
    /// The messages for a struct: descriptions that the stream lacks, then the value. Fields that
    /// `value` does not hold are zero.
    pub(crate) fn value(&mut self, kind: Kind, value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        let number = self.describe(kind, &mut bytes);
        let mut message = Vec::new();
        put_int(&mut message, number);
        put_value(&mut message, kind, value);
        put_message(&mut bytes, &message);
        bytes
    }

    /// The number of a type; what describes it goes to `bytes` first.
    fn describe(&mut self, kind: Kind, bytes: &mut Vec<u8>) -> i64 {
        match kind {
            Kind::Int => return id::INT,
            Kind::Uint => return id::UINT,
            Kind::Bytes => return id::BYTES,
            Kind::Text => return id::TEXT,
            Kind::Slice(_) | Kind::Struct(..) => {}
        }
        if let Some((_, number)) = self.described.iter().find(|(known, _)| *known == kind) {
            return *number;
        }
        let number = id::FIRST_OWN + self.described.len() as i64;
        self.described.push((kind, number));
        let mut message = Vec::new();
        put_int(&mut message, -number);
        match kind {
            Kind::Slice(element) => {
                let element = self.describe(*element, bytes);
                describe_slice(&mut message, number, element);
            }
            Kind::Struct(name, fields) => {
                let numbers: Vec<i64> = fields
                    .iter()
                    .map(|(_, kind)| self.describe(*kind, bytes))
                    .collect();
                describe_struct(&mut message, (name, number), fields, &numbers);
            }
            _ => {}
        }
        put_message(bytes, &message);
        number
    }
}

/// `wireType{SliceT: {CommonType{Id}, Elem}}`.
fn describe_slice(message: &mut Vec<u8>, number: i64, element: i64) {
    put_uint(message, 2);
    put_uint(message, 1);
    put_common(message, "", number);
    put_uint(message, 1);
    put_int(message, element);
    message.extend([0, 0]);
}

/// `wireType{StructT: {CommonType{Name, Id}, Field: [{Name, Id}]}}`.
fn describe_struct(message: &mut Vec<u8>, of: (&str, i64), fields: Fields, numbers: &[i64]) {
    put_uint(message, 3);
    put_uint(message, 1);
    put_common(message, of.0, of.1);
    if !fields.is_empty() {
        put_uint(message, 1);
        put_uint(message, fields.len() as u64);
        for ((name, _), number) in fields.iter().zip(numbers) {
            put_uint(message, 1);
            put_bytes(message, name.as_bytes());
            put_uint(message, 1);
            put_int(message, *number);
            message.push(0);
        }
    }
    message.extend([0, 0]);
}

/// `CommonType{Name, Id}`; an empty name is left out.
fn put_common(message: &mut Vec<u8>, name: &str, number: i64) {
    if name.is_empty() {
        put_uint(message, 2);
    } else {
        put_uint(message, 1);
        put_bytes(message, name.as_bytes());
        put_uint(message, 1);
    }
    put_int(message, number);
    message.push(0);
}

fn put_value(bytes: &mut Vec<u8>, kind: Kind, value: &Value) {
    match (kind, value) {
        (Kind::Struct(_, fields), value) => put_fields(bytes, fields, value),
        (Kind::Slice(element), Value::List(values)) => {
            put_uint(bytes, values.len() as u64);
            for value in values {
                put_value(bytes, *element, value);
            }
        }
        (_, Value::Int(number)) => put_int(bytes, *number),
        (_, Value::Uint(number)) => put_uint(bytes, *number),
        (_, Value::Bytes(text)) => put_bytes(bytes, text),
        // Of another kind: zero, which every kind writes as this byte.
        _ => bytes.push(0),
    }
}

fn put_fields(bytes: &mut Vec<u8>, fields: Fields, value: &Value) {
    let mut last = 0;
    for (place, (name, kind)) in (1..).zip(fields) {
        if let Some(value) = value.field(name).filter(|value| !is_zero(value)) {
            put_uint(bytes, place - last);
            put_value(bytes, *kind, value);
            last = place;
        }
    }
    bytes.push(0);
}

/// Go leaves out fields that are zero, and its reader expects no others.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Uint(number) => *number == 0,
        Value::Int(number) => *number == 0,
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(values) => values.is_empty(),
        Value::Struct(fields) => fields.is_empty(),
        Value::Other => true,
    }
}

fn put_message(bytes: &mut Vec<u8>, message: &[u8]) {
    put_uint(bytes, message.len() as u64);
    bytes.extend(message);
}

fn put_uint(bytes: &mut Vec<u8>, number: u64) {
    if number < 128 {
        return bytes.push(number as u8);
    }
    let digits = number.to_be_bytes();
    let leading = (number.leading_zeros() / 8) as usize;
    bytes.push(((digits.len() - leading) as u8).wrapping_neg());
    bytes.extend(&digits[leading..]);
}

fn put_int(bytes: &mut Vec<u8>, number: i64) {
    put_uint(bytes, (number << 1) as u64 ^ (number >> 63) as u64);
}

fn put_bytes(bytes: &mut Vec<u8>, text: &[u8]) {
    put_uint(bytes, text.len() as u64);
    bytes.extend(text);
}

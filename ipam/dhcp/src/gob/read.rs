//! From bytes to values.

use std::collections::{BTreeMap, HashMap};

use super::{
    GobError, LONGEST_MESSAGE, Value,
    types::{self, Type, id},
};

/// Structs in structs; the protocol has four.
const DEEPEST: u32 = 32;

/// Reads one stream: remembers the types that it describes.
pub(crate) struct Reader {
    types: HashMap<i64, Type>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            types: types::of_descriptions().collect(),
        }
    }
}

impl Reader {
    /// Takes the next value off the front of `bytes`; `None`: more bytes are needed.
    pub(crate) fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Value>, GobError> {
        while let Some(message) = take_message(bytes)? {
            if let Some(value) = self.read_message(&message)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// One message: a value, or the description of a type.
    fn read_message(&mut self, message: &[u8]) -> Result<Option<Value>, GobError> {
        let mut rest = Bytes(message);
        let number = rest.int()?;
        if number < 0 {
            let description = self.value(&mut rest, id::WIRE_TYPE, 0)?;
            let number = number.checked_neg().ok_or(GobError::Number)?;
            self.types.insert(number, described(&description)?);
            return Ok(None);
        }
        // What is no struct stands behind an empty field number.
        let is_struct = matches!(self.types.get(&number), Some(Type::Struct(_)));
        if !is_struct && rest.uint()? != 0 {
            return Err(GobError::Field);
        }
        self.value(&mut rest, number, 0).map(Some)
    }

    fn value(&self, rest: &mut Bytes<'_>, number: i64, depth: u32) -> Result<Value, GobError> {
        if depth > DEEPEST {
            return Err(GobError::TooDeep);
        }
        match number {
            id::BOOL | id::UINT => Ok(Value::Uint(rest.uint()?)),
            id::INT => Ok(Value::Int(rest.int()?)),
            id::FLOAT => rest.uint().map(|_| Value::Other),
            id::BYTES | id::TEXT => Ok(Value::Bytes(rest.bytes()?.to_vec())),
            id::COMPLEX => rest.uint().and(rest.uint()).map(|_| Value::Other),
            _ => match self.types.get(&number) {
                None => Err(GobError::UnknownType(number)),
                Some(Type::Opaque) => Err(GobError::Unsupported(number)),
                Some(Type::List(element)) => self.list(rest, *element, depth),
                Some(Type::Map(key, element)) => self.map(rest, (*key, *element), depth),
                Some(Type::Struct(fields)) => self.fields(rest, fields, depth),
            },
        }
    }

    fn list(&self, rest: &mut Bytes<'_>, element: i64, depth: u32) -> Result<Value, GobError> {
        let count = rest.count()?;
        let values = (0..count).map(|_| self.value(rest, element, depth + 1));
        values.collect::<Result<_, _>>().map(Value::List)
    }

    fn map(&self, rest: &mut Bytes<'_>, of: (i64, i64), depth: u32) -> Result<Value, GobError> {
        for _ in 0..rest.count()? {
            self.value(rest, of.0, depth + 1)?;
            self.value(rest, of.1, depth + 1)?;
        }
        Ok(Value::Other)
    }

    /// Each field is preceded by the distance to the one before it; 0 ends them.
    fn fields(
        &self,
        rest: &mut Bytes<'_>,
        fields: &[(String, i64)],
        depth: u32,
    ) -> Result<Value, GobError> {
        let mut values = BTreeMap::new();
        let mut next = 0_usize;
        loop {
            let distance = usize::try_from(rest.uint()?).map_err(|_| GobError::Field)?;
            if distance == 0 {
                return Ok(Value::Struct(values));
            }
            next = next.checked_add(distance).ok_or(GobError::Field)?;
            let (name, number) = fields.get(next - 1).ok_or(GobError::Field)?;
            values.insert(name.clone(), self.value(rest, *number, depth + 1)?);
        }
    }
}

/// The next whole message without its length; `None`: more bytes are needed.
fn take_message(bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, GobError> {
    let mut rest = Bytes(bytes);
    let length = match rest.uint() {
        Err(GobError::Short) => return Ok(None),
        length => length?,
    };
    if length > LONGEST_MESSAGE as u64 {
        return Err(GobError::TooLong(length));
    }
    let head = bytes.len() - rest.0.len();
    let end = head + length as usize;
    if bytes.len() < end {
        return Ok(None);
    }
    let message = bytes[head..end].to_vec();
    bytes.drain(..end);
    Ok(Some(message))
}

fn described(description: &Value) -> Result<Type, GobError> {
    let number = |of: &Value, name| i64::try_from(of.number(name)).map_err(|_| GobError::Number);
    if let Some(of) = description.field("StructT") {
        let fields = of.list("Field").iter();
        let fields = fields.map(|field| Ok((field.text("Name"), number(field, "Id")?)));
        return fields.collect::<Result<_, _>>().map(Type::Struct);
    }
    let list = description.field("SliceT");
    if let Some(of) = list.or_else(|| description.field("ArrayT")) {
        return Ok(Type::List(number(of, "Elem")?));
    }
    match description.field("MapT") {
        Some(of) => Ok(Type::Map(number(of, "Key")?, number(of, "Elem")?)),
        None => Ok(Type::Opaque),
    }
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], GobError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(GobError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Below 128 one byte; above, the negated count of bytes and then these, highest first.
    fn uint(&mut self) -> Result<u64, GobError> {
        let first = self.take(1)?[0];
        if first < 128 {
            return Ok(u64::from(first));
        }
        let count = usize::from(first.wrapping_neg());
        if count > size_of::<u64>() {
            return Err(GobError::Number);
        }
        let bytes = self.take(count)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The sign is the lowest bit; where it is set, the rest is complemented.
    fn int(&mut self) -> Result<i64, GobError> {
        let number = self.uint()?;
        let magnitude = (number >> 1) as i64;
        Ok(if number & 1 == 1 {
            !magnitude
        } else {
            magnitude
        })
    }

    /// A count of things of at least one byte each: a struct ends with one.
    fn count(&mut self) -> Result<usize, GobError> {
        let count = usize::try_from(self.uint()?).map_err(|_| GobError::Number)?;
        match count <= self.0.len() {
            true => Ok(count),
            false => Err(GobError::Short),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], GobError> {
        let count = self.count()?;
        self.take(count)
    }
}

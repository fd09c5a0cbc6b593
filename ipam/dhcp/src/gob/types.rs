//! Types as the stream describes them.

/// A field of a struct to be written: its name and kind.
pub(crate) type Fields = &'static [(&'static str, Kind)];

/// The kind of a value to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A signed integer.
    Int,
    /// An unsigned integer.
    Uint,
    /// A slice of bytes.
    Bytes,
    /// A text.
    Text,
    /// A slice of these.
    Slice(&'static Kind),
    /// A struct with this name in Go, which nobody compares, and these fields.
    Struct(&'static str, Fields),
}

/// Numbers of types that need no description.
pub(super) mod id {
    pub(in super::super) const BOOL: i64 = 1;
    pub(in super::super) const INT: i64 = 2;
    pub(in super::super) const UINT: i64 = 3;
    pub(in super::super) const FLOAT: i64 = 4;
    pub(in super::super) const BYTES: i64 = 5;
    pub(in super::super) const TEXT: i64 = 6;
    pub(in super::super) const COMPLEX: i64 = 7;
    /// What describes a type: a struct with one field that is set.
    pub(in super::super) const WIRE_TYPE: i64 = 16;
    pub(super) const ARRAY_TYPE: i64 = 17;
    pub(super) const COMMON_TYPE: i64 = 18;
    pub(super) const SLICE_TYPE: i64 = 19;
    pub(super) const STRUCT_TYPE: i64 = 20;
    pub(super) const FIELD_TYPE: i64 = 21;
    pub(super) const FIELD_TYPES: i64 = 22;
    pub(super) const MAP_TYPE: i64 = 23;
    /// The first number that a stream gives away itself.
    pub(in super::super) const FIRST_OWN: i64 = 65;
}

/// A described type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Arrays and slices, of elements of this type.
    List(i64),
    /// Keys and values.
    Map(i64, i64),
    /// Names and types of fields.
    Struct(Vec<(String, i64)>),
    /// A type with an encoding of its own.
    Opaque,
}

/// The types by which types are described.
pub(super) fn of_descriptions() -> impl Iterator<Item = (i64, Type)> {
    let of = |fields: &[(&str, i64)]| {
        let own = |(name, kind): &(&str, i64)| ((*name).to_owned(), *kind);
        Type::Struct(fields.iter().map(own).collect())
    };
    let common = ("CommonType", id::COMMON_TYPE);
    let opaque = |name| (name, id::FIRST_OWN - 1);
    [
        (
            id::WIRE_TYPE,
            of(&[
                ("ArrayT", id::ARRAY_TYPE),
                ("SliceT", id::SLICE_TYPE),
                ("StructT", id::STRUCT_TYPE),
                ("MapT", id::MAP_TYPE),
                opaque("GobEncoderT"),
                opaque("BinaryMarshalerT"),
                opaque("TextMarshalerT"),
            ]),
        ),
        (
            id::ARRAY_TYPE,
            of(&[common, ("Elem", id::INT), ("Len", id::INT)]),
        ),
        (id::COMMON_TYPE, of(&[("Name", id::TEXT), ("Id", id::INT)])),
        (id::SLICE_TYPE, of(&[common, ("Elem", id::INT)])),
        (id::STRUCT_TYPE, of(&[common, ("Field", id::FIELD_TYPES)])),
        (id::FIELD_TYPE, of(&[("Name", id::TEXT), ("Id", id::INT)])),
        (id::FIELD_TYPES, Type::List(id::FIELD_TYPE)),
        (
            id::MAP_TYPE,
            of(&[common, ("Key", id::INT), ("Elem", id::INT)]),
        ),
        // Self-encoded types are described by their name alone.
        (id::FIRST_OWN - 1, of(&[common])),
    ]
    .into_iter()
}

//! The shape of every served message: field names, types and versions, as facts in tables.
//!
//! The tables in `schema/` are generated from Kafka's message definitions by `examples/generate_schema.rs`; after a
//! change of `api.rs` it is run again. They say where a field begins and ends and no more: `walk.rs` reads them to
//! check bytes before `kafka-protocol` may decode them, `tree.rs` to name what was on the wire. Nothing here builds or
//! encodes a message.

mod requests;
mod responses;

use crate::protocol::api::ApiKey;

/// One message.
#[derive(Debug, PartialEq)]
pub struct Schema {
    /// Kafka's name, such as `FetchRequest`.
    pub name: &'static str,
    /// The first version with compact lengths and tagged fields (KIP-482); `i16::MAX` if there is none.
    pub flexible_from: i16,
    /// Its fields, in the order of the wire; tagged ones stand among them.
    pub fields: &'static [Field],
}

/// One field of a message or of a structure in it.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Kafka's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The first version that has it.
    pub since: i16,
    /// The last version that has it.
    pub until: i16,
    /// The first version in which it may be null; `i16::MAX` if it never may.
    pub nullable_since: i16,
    /// Its tag, if it is one of the tagged fields.
    pub tag: Option<u32>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// One byte, zero or not.
    Bool,
    /// One byte.
    Int8,
    /// Two bytes.
    Int16,
    /// Two bytes, never negative.
    Uint16,
    /// Four bytes.
    Int32,
    /// Four bytes, never negative.
    Uint32,
    /// Eight bytes.
    Int64,
    /// Eight bytes, IEEE 754.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// A length and UTF-8.
    String,
    /// A length and bytes.
    Bytes,
    /// A length and record batches.
    Records,
    /// Fields one after another.
    Struct(&'static [Field]),
    /// A count and elements.
    Array(&'static Kind),
}

impl Kind {
    /// The size in bytes, where it does not depend on the value.
    pub fn fixed_size(self) -> Option<usize> {
        match self {
            Kind::Bool | Kind::Int8 => Some(1),
            Kind::Int16 | Kind::Uint16 => Some(2),
            Kind::Int32 | Kind::Uint32 => Some(4),
            Kind::Int64 | Kind::Float64 => Some(8),
            Kind::Uuid => Some(16),
            Kind::String | Kind::Bytes | Kind::Records | Kind::Struct(_) | Kind::Array(_) => None,
        }
    }
}

impl Field {
    /// Whether a version has it.
    pub fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }

    /// Whether it may be null in a version.
    pub fn is_nullable(&self, version: i16) -> bool {
        version >= self.nullable_since
    }

    const fn from(mut self, version: i16) -> Field {
        self.since = version;
        self
    }

    const fn upto(mut self, version: i16) -> Field {
        self.until = version;
        self
    }

    const fn null(mut self, version: i16) -> Field {
        self.nullable_since = version;
        self
    }

    const fn tag(mut self, tag: u32) -> Field {
        self.tag = Some(tag);
        self
    }
}

/// A field of every version.
const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, since: 0, until: i16::MAX, nullable_since: i16::MAX, tag: None }
}

/// The shape of an API's request.
///
/// # Panics
/// If an API was added and the tables were not generated anew; a test walks through all.
pub fn request(api: ApiKey) -> &'static Schema {
    requests::of(api.key()).expect("a generated table for every API")
}

/// The shape of an API's response.
///
/// # Panics
/// As [`request`].
pub fn response(api: ApiKey) -> &'static Schema {
    responses::of(api.key()).expect("a generated table for every API")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_has_both_tables_under_its_name() {
        for api in ApiKey::ALL {
            assert_eq!(request(*api).name, format!("{}Request", api.name()));
            assert_eq!(response(*api).name, format!("{}Response", api.name()));
        }
    }
}

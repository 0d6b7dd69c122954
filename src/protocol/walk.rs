//! Checks the bytes of a message against its [`Schema`], field by field, before `kafka-protocol` may decode them.
//!
//! The crate believes what the wire claims: it allocates room for a claimed count before it reads the first element.
//! After a walk every length and count is known to be backed by bytes, nothing is null that may not be, a tagged field
//! is as long as it says, and the number of elements is bounded, so that decoding allocates a bounded multiple of the
//! frame.
//!
//! [`check`] allocates nothing. The same walk, told to a [`Visit`], yields where each field lies (`tree.rs`). What it
//! does not do: judge values, or look into record batches.

use crate::protocol::schema::{Field, Kind, Schema};
use std::ops::Range;

/// How many elements (of arrays of anything but numbers, and unknown tagged fields) a request may hold. Each may become
/// some 150 bytes in memory, however few it takes on the wire.
pub const REQUEST_ELEMENTS: usize = 1 << 18;
/// The same for a response: what a cluster of a million partitions says of itself.
pub const RESPONSE_ELEMENTS: usize = 1 << 22;

/// Why bytes are not what a schema says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A field begins or would have to go on after the end.
    #[error("{field} needs {needed} bytes where {remaining} are left")]
    Truncated {
        /// Kafka's name of the field.
        field: &'static str,
        /// What the field's type or its length claims, in bytes; for an array the least that its elements can take.
        needed: usize,
        /// What is there, in bytes.
        remaining: usize,
    },
    /// A length or count below −1.
    #[error("{field} has length {length}")]
    NegativeLength {
        /// Kafka's name of the field.
        field: &'static str,
        /// What was claimed.
        length: i64,
    },
    /// A string of more than 32,767 bytes, which only the flexible encoding could say.
    #[error("{field} is a string of {length} bytes")]
    LongString {
        /// Kafka's name of the field.
        field: &'static str,
        /// How long it is said to be, in bytes.
        length: usize,
    },
    /// Null, where the version knows no null.
    #[error("{field} is null and may not be")]
    UnexpectedNull {
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// A variable-length number of more than 32 bits.
    #[error("{field} has a length of more than 32 bits")]
    LongVarint {
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// A tagged field whose content is not as long as was said.
    #[error("the tagged field {field} is not as long as it says")]
    TagSize {
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// More elements than a message may hold.
    #[error("the message has more than {0} elements")]
    TooManyElements(usize),
    /// Bytes after the last field.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

/// The longest string, in bytes, in whatever encoding.
const LONGEST_STRING: usize = 32_767;

/// What is told of the fields on the way. Positions are byte offsets in the walked bytes.
pub trait Visit {
    /// A structure or an array begins, or one structure in an array (`index`).
    fn open(&mut self, field: &'static str, index: Option<usize>, kind: Kind, at: usize);
    /// What was opened last ends.
    fn close(&mut self, at: usize);
    /// A value: all its bytes, and the part without its length; `None` if it is null.
    fn value(
        &mut self,
        field: &'static str,
        index: Option<usize>,
        kind: Kind,
        all: Range<usize>,
        content: Option<Range<usize>>,
    );
}

impl Visit for () {
    fn open(&mut self, _: &'static str, _: Option<usize>, _: Kind, _: usize) {}
    fn close(&mut self, _: usize) {}
    fn value(&mut self, _: &'static str, _: Option<usize>, _: Kind, _: Range<usize>, _: Option<Range<usize>>) {}
}

/// Checks that `bytes` are one whole message of a version.
///
/// # Errors
/// If they are not, or hold more than `elements` elements.
pub fn check(bytes: &[u8], schema: &Schema, version: i16, elements: usize) -> Result<(), WalkError> {
    walk(bytes, 0, schema, version, elements, &mut ())
}

/// Checks that `bytes` from `at` on are one whole message of a version, and tells its fields.
///
/// # Errors
/// If they are not, or hold more than `elements` elements; what was told until then is right.
pub fn walk(
    bytes: &[u8],
    at: usize,
    schema: &Schema,
    version: i16,
    elements: usize,
    visit: &mut impl Visit,
) -> Result<(), WalkError> {
    let is_flexible = version >= schema.flexible_from;
    let mut walker = Walker { bytes, at, version, is_flexible, elements_left: elements, elements, visit };
    walker.structure(schema.name, schema.fields)?;
    match walker.remaining() {
        0 => Ok(()),
        rest => Err(WalkError::LeftOver(rest)),
    }
}

struct Walker<'a, V> {
    bytes: &'a [u8],
    at: usize,
    version: i16,
    is_flexible: bool,
    elements: usize,
    elements_left: usize,
    visit: &'a mut V,
}

impl<V: Visit> Walker<'_, V> {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn truncated(&self, field: &'static str, needed: usize) -> WalkError {
        WalkError::Truncated { field, needed, remaining: self.remaining() }
    }

    fn take(&mut self, field: &'static str, size: usize) -> Result<Range<usize>, WalkError> {
        if size > self.remaining() {
            return Err(self.truncated(field, size));
        }
        let range = self.at..self.at + size;
        self.at = range.end;
        Ok(range)
    }

    fn take_array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WalkError> {
        let range = self.take(field, N)?;
        Ok(self.bytes[range].try_into().expect("N bytes"))
    }

    /// A number of up to 32 bits in groups of seven. The crate stops after five bytes whatever the fifth says, and
    /// drops what does not fit; both are refused here.
    fn varint(&mut self, field: &'static str) -> Result<u32, WalkError> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take_array(field)?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| WalkError::LongVarint { field });
            }
        }
        Err(WalkError::LongVarint { field })
    }

    /// A length or count; `None` for null.
    fn length(&mut self, field: &'static str, is_short: bool) -> Result<Option<usize>, WalkError> {
        let length = if self.is_flexible {
            i64::from(self.varint(field)?) - 1
        } else if is_short {
            i64::from(i16::from_be_bytes(self.take_array(field)?))
        } else {
            i64::from(i32::from_be_bytes(self.take_array(field)?))
        };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length).map(Some).map_err(|_| WalkError::NegativeLength { field, length }),
        }
    }

    fn spend(&mut self, elements: usize) -> Result<(), WalkError> {
        let left = self.elements_left.checked_sub(elements);
        self.elements_left = left.ok_or(WalkError::TooManyElements(self.elements))?;
        Ok(())
    }

    fn structure(&mut self, name: &'static str, fields: &'static [Field]) -> Result<(), WalkError> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(field.name, None, field.kind, field.is_nullable(version))?;
        }
        if self.is_flexible { self.tagged_fields(name, fields) } else { Ok(()) }
    }

    fn tagged_fields(&mut self, name: &'static str, fields: &'static [Field]) -> Result<(), WalkError> {
        let count = usize::try_from(self.varint(name)?).expect("32 bits fit");
        // Each takes a tag and a size.
        if count > self.remaining() / 2 {
            return Err(self.truncated(name, count.saturating_mul(2)));
        }
        self.spend(count)?;
        for _ in 0..count {
            let tag = self.varint(name)?;
            let size = usize::try_from(self.varint(name)?).expect("32 bits fit");
            if size > self.remaining() {
                return Err(self.truncated(name, size));
            }
            let end = self.at + size;
            match fields.iter().find(|field| field.tag == Some(tag) && field.is_in(self.version)) {
                // The crate reads a known one without regard to its size: it has to be right.
                Some(field) => {
                    self.value(field.name, None, field.kind, field.is_nullable(self.version))?;
                    if self.at != end {
                        return Err(WalkError::TagSize { field: field.name });
                    }
                }
                None => {
                    let range = self.take(name, size)?;
                    self.visit.value("unknown tagged field", None, Kind::Bytes, range.clone(), Some(range));
                }
            }
        }
        Ok(())
    }

    fn value(
        &mut self,
        field: &'static str,
        index: Option<usize>,
        kind: Kind,
        is_nullable: bool,
    ) -> Result<(), WalkError> {
        let start = self.at;
        if let Some(size) = kind.fixed_size() {
            let range = self.take(field, size)?;
            self.visit.value(field, index, kind, range.clone(), Some(range));
            return Ok(());
        }
        let is_present = match kind {
            Kind::Struct(fields) => {
                // A structure that may be null is preceded by a byte below zero if it is.
                if is_nullable && i8::from_be_bytes(self.take_array(field)?) < 0 {
                    false
                } else {
                    self.visit.open(field, index, kind, start);
                    self.structure(field, fields)?;
                    self.visit.close(self.at);
                    true
                }
            }
            Kind::Array(element) => match self.length(field, false)? {
                Some(count) => {
                    self.array(field, *element, count, start)?;
                    true
                }
                None => false,
            },
            _ => match self.length(field, kind == Kind::String)? {
                // In the old encoding it could not be longer either, and Kafka holds to that in both.
                Some(length) if kind == Kind::String && length > LONGEST_STRING => {
                    return Err(WalkError::LongString { field, length });
                }
                Some(length) => {
                    let content = self.take(field, length)?;
                    self.visit.value(field, index, kind, start..content.end, Some(content));
                    true
                }
                None => false,
            },
        };
        match (is_present, is_nullable) {
            (true, _) => Ok(()),
            (false, true) => {
                self.visit.value(field, index, kind, start..self.at, None);
                Ok(())
            }
            (false, false) => Err(WalkError::UnexpectedNull { field }),
        }
    }

    fn array(&mut self, field: &'static str, element: Kind, count: usize, start: usize) -> Result<(), WalkError> {
        // Every element takes a byte at least; those of a fixed size take that.
        let needed = count.saturating_mul(element.fixed_size().unwrap_or(1));
        if needed > self.remaining() {
            return Err(self.truncated(field, needed));
        }
        if element.fixed_size().is_none() {
            self.spend(count)?;
        }
        self.visit.open(field, None, Kind::Array(&Kind::Bytes), start);
        for index in 0..count {
            self.value(field, Some(index), element, false)?;
        }
        self.visit.close(self.at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::api::ApiKey;
    use crate::protocol::schema;

    fn refused(api: ApiKey, version: i16, body: &[u8]) -> WalkError {
        check(body, schema::request(api), version, REQUEST_ELEMENTS).expect_err("hostile bytes")
    }

    #[test]
    fn a_count_without_bytes_is_refused() {
        let error = refused(ApiKey::Metadata, 0, &[0x7F, 0xFF, 0xFF, 0xFF]);
        let claimed = usize::try_from(i32::MAX).expect("fits");
        assert_eq!(error, WalkError::Truncated { field: "Topics", needed: claimed, remaining: 0 });
        let error = refused(ApiKey::Metadata, 9, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
        assert!(matches!(error, WalkError::Truncated { field: "Topics", .. }), "{error}");
    }

    #[test]
    fn a_string_is_no_longer_than_the_old_encoding_could_say() {
        // ConsumerGroupDescribe 0: one group id; lengths are one more than they are.
        let named = |length: usize| {
            let mut body = vec![2];
            let claimed = u32::try_from(length + 1).expect("short");
            body.extend([claimed & 0x7F | 0x80, (claimed >> 7) & 0x7F | 0x80, claimed >> 14].map(|byte| byte as u8));
            body.extend(vec![b'g'; length]);
            body.extend([0, 0]);
            body
        };
        let schema = schema::request(ApiKey::ConsumerGroupDescribe);
        assert_eq!(check(&named(32_767), schema, 0, 10), Ok(()));
        let error = check(&named(32_768), schema, 0, 10).expect_err("too long");
        assert!(matches!(error, WalkError::LongString { length: 32_768, .. }), "{error}");
    }

    #[test]
    fn lengths_nulls_and_tags_have_to_be_right() {
        assert_eq!(
            refused(ApiKey::Metadata, 0, &[0xFF, 0xFF, 0xFF, 0xFE]),
            WalkError::NegativeLength { field: "Topics", length: -2 }
        );
        // Null topics: from version 1 on only.
        assert_eq!(refused(ApiKey::Metadata, 0, &[0xFF; 4]), WalkError::UnexpectedNull { field: "Topics" });
        assert_eq!(check(&[0xFF; 4], schema::request(ApiKey::Metadata), 1, 1), Ok(()));
        assert_eq!(refused(ApiKey::Metadata, 9, &[0xFF; 6]), WalkError::LongVarint { field: "Topics" });
        assert_eq!(
            refused(ApiKey::Metadata, 9, &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F]),
            WalkError::LongVarint { field: "Topics" }
        );
        assert_eq!(refused(ApiKey::Metadata, 0, &[0, 0, 0, 0, 9]), WalkError::LeftOver(1));
        // ListConfigResources 0: one unknown tag of three bytes is fine, of four not.
        let schema = schema::request(ApiKey::ListConfigResources);
        assert_eq!(check(&[1, 77, 3, 1, 2, 3], schema, 0, 1), Ok(()));
        assert!(matches!(check(&[1, 77, 4, 1, 2, 3], schema, 0, 1), Err(WalkError::Truncated { .. })));
        assert_eq!(check(&[1, 77, 3, 1, 2, 3], schema, 0, 0), Err(WalkError::TooManyElements(0)));
    }

    #[test]
    fn a_known_tag_is_as_long_as_it_says() {
        // Fetch 12: everything zero and empty, and the cluster id as tag 0.
        let with_tag = |size: u8| {
            let mut body = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
            body.extend([1, 1, 1]);
            body.extend([1, 0, size, 3, b'm', b'e']);
            body
        };
        let schema = schema::request(ApiKey::Fetch);
        assert_eq!(check(&with_tag(3), schema, 12, 1), Ok(()));
        assert_eq!(check(&with_tag(2), schema, 12, 1), Err(WalkError::TagSize { field: "ClusterId" }));
    }
}

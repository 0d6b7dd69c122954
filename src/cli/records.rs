//! Records as text: what `produce` reads and `consume` writes.
//!
//! Invariants: a record written as JSON is read back as the same record; bytes that are no UTF-8 are written as they
//! are in text and as hexadecimal in JSON (`value_hex`); nothing is guessed: a line of JSON that is no record is an
//! error with its number.
//!
//! Deliberately not here: sending and fetching.

use crate::client::consumer::ConsumerRecord;
use crate::client::producer::ProducerRecord;
use bytes::Bytes;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

/// How input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum InputFormat {
    /// A line is a value
    #[default]
    Text,
    /// A line is an object: {"key":…,"value":…,"headers":{…},"partition":…,"timestamp":…}
    Json,
}

/// What every record of an input has in common.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The topic.
    pub topic: String,
    /// How a line is read.
    pub format: InputFormat,
    /// In text, what stands between key and value.
    pub key_separator: Option<String>,
    /// The key of records that bring none.
    pub key: Option<String>,
    /// Headers of every record.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The partition of records that bring none.
    pub partition: Option<i32>,
}

impl Reading {
    /// Reads one line. `timestamp_ms` is the time of records that bring none.
    pub fn record(&self, line: &[u8], timestamp_ms: i64) -> Result<ProducerRecord, String> {
        let mut record = ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            key: self.key.clone().map(Bytes::from),
            value: None,
            headers: self.headers.clone(),
            timestamp_ms,
        };
        match self.format {
            InputFormat::Text => self.read_text(line, &mut record)?,
            InputFormat::Json => read_json(line, &mut record)?,
        }
        Ok(record)
    }

    fn read_text(&self, line: &[u8], record: &mut ProducerRecord) -> Result<(), String> {
        let mut value = line;
        if let Some(separator) = self.key_separator.as_ref().map(String::as_bytes).filter(|between| !between.is_empty())
        {
            let at = line.windows(separator.len()).position(|window| window == separator);
            let at = at.ok_or_else(|| "no separator between key and value".to_owned())?;
            record.key = Some(Bytes::copy_from_slice(&line[..at]));
            value = &line[at + separator.len()..];
        }
        record.value = Some(Bytes::copy_from_slice(value));
        Ok(())
    }
}

fn read_json(line: &[u8], record: &mut ProducerRecord) -> Result<(), String> {
    let object: Map<String, Value> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    for (name, field) in object {
        match name.as_str() {
            "key" => record.key = bytes_of(field),
            "value" => record.value = bytes_of(field),
            "key_hex" => record.key = Some(from_hex(&field)?),
            "value_hex" => record.value = Some(from_hex(&field)?),
            "headers" => record.headers.extend(headers_of(field)?),
            "partition" => {
                let partition =
                    field.as_i64().and_then(|number| i32::try_from(number).ok()).filter(|number| *number >= 0);
                record.partition = Some(partition.ok_or("`partition` is no number of a partition")?);
            }
            "timestamp" => record.timestamp_ms = field.as_i64().ok_or("`timestamp` is no number of milliseconds")?,
            // What `consume` writes besides, so that its output can be read.
            "topic" | "offset" | "leader_epoch" => {}
            other => return Err(format!("`{other}` is no part of a record")),
        }
    }
    Ok(())
}

/// A string is its bytes, null is nothing, and anything else is its own JSON.
fn bytes_of(value: Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Bytes::from(text)),
        other => Some(Bytes::from(other.to_string())),
    }
}

fn headers_of(value: Value) -> Result<Vec<(String, Option<Bytes>)>, String> {
    match value {
        Value::Object(fields) => Ok(fields.into_iter().map(|(name, value)| (name, bytes_of(value))).collect()),
        Value::Array(pairs) => pairs.into_iter().map(header_of).collect(),
        _ => Err("`headers` is neither an object nor a list of pairs".to_owned()),
    }
}

fn header_of(pair: Value) -> Result<(String, Option<Bytes>), String> {
    let wrong = || "a header is a pair of name and value".to_owned();
    let Value::Array(pair) = pair else { return Err(wrong()) };
    let [Value::String(name), value] = <[Value; 2]>::try_from(pair).map_err(|_| wrong())? else { return Err(wrong()) };
    match value {
        Value::Object(fields) => match fields.get("hex") {
            Some(hex) if fields.len() == 1 => Ok((name, Some(from_hex(hex)?))),
            _ => Err(wrong()),
        },
        value => Ok((name, bytes_of(value))),
    }
}

fn from_hex(value: &Value) -> Result<Bytes, String> {
    let wrong = || "not hexadecimal".to_owned();
    let digits = value.as_str().filter(|text| text.len().is_multiple_of(2) && text.is_ascii()).ok_or_else(wrong)?;
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong());
    (0..digits.len()).step_by(2).map(byte).collect::<Result<Vec<u8>, _>>().map(Bytes::from)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A part of a record that `consume` shows beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The partition's number
    Partition,
    /// The offset
    Offset,
    /// Milliseconds since 1970 UTC
    Timestamp,
    /// The key
    Key,
    /// NAME=VALUE, with commas between
    Headers,
}

/// A record as a line of text: the parts asked for, in that order, and the value. Without its newline.
pub fn to_text(record: &ConsumerRecord, parts: &[Part], separator: &str) -> Vec<u8> {
    let mut line = Vec::new();
    for part in parts {
        match part {
            Part::Partition => line.extend_from_slice(record.partition.partition.to_string().as_bytes()),
            Part::Offset => line.extend_from_slice(record.record.offset.to_string().as_bytes()),
            Part::Timestamp => line.extend_from_slice(record.record.timestamp.to_string().as_bytes()),
            Part::Key => line.extend_from_slice(record.record.key.as_deref().unwrap_or_default()),
            Part::Headers => {
                for (place, (name, value)) in record.record.headers.iter().enumerate() {
                    line.extend_from_slice(if place == 0 { b"" } else { b"," });
                    line.extend_from_slice(name.as_bytes());
                    line.push(b'=');
                    line.extend_from_slice(value.as_deref().unwrap_or_default());
                }
            }
        }
        line.extend_from_slice(separator.as_bytes());
    }
    line.extend_from_slice(record.record.value.as_deref().unwrap_or_default());
    line
}

/// A record as an object.
pub fn to_json(record: &ConsumerRecord) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(record.partition.topic));
    object.insert("partition".to_owned(), json!(record.partition.partition));
    object.insert("offset".to_owned(), json!(record.record.offset));
    object.insert("timestamp".to_owned(), json!(record.record.timestamp));
    object.insert("leader_epoch".to_owned(), json!(record.leader_epoch));
    put_bytes(&mut object, "key", record.record.key.as_ref());
    put_bytes(&mut object, "value", record.record.value.as_ref());
    if !record.record.headers.is_empty() {
        let pair = |(name, value): &(String, Option<Bytes>)| match value.as_deref().map(std::str::from_utf8) {
            None => json!([name, null]),
            Some(Ok(text)) => json!([name, text]),
            Some(Err(_)) => json!([name, {"hex": to_hex(value.as_deref().unwrap_or_default())}]),
        };
        object.insert("headers".to_owned(), record.record.headers.iter().map(pair).collect());
    }
    Value::Object(object)
}

fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&Bytes>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => object.insert(format!("{name}_hex"), json!(to_hex(bytes.map_or(&[], |bytes| &bytes[..])))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::metadata::TopicPartition;
    use crate::protocol::records::Record;
    use proptest::prelude::*;

    fn reading(format: InputFormat) -> Reading {
        Reading { topic: "orders".to_owned(), format, ..Reading::default() }
    }

    fn bytes(text: &str) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn text_is_a_value_or_key_and_value() {
        let plain = reading(InputFormat::Text);
        assert_eq!(
            plain.record(b"a:b", 5).map(|record| (record.key, record.value, record.timestamp_ms)),
            Ok((None, bytes("a:b"), 5))
        );
        let keyed = Reading { key_separator: Some("::".to_owned()), ..plain };
        assert_eq!(
            keyed.record(b"k::v::w", 5).map(|record| (record.key, record.value)),
            Ok((bytes("k"), bytes("v::w")))
        );
        assert!(keyed.record(b"no key", 5).is_err());
    }

    #[test]
    fn json_is_an_object_with_nothing_unknown() {
        let json = reading(InputFormat::Json);
        let record = json.record(br#"{"key":"k","value":{"a":1},"headers":{"h":"x"},"partition":2,"timestamp":9}"#, 5);
        let record = record.expect("a record");
        assert_eq!((record.key, record.value), (bytes("k"), bytes(r#"{"a":1}"#)));
        assert_eq!((record.partition, record.timestamp_ms), (Some(2), 9));
        assert_eq!(record.headers, [("h".to_owned(), bytes("x"))]);
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"kay":1}"#,
            r#"{"partition":-1}"#,
            r#"{"headers":3}"#,
            r#"{"headers":[["a"]]}"#,
            r#"{"key_hex":"abc"}"#,
            r#"{"value_hex":"zz"}"#,
            r#"{"value_hex":"é"}"#,
            r#"{"timestamp":"now"}"#,
        ] {
            assert!(json.record(wrong.as_bytes(), 5).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_shows_the_parts_asked_for() {
        let record = ConsumerRecord {
            partition: TopicPartition::new("orders", 3),
            record: Record {
                offset: 7,
                timestamp: 9,
                key: bytes("k"),
                value: bytes("v"),
                headers: vec![("a".to_owned(), bytes("1")), ("b".to_owned(), None)],
            },
            leader_epoch: 0,
        };
        let all = [Part::Partition, Part::Offset, Part::Timestamp, Part::Key, Part::Headers];
        assert_eq!(to_text(&record, &all, "|"), b"3|7|9|k|a=1,b=|v");
        assert_eq!(to_text(&record, &[], "|"), b"v");
    }

    fn any_bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from),
            ".{0,10}".prop_map(Bytes::from)
        ])
    }

    proptest! {
        #[test]
        fn what_consume_writes_produce_reads(
            key in any_bytes(),
            value in any_bytes(),
            headers in proptest::collection::vec((".{0,5}", any_bytes()), 0..3),
            partition in 0..99_i32,
            timestamp in any::<i64>(),
        ) {
            let record = Record { offset: 7, timestamp, key, value, headers };
            let partition = TopicPartition::new("orders", partition);
            let written = ConsumerRecord { partition: partition.clone(), record: record.clone(), leader_epoch: 2 };
            let line = to_json(&written);
            let read = reading(InputFormat::Json).record(line.to_string().as_bytes(), 0).expect("a record");
            prop_assert_eq!((read.key, read.value, read.headers), (record.key, record.value, record.headers));
            prop_assert_eq!((read.partition, read.timestamp_ms), (Some(partition.partition), timestamp));
        }
    }
}

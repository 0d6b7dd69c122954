//! A condition on records, as it is typed on the messages screen: `value.total > 100 and key ~ "eu-"`.
//!
//! ```text
//! condition = all { "or" all }        all = one { "and" one }        one = [ "not" ] test | TEXT
//! test      = place operator operand  operator = "=" "!=" "<" "<=" ">" ">=" "~" (contains) "!~"
//! place     = "key" | "value" | "header" "." NAME | "partition" | "offset" | "time", the first two with a JSON path: value.items[0].sku
//! ```
//! Invariants: pure: what a condition means does not depend on when it is asked, `time > -10m` is a moment once it is read. A test of
//! something that a record does not have is false, and so is `not` never used to guess: `not value.x = 1` is true where there is no `x`.
//! Numbers are compared as numbers, everything else as text.
//!
//! Deliberately not here: reading records.

mod parse;

use super::view::TailRecord;
use serde_json::Value;

pub use parse::{moment, parse};

/// A condition on records; the default is true of every record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// True if all tests of one of these are. Empty: true.
    any: Vec<Vec<Test>>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    is_negated: bool,
    place: Place,
    operator: Operator,
    operand: Operand,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The key or the value, whichever contains the text.
    Anywhere,
    Key(Vec<Step>),
    Value(Vec<Step>),
    Header(String),
    Partition,
    Offset,
    Time,
}

/// One step of a path into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    ContainsNot,
}

/// What is compared with.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Null,
    Text(String),
    /// Finite, so that it equals itself.
    Number(f64),
}

impl Eq for Operand {}

/// What a record has at a place.
enum Found {
    Nothing,
    Null,
    Text(String),
    Number(f64),
}

impl Query {
    /// Whether every record meets it.
    pub fn is_everything(&self) -> bool {
        self.any.is_empty()
    }

    /// Whether a record meets it.
    pub fn matches(&self, record: &TailRecord) -> bool {
        self.any.is_empty() || self.any.iter().any(|all| all.iter().all(|test| test.holds(record)))
    }
}

impl Test {
    fn holds(&self, record: &TailRecord) -> bool {
        let found = match &self.place {
            Place::Anywhere => {
                let Operand::Text(text) = &self.operand else { return false };
                let has = |field: &Option<String>| field.as_ref().is_some_and(|field| field.contains(text.as_str()));
                return (has(&record.key) || has(&record.value)) != self.is_negated;
            }
            Place::Key(path) => within(record.key.as_deref(), path),
            Place::Value(path) => within(record.value.as_deref(), path),
            Place::Header(name) => {
                let header = record.headers.iter().find(|(key, _)| key == name);
                header.map_or(Found::Nothing, |(_, value)| Found::Text(value.clone()))
            }
            Place::Partition => Found::Number(f64::from(record.partition)),
            Place::Offset => Found::Number(record.offset as f64),
            Place::Time => Found::Number(record.timestamp_ms as f64),
        };
        self.compare(&found) != self.is_negated
    }

    fn compare(&self, found: &Found) -> bool {
        use Operator::{Contains, ContainsNot, Equal, NotEqual};
        match (found, &self.operand, self.operator) {
            (Found::Nothing, ..) => false,
            (Found::Null, Operand::Null, operator) => operator == Equal,
            (_, Operand::Null, operator) => operator == NotEqual,
            (Found::Null, _, operator) => operator == NotEqual,
            (found, operand, operator @ (Contains | ContainsNot)) => {
                found.text().contains(&operand.text()) == (operator == Contains)
            }
            (found, operand, operator) => {
                let order = match (found.number(), operand) {
                    (Some(number), Operand::Number(operand)) => number.partial_cmp(operand),
                    (_, operand) => Some(found.text().cmp(&operand.text())),
                };
                order.is_some_and(|order| operator.allows(order))
            }
        }
    }
}

impl Operator {
    fn allows(self, order: std::cmp::Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Contains | Operator::ContainsNot => false,
        }
    }
}

impl Found {
    fn text(&self) -> String {
        match self {
            Found::Nothing | Found::Null => String::new(),
            Found::Text(text) => text.clone(),
            Found::Number(number) => number.to_string(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Found::Number(number) => Some(*number),
            Found::Text(text) => text.trim().parse().ok(),
            Found::Nothing | Found::Null => None,
        }
    }
}

impl Operand {
    fn text(&self) -> String {
        match self {
            Operand::Null => "null".to_owned(),
            Operand::Text(text) => text.clone(),
            Operand::Number(number) => number.to_string(),
        }
    }
}

/// What stands in a key or value at the end of a path.
fn within(field: Option<&str>, path: &[Step]) -> Found {
    let Some(field) = field else { return if path.is_empty() { Found::Null } else { Found::Nothing } };
    if path.is_empty() {
        return Found::Text(field.to_owned());
    }
    let Ok(json) = serde_json::from_str::<Value>(field) else { return Found::Nothing };
    let mut at = &json;
    for step in path {
        let next = match step {
            Step::Field(name) => at.get(name.as_str()),
            Step::Index(index) => at.get(*index),
        };
        let Some(next) = next else { return Found::Nothing };
        at = next;
    }
    match at {
        Value::Null => Found::Null,
        Value::Number(number) => number.as_f64().map_or(Found::Nothing, Found::Number),
        Value::String(text) => Found::Text(text.clone()),
        other => Found::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TailRecord {
        TailRecord {
            partition: 3,
            offset: 12_844,
            timestamp_ms: 1_000_000,
            key: Some("eu-4412".into()),
            value: Some(r#"{"id":7,"total":271.4,"items":[{"sku":"KB-104"}],"status":"paid","coupon":null}"#.into()),
            headers: vec![("source".into(), "web".into())],
            ..TailRecord::default()
        }
    }

    fn holds(text: &str) -> bool {
        parse(text, 1_600_000, 0).expect(text).matches(&record())
    }

    #[test]
    fn every_place_can_be_tested() {
        for text in [
            "",
            "eu-44",
            "KB-104",
            "key = eu-4412",
            "key ~ \"eu-\" and value.total > 100",
            "value.total >= 271.4 and value.total <= 271.4",
            "value.items[0].sku = \"KB-104\"",
            "value.status != open",
            "value.coupon = null",
            "value ~ paid",
            "value !~ open",
            "header.source = web",
            "partition = 3",
            "offset >= 12844 and offset < 12,845",
            "time > -11m and time < -9m",
            "time >= 00:16:40",
            "key = us or key ~ eu",
            "not value.status = open",
            "not value.nothing = 1",
            "value.id = 7 or partition = 9 and partition = 10",
        ] {
            assert!(holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_so_is_not_found() {
        for text in [
            "us-",
            "key = eu",
            "value.total > 271.4",
            "value.total < 30",
            "value.nothing = 1",
            "value.nothing != 1",
            "value.items[1].sku = x",
            "value.coupon != null",
            "header.nothing = web",
            "partition != 3",
            "time > -1m",
            "not eu",
            "(nothing)",
        ] {
            assert!(!holds(text), "{text}");
        }
        let tombstone = TailRecord { value: None, ..record() };
        assert!(parse("value = null", 0, 0).expect("a query").matches(&tombstone));
        assert!(!parse("value ~ a", 0, 0).expect("a query").matches(&tombstone));
    }

    #[test]
    fn what_cannot_be_read_is_told_where() {
        for (text, told) in [
            ("value.total >", "after `>`"),
            ("key ~", "after `~`"),
            ("price > 1", "price"),
            ("time > soon", "soon"),
            ("partition = x", "x"),
            ("value.items[x] = 1", "[x]"),
            ("key = \"eu", "quote"),
            ("key = a and", "after `and`"),
            ("key = a b", "`b`"),
            ("header = a", "header.NAME"),
        ] {
            let error = parse(text, 0, 0).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}

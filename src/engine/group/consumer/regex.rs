//! Subscriptions by regular expression (KIP-848, version 1 of the heartbeat): an expression has to match a topic's whole
//! name. It is matched in a time that is linear in the name, whatever the expression is.
//!
//! Deviations from Kafka, which uses RE2: no Unicode classes (`\p{...}`; names of topics are ASCII anyhow), and internal
//! topics are subscribed to by name only.

use crate::engine::controller::image::MetadataImage;
use crate::engine::group::OFFSETS_TOPIC;
use crate::engine::txn::TRANSACTIONS_TOPIC;
use regex_lite::{Regex, RegexBuilder};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An expression's automaton may take so many bytes.
const SIZE_LIMIT: usize = 256 * 1024;

/// The names of all topics that an expression matches.
///
/// # Errors
/// What is wrong with the expression, in words.
pub fn resolve(expression: &str, metadata: &MetadataImage) -> Result<BTreeSet<Arc<str>>, String> {
    let compiled = compile(expression)?;
    let is_wanted = |name: &&String| !is_internal(name) && compiled.is_match(name);
    Ok(metadata.topic_ids.keys().filter(is_wanted).map(|name| Arc::from(name.as_str())).collect())
}

/// Whether an expression is one.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(expression: &str) -> Result<(), String> {
    compile(expression).map(|_| ())
}

fn compile(expression: &str) -> Result<Regex, String> {
    // On its own first: "a)(b" must not become valid by what is put around it.
    let build = |text: &str| RegexBuilder::new(text).size_limit(SIZE_LIMIT).build().map_err(|error| error.to_string());
    build(expression)?;
    build(&format!("^(?:{expression})$"))
}

fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == TRANSACTIONS_TOPIC
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::TopicId;
    use uuid::Uuid;

    fn resolved(expression: &str) -> Result<Vec<String>, String> {
        let mut metadata = MetadataImage::default();
        for (name, number) in ["orders", "orders-eu", "bills", OFFSETS_TOPIC].iter().zip(1..) {
            metadata.topic_ids.insert((*name).to_owned(), TopicId(Uuid::from_u128(number)));
        }
        resolve(expression, &metadata).map(|names| names.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn the_whole_name_has_to_match_and_internal_topics_never_do() {
        assert_eq!(resolved("orders"), Ok(vec!["orders".to_owned()]));
        assert_eq!(resolved("orders.*|b"), Ok(vec!["orders".to_owned(), "orders-eu".to_owned()]));
        assert_eq!(resolved(".*").map(|names| names.len()), Ok(3));
        assert_eq!(resolved("order"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in ["(", "a)(b", "[z-a]", "*", "((a{1000}){1000}){1000}"] {
            assert!(resolved(expression).is_err(), "{expression}");
            assert!(check(expression).is_err());
        }
    }
}

//! What can stand at the end of an unfinished line: verbs, flags and live values.
//!
//! Invariants: what is offered starts with what is typed, ASCII case aside (ranking and fuzziness are the console's);
//! the line may be empty or broken, the answer is then empty rather than wrong.
//!
//! Deliberately not here: what the live values are. A host lends them through [`Names`].

use super::catalogue::grammar;
use super::predicate::SUBJECTS;
use super::values::CLIENTS;
use crate::cluster::view::{Completion, CompletionValue};
use kafka_protocol::messages::ApiKey;

/// The names of what exists now, each with a note in a word or two.
pub trait Names {
    /// Brokers: `2`, `already dead`.
    fn brokers(&self) -> Vec<CompletionValue>;
    /// Topics that start so.
    fn topics(&self, start: &str) -> Vec<CompletionValue>;
    /// Partitions that start so: `orders-0`.
    fn partitions(&self, start: &str) -> Vec<CompletionValue>;
    /// Consumer groups that start so.
    fn groups(&self, start: &str) -> Vec<CompletionValue>;
    /// Transactional ids that start so.
    fn transactional_ids(&self, start: &str) -> Vec<CompletionValue>;
    /// Settings of Kafka's that start so: `retention.ms`.
    fn settings(&self, start: &str) -> Vec<CompletionValue>;
}

/// Completes the last word of a line.
pub fn complete(line: &str, names: &dyn Names) -> Completion {
    let from = line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let typed = &line[from..];
    let before: Vec<&str> = line[..from].split_whitespace().collect();
    let grammar = grammar();
    let mut verb = &grammar;
    let mut arguments = before.as_slice();
    while let [word, rest @ ..] = arguments {
        match verb.find_subcommand(word) {
            Some(next) => (verb, arguments) = (next, rest),
            None => break,
        }
    }
    let (argument, values) = if verb.has_subcommands() && arguments.is_empty() {
        let mut values: Vec<_> =
            verb.get_subcommands().filter(|verb| verb.get_name() != "help").map(verb_value).collect();
        if verb.get_positionals().next().is_some() {
            values.extend(argument_values(verb, arguments, typed, names).1);
        }
        (String::new(), values)
    } else {
        argument_values(verb, arguments, typed, names)
    };
    let starts =
        |value: &CompletionValue| value.text.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
    Completion { from, argument, values: values.into_iter().filter(starts).collect() }
}

fn verb_value(verb: &clap::Command) -> CompletionValue {
    let note = verb.get_about().map(ToString::to_string).unwrap_or_default();
    CompletionValue { text: verb.get_name().to_owned(), note, refused: false }
}

fn plain(text: &str) -> CompletionValue {
    CompletionValue { text: text.to_owned(), ..CompletionValue::default() }
}

/// The name of the argument that stands at the end, and its values.
fn argument_values(
    verb: &clap::Command,
    before: &[&str],
    typed: &str,
    names: &dyn Names,
) -> (String, Vec<CompletionValue>) {
    let flags = || verb.get_arguments().filter(|argument| argument.get_long().is_some() && argument.get_id() != "help");
    if typed.starts_with('-') {
        let value = |flag: &clap::Arg| CompletionValue {
            text: format!("--{}", flag.get_long().unwrap_or_default()),
            note: flag.get_help().map(ToString::to_string).unwrap_or_default(),
            refused: false,
        };
        return (String::new(), flags().map(value).collect());
    }
    let long = |word: &str| word.strip_prefix("--").map(str::to_owned);
    if let Some(flag) = before.last().and_then(|word| long(word))
        && let Some(flag) = flags().find(|argument| argument.get_long() == Some(&flag))
        && flag.get_action().takes_values()
    {
        let name = value_name(flag);
        return (format!("--{}", flag.get_long().unwrap_or_default()), values_of(&name, flag, &[], typed, names));
    }
    // Positional words said so far; a flag ends the words of WHO and PREDICATE.
    let said: Vec<&str> = before.iter().copied().take_while(|word| !word.starts_with('-')).collect();
    let mut positionals = verb.get_positionals();
    let Some(first) = positionals.next() else { return (String::new(), Vec::new()) };
    let many = first.get_num_args().is_some_and(|range| range.max_values() > 1);
    let argument = if said.is_empty() || many { Some(first) } else { positionals.nth(said.len() - 1) };
    match argument {
        Some(argument) => {
            let name = value_name(argument);
            let values = values_of(&name, argument, &said, typed, names);
            (name, values)
        }
        None => (String::new(), Vec::new()),
    }
}

fn value_name(argument: &clap::Arg) -> String {
    match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    }
}

/// What can be said for an argument, after the words of it that were said already.
fn values_of(name: &str, argument: &clap::Arg, said: &[&str], typed: &str, names: &dyn Names) -> Vec<CompletionValue> {
    let words = |words: &[&str]| words.iter().map(|word| plain(word)).collect::<Vec<_>>();
    match (name, said) {
        ("WHO", []) => {
            let mut values = names.brokers();
            values.extend(words(&["leader", "controller", "coordinator", "killed"]));
            values
        }
        ("WHO", ["coordinator"]) => words(&["of"]),
        ("WHO", ["coordinator", "of"]) => names.groups(typed),
        ("WHO", ["leader"]) => words(&["of"]),
        ("WHO", ["leader", "of"]) => names.partitions(typed),
        ("WHO", ["leader" | "coordinator" | "controller" | "killed", ..]) => Vec::new(),
        ("WHO" | "ID" | "IDS", _) => names.brokers(),
        ("LINK", _) => {
            let mut values = names.brokers();
            values.push(plain(CLIENTS));
            values
        }
        ("PREDICATE", []) => words(&SUBJECTS),
        ("PREDICATE", ["leader" | "isr" | "replicas" | "epoch" | "high-watermark" | "log-end" | "log-start"]) => {
            names.partitions(typed)
        }
        ("PREDICATE", ["lag" | "members" | "generation" | "state" | "committed"]) => names.groups(typed),
        ("PREDICATE", ["committed", _]) => names.partitions(typed),
        ("PREDICATE", ["state", _]) => words(&["=", "!="]),
        ("PREDICATE", ["state", _, _]) => words(&["stable", "rebalancing", "empty"]),
        ("PREDICATE", ["leader" | "isr" | "replicas", _] | ["controller"]) => words(&["=", "!="]),
        ("PREDICATE", ["leader" | "isr" | "replicas", _, _] | ["controller", _]) => {
            let mut values = names.brokers();
            values.push(plain("none"));
            values
        }
        ("PREDICATE", ["lag" | "members" | "generation", _] | ["committed", _, _]) => {
            words(&["=", "!=", "<", "<=", ">", ">="])
        }
        ("PREDICATE", [_] | ["epoch" | "high-watermark" | "log-end" | "log-start", _]) => {
            words(&["=", "!=", "<", "<=", ">", ">="])
        }
        ("MESSAGE", []) => words(&["request", "response"]),
        ("MESSAGE", [_]) => words(&["of"]),
        ("MESSAGE", [_, "of"]) => ApiKey::iter().map(|key| plain(&format!("{key:?}"))).collect(),
        ("ENTITY", []) => words(&["topic", "group", "broker", "brokers"]),
        ("ENTITY", ["topic"]) => names.topics(typed),
        ("ENTITY", ["group"]) => names.groups(typed),
        ("ENTITY", ["broker"]) => names.brokers(),
        ("TOPIC", _) => names.topics(typed),
        ("GROUP", _) => names.groups(typed),
        ("PARTITION", _) => names.partitions(typed),
        ("TRANSACTIONAL-ID", _) => names.transactional_ids(typed),
        ("KEY" | "KEY=VALUE", _) => names.settings(typed),
        ("ACKS", _) => words(&["all", "1", "0"]),
        ("WHERE", _) => words(&["earliest", "latest"]),
        ("SPEED", _) => words(&["1", "0.5", "0.25", "0.1"]),
        ("NAME", _) if argument.get_id() == "name" && argument.is_positional() => {
            words(&["dark", "light", "high-contrast", "mono"])
        }
        _ => argument.get_possible_values().iter().map(|value| plain(value.get_name())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Three;

    impl Names for Three {
        fn brokers(&self) -> Vec<CompletionValue> {
            vec![plain("1"), plain("2"), plain("3")]
        }
        fn topics(&self, _: &str) -> Vec<CompletionValue> {
            vec![plain("clicks"), plain("orders")]
        }
        fn partitions(&self, _: &str) -> Vec<CompletionValue> {
            vec![plain("orders-0"), plain("orders-1")]
        }
        fn groups(&self, start: &str) -> Vec<CompletionValue> {
            vec![plain("orders-app")].into_iter().filter(|group| group.text.starts_with(start)).collect()
        }
        fn transactional_ids(&self, _: &str) -> Vec<CompletionValue> {
            vec![plain("transfers")]
        }
        fn settings(&self, _: &str) -> Vec<CompletionValue> {
            vec![plain("retention.ms")]
        }
    }

    fn offered(line: &str) -> (String, Vec<String>) {
        let completion = complete(line, &Three);
        assert!(line.is_char_boundary(completion.from));
        (completion.argument, completion.values.into_iter().map(|value| value.text).collect())
    }

    fn texts(line: &str) -> Vec<String> {
        offered(line).1
    }

    #[test]
    fn verbs_then_arguments_then_flags() {
        assert_eq!(texts("ki"), ["kill"]);
        assert!(texts("").contains(&"topic".to_owned()));
        assert_eq!(texts("topic cr"), ["create"]);
        assert_eq!(
            offered("kill "),
            (
                "WHO".to_owned(),
                ["1", "2", "3", "leader", "controller", "coordinator", "killed"].map(String::from).to_vec()
            )
        );
        assert_eq!(texts("kill leader "), ["of"]);
        assert_eq!(texts("kill leader of o"), ["orders-0", "orders-1"]);
        assert_eq!(texts("topic describe o"), ["orders"]);
        assert_eq!(texts("topics create orders --part"), ["--partitions"]);
        assert_eq!(texts("wait isr orders-0 "), ["=", "!="]);
        assert_eq!(texts("wait isr orders-0 = n"), ["none"]);
        assert_eq!(texts("wait alive "), ["=", "!=", "<", "<=", ">", ">="]);
        assert_eq!(texts("drop next response of prod"), ["Produce"]);
        assert_eq!(texts("produce orders --acks "), ["all", "1", "0"]);
        assert_eq!(texts("link cut 1 c"), ["clients"]);
        assert_eq!(texts("group reset o"), ["orders-app"]);
        assert_eq!(texts("group reset orders-app o"), ["orders"]);
        assert_eq!(texts("consume orders --group o"), ["orders-app"]);
        assert_eq!(texts("consume orders --reset l"), ["latest"]);
        assert_eq!(texts("transaction abort t"), ["transfers"]);
        assert_eq!(texts("mouse o"), ["on", "off"]);
        assert_eq!(texts("theme hi"), ["high-contrast"]);
    }

    #[test]
    fn nonsense_is_completed_with_nothing() {
        assert_eq!(texts("bogus 1 2 "), Vec::<String>::new());
        assert_eq!(texts("heal "), Vec::<String>::new());
        assert_eq!(texts("kill é"), Vec::<String>::new());
        assert_eq!(texts("kill\u{3000}"), ["1", "2", "3", "leader", "controller", "coordinator", "killed"]);
    }
}

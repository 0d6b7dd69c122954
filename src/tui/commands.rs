//! The console's own verbs: what changes the picture and not the cluster.
//!
//! They stand in the palette beside the cluster's commands and are written the same way. Deliberately not here:
//! anything that touches the cluster; that is the command language's.

use super::saving;
use super::theme::ThemeName;
use crate::cluster::view::{ArgumentDoc, CommandDoc, Completion, CompletionValue, PartitionName, RowSort};
use std::path::PathBuf;

/// One of the console's own commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// `theme dark`.
    Theme(ThemeName),
    /// `theme 16`: the terminal's own 16 colours.
    Sixteen,
    /// `mouse off`.
    Mouse(bool),
    /// `screenshot FILE.svg`.
    Screenshot(PathBuf),
    /// `record FILE`; `None`: `record off`.
    Record(Option<PathBuf>),
    /// `save NAME --force`; without a name a form asks.
    Save {
        /// The demo's name.
        name: Option<String>,
        /// A file of this name is written over.
        overwrite: bool,
    },
    /// `filter orders`.
    Filter(String),
    /// `sort rate`.
    Sort(RowSort),
    /// `legend off`.
    Legend(bool),
    /// `motion off`.
    Motion(bool),
    /// `copy`.
    Copy,
    /// `xray orders-0 --offset 12840`.
    Xray {
        /// Which partition; `None`: the selected one.
        partition: Option<PartitionName>,
        /// From which offset on; `None`: the end.
        offset: Option<i64>,
    },
    /// `help`.
    Help,
    /// `quit`.
    Quit,
}

/// The orders with their names.
pub const SORTS: [(&str, RowSort); 4] = [
    ("worst", RowSort::WorstFirst),
    ("name", RowSort::Name),
    ("behind", RowSort::RecordsBehind),
    ("rate", RowSort::Rate),
];

/// What a line means, if its verb is ours: the command, or why it is none.
pub fn parse(line: &str) -> Option<Result<Own, String>> {
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    let rest = line.trim_start()[verb.len()..].trim();
    let on_off = || match rest {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{verb} takes on or off")),
    };
    Some(match verb {
        "theme" if rest == "16" => Ok(Own::Sixteen),
        "theme" => ThemeName::parse(rest).map(Own::Theme).ok_or_else(|| {
            let names: Vec<_> = ThemeName::ALL.iter().map(|theme| theme.name()).collect();
            format!("There is no theme “{rest}”. There are {} and 16.", names.join(", "))
        }),
        "mouse" => on_off().map(Own::Mouse),
        "legend" => on_off().map(Own::Legend),
        "motion" => on_off().map(Own::Motion),
        "screenshot" if rest.is_empty() => Err("screenshot needs a file: screenshot cluster.svg".into()),
        "screenshot" => Ok(Own::Screenshot(PathBuf::from(rest))),
        "record" if rest.is_empty() => Err("record needs a file, or off: record session.cast".into()),
        "record" => Ok(Own::Record((rest != "off").then(|| PathBuf::from(rest)))),
        "save" => save(rest),
        "filter" => Ok(Own::Filter(rest.to_string())),
        "sort" => SORTS
            .iter()
            .find(|(name, _)| *name == rest)
            .map(|(_, sort)| Own::Sort(*sort))
            .ok_or_else(|| "sort takes worst, name, behind or rate".to_string()),
        "xray" => xray(rest),
        "copy" => Ok(Own::Copy),
        "help" => Ok(Own::Help),
        "quit" | "q" | "exit" => Ok(Own::Quit),
        _ => return None,
    })
}

/// What `save` is about.
fn save(rest: &str) -> Result<Own, String> {
    let (flags, names): (Vec<&str>, Vec<&str>) = rest.split_whitespace().partition(|word| word.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| **flag != "--force") {
        return Err(format!("save knows no {flag}: save NAME --force writes over a file"));
    }
    let name = match names[..] {
        [] => None,
        [name] => Some(name.strip_suffix(".md").unwrap_or(name).to_owned()),
        _ => return Err("a demo's name is one word: save lost-leader".into()),
    };
    if let Some(name) = name.as_ref().filter(|name| !saving::is_name(name)) {
        return Err(format!("“{name}” is no name of a demo: letters, digits, dot, dash and underscore"));
    }
    Ok(Own::Save { name, overwrite: !flags.is_empty() })
}

/// What `xray` is about.
fn xray(rest: &str) -> Result<Own, String> {
    let (mut partition, mut offset) = (None, None);
    let mut words = rest.split_whitespace();
    while let Some(word) = words.next() {
        if word == "--offset" {
            let typed = words.next().unwrap_or_default().replace(',', "");
            offset = Some(typed.parse().map_err(|_| "--offset takes a number: --offset 12840".to_string())?);
            continue;
        }
        let parsed = word.rsplit_once('-').and_then(|(topic, number)| Some((topic, number.parse::<i32>().ok()?)));
        let (topic, number) = parsed.ok_or_else(|| format!("“{word}” is no partition: xray orders-0"))?;
        partition = Some(PartitionName::new(topic, number));
    }
    Ok(Own::Xray { partition, offset })
}

/// The values of our own verbs' arguments.
pub fn complete(line: &str) -> Option<Completion> {
    let (verb, _) = line.split_once(' ')?;
    let values: Vec<&str> = match verb {
        "theme" => ThemeName::ALL.iter().map(|theme| theme.name()).chain(["16"]).collect(),
        "mouse" | "legend" | "motion" => vec!["on", "off"],
        "sort" => SORTS.iter().map(|(name, _)| *name).collect(),
        _ => return None,
    };
    let from = verb.len() + 1;
    let typed = &line[from..];
    let values = values
        .into_iter()
        .filter(|value| value.starts_with(typed.trim()))
        .map(|value| CompletionValue { text: value.to_string(), ..CompletionValue::default() })
        .collect();
    Some(Completion { from, argument: "VALUE".into(), values })
}

/// The document of a line's command: the one with the longest name that the line begins with.
pub fn doc_of<'a>(commands: &'a [CommandDoc], line: &str) -> Option<&'a CommandDoc> {
    let begins_with = |name: &str| line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    commands.iter().filter(|doc| begins_with(&doc.name)).max_by_key(|doc| doc.name.len())
}

/// The cluster's commands and our own behind them. A verb both know is told by the cluster's grammar.
pub fn palette(cluster: &[CommandDoc]) -> Vec<CommandDoc> {
    let mut all = cluster.to_vec();
    all.extend(docs().into_iter().filter(|own| cluster.iter().all(|doc| doc.name != own.name)));
    all
}

/// A verb of ours: name, usage, summary, text, example, argument and what it takes.
type Text = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const TEXTS: [Text; 13] = [
    (
        "theme",
        "theme NAME",
        "change the colours",
        "Changes the colours of the console. mono uses no colour at all, only bold, underline and reverse.",
        "theme high-contrast",
        "NAME",
        "dark, light, high-contrast, mono, 16",
    ),
    (
        "mouse",
        "mouse on|off",
        "catch the mouse, or leave it",
        "While the mouse is off, the terminal selects and copies text as it does elsewhere.",
        "mouse off",
        "STATE",
        "on, off",
    ),
    (
        "screenshot",
        "screenshot FILE",
        "write the screen to a file",
        "Writes the screen as it is under this dialog. A name that ends in .svg gives a picture, in .ans text with \
         colours, any other plain text.",
        "screenshot cluster.svg",
        "FILE",
        "cluster.svg, cluster.txt",
    ),
    (
        "record",
        "record FILE|off",
        "record what is shown",
        "Records every frame from here on as an asciicast (version 3), with a marker at each command and each scene of \
         a lesson. record off ends it, as leaving does.",
        "record session.cast",
        "FILE",
        "session.cast, off",
    ),
    (
        "save",
        "save [NAME] [--force]",
        "save what was done as a demo",
        "Writes what was done since the beginning, or since everything was healed last, to NAME.md as a demo: the set-up, \
         then each fault in its time. In a simulated world it has the cluster's answers and passes play --check.",
        "save lost-leader",
        "NAME",
        "a form asks for it if left out",
    ),
    (
        "filter",
        "filter TEXT",
        "show only matches",
        "Shows only partitions whose name contains the text, whatever the case. A leading ! shows all others.",
        "filter orders",
        "TEXT",
        "orders, !__",
    ),
    (
        "sort",
        "sort ORDER",
        "change the order of rows",
        "Rows that need attention stay on top, whatever the order.",
        "sort behind",
        "ORDER",
        "worst, name, behind, rate",
    ),
    (
        "legend",
        "legend on|off",
        "show or hide the legend",
        "The legend explains the glyphs and the bars.",
        "legend on",
        "STATE",
        "on, off",
    ),
    (
        "motion",
        "motion on|off",
        "flash what has moved, or not",
        "Without motion only end states are drawn.",
        "motion off",
        "STATE",
        "on, off",
    ),
    (
        "xray",
        "xray PARTITION [--offset N]",
        "look inside a partition",
        "Shows the copies of a partition beside each other: batches by leader epoch, the high watermark, what will be cut.",
        "xray orders-0 --offset 12840",
        "PARTITION",
        "orders-0; the selected one if left out",
    ),
    ("copy", "copy", "copy the bootstrap servers", "Puts the bootstrap servers on the clipboard.", "copy", "", ""),
    ("help", "help", "keys and how to read the screen", "Lists the keys and explains the screen.", "help", "", ""),
    ("quit", "quit", "leave", "Stops what the console started, cleanly, and leaves.", "quit", "", ""),
];

/// The documents of our own verbs.
pub fn docs() -> Vec<CommandDoc> {
    let doc = |&(name, usage, summary, long, example, argument, takes): &Text| CommandDoc {
        name: name.into(),
        usage: usage.into(),
        summary: summary.into(),
        long: long.into(),
        example: example.into(),
        arguments: match argument {
            "" => Vec::new(),
            name => vec![ArgumentDoc { name: name.into(), help: takes.into() }],
        },
        ..CommandDoc::default()
    };
    TEXTS.iter().map(doc).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The palette shows these examples: each must be understood.
    #[test]
    fn every_example_works() {
        for doc in docs() {
            assert!(matches!(parse(&doc.example), Some(Ok(_))), "{}", doc.example);
        }
    }

    #[test]
    fn other_verbs_belong_to_the_cluster() {
        assert_eq!(parse("kill 2"), None);
        assert_eq!(parse(""), None);
        assert!(matches!(parse("theme pink"), Some(Err(_))));
    }
}

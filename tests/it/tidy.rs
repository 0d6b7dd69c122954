//! Style as a test: who may import whom, how long files, functions and lines are, and that every file says what it is for.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// Code is kept to 120 columns by rustfmt; prose may be a little wider.
const COLUMNS_MAX: usize = 160;

/// A layer, and the layers of ours that it must not name.
const LAYERS: &[(&str, &[&str])] = &[
    ("protocol", &["engine", "client", "cluster", "tui", "cli"]),
    ("engine", &["client", "cluster", "tui", "cli"]),
    ("client", &["engine", "cluster", "tui", "cli"]),
    ("cluster", &["tui", "cli"]),
    ("tui", &["cli"]),
];

/// Crates and modules that the pure core must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "redb",
    "ratatui",
    "crossterm",
    "clap",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.expect("a folder that can be read").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file that can be read");
        (path.strip_prefix(root()).expect("below the root").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

fn all() -> Vec<(PathBuf, String)> {
    ["src", "tests", "benches", "examples"].into_iter().flat_map(rust_files).collect()
}

fn report(kind: &str, found: &[String]) {
    assert!(found.is_empty(), "{kind}:\n{}", found.join("\n"));
}

/// Generated tables of facts are exempt from the limits of length.
fn is_generated(text: &str) -> bool {
    text.lines().take(12).any(|line| line.contains("@generated"))
}

#[test]
fn arrows_of_dependency_point_down() {
    let mut found = Vec::new();
    for (layer, forbidden) in LAYERS {
        for (path, text) in rust_files(&format!("src/{layer}")) {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for upper in *forbidden {
                    if line.contains(&format!("crate::{upper}::")) || line.contains(&format!("crate::{upper}}}")) {
                        found.push(format!("{}:{}: `{layer}` names `{upper}`", path.display(), number + 1));
                    }
                }
            }
        }
    }
    report("imports against the layers", &found);
}

#[test]
fn the_core_is_pure() {
    let mut found = Vec::new();
    for (path, text) in ["src/protocol", "src/engine", "src/client"].into_iter().flat_map(rust_files) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for impure in IMPURE {
                if line.contains(&format!("{impure}::")) || line.contains(&format!("use {impure};")) {
                    found.push(format!("{}:{}: names `{impure}`", path.display(), number + 1));
                }
            }
        }
    }
    report("impurities in the core", &found);
}

#[test]
fn only_a_simulated_world_plants_bugs() {
    let may = ["src/engine", "src/cluster/sim", "src/cli/sim.rs", "src/cli/hunt.rs", "src/cli/replay.rs"];
    let found: Vec<String> = rust_files("src")
        .into_iter()
        .filter(|(path, text)| {
            let names_it = text.contains("with_mutant") || text.contains("::mutant::");
            names_it && !may.iter().any(|folder| path.starts_with(folder))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("files that name planted bugs", &found);
}

#[test]
fn files_functions_and_lines_stay_short() {
    let mut found = Vec::new();
    for (path, text) in all() {
        if is_generated(&text) {
            continue;
        }
        let count = text.lines().count();
        if count > LINES_MAX {
            found.push(format!("{}: {count} lines, {LINES_MAX} at most", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !line.contains("://") {
                found.push(format!("{}:{}: longer than {COLUMNS_MAX} columns", path.display(), number + 1));
            }
        }
        for (start, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                found.push(format!("{}:{start}: a function of {length} lines", path.display()));
            }
        }
    }
    report("too long", &found);
}

/// Each function's first line and its length in lines, by the indentation that rustfmt keeps.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let is_function = code.starts_with("fn ")
            || (code.starts_with("pub") || code.starts_with("async ") || code.starts_with("const fn"))
                && code.contains("fn ")
                && code.contains('(');
        if !is_function {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[index..].iter().position(|later| *later == closing || later.trim_end().ends_with("{}"));
        if let Some(length) = end {
            found.push((index + 1, length + 1));
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let missing: Vec<String> = all()
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("files that do not begin with `//!`", &missing);
}

#[test]
fn nothing_is_left_over() {
    // Written in two parts, so that this file does not find itself.
    let marks = [["FIX", "ME"], ["XX", "X:"], ["dbg", "!("], ["todo", "!("], ["unimplemented", "!("], ["#[ign", "ore"]];
    let mut found = Vec::new();
    for (path, text) in all() {
        for (number, line) in text.lines().enumerate() {
            for [a, b] in marks {
                if line.contains(&format!("{a}{b}")) {
                    found.push(format!("{}:{}: {a}{b}", path.display(), number + 1));
                }
            }
        }
    }
    report("left-overs", &found);
}

#[test]
fn no_test_file_is_forgotten() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).expect("the test binary's root");
    let forgotten: Vec<String> = fs::read_dir(root().join("tests/it"))
        .expect("the folder of tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "main" && !main.contains(&format!("mod {name};")))
        .collect();
    report("test files that no binary holds", &forgotten);
}

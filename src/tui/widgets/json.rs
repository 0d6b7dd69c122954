//! A value as JSON on several lines, in the order in which it was written.
//!
//! Invariants: nothing is added to the text but line ends and blanks, nothing taken away but blanks between its parts; text that is no
//! JSON is told as such (`None`). Short objects and lists within others stay on one line.
//!
//! Deliberately not here: scrolling.

use crate::tui::theme::Role;

/// A line: pieces of text with what they are.
pub type Line = Vec<(Role, String)>;

/// What fits in so many cells stays on one line.
const ONE_LINE: usize = 40;

/// The lines of a text that is JSON; `None` if it is none.
pub fn lines(text: &str) -> Option<Vec<Line>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let parts = parts(text);
    let mut lines = vec![Line::new()];
    let mut depth = 0;
    let mut at = 0;
    while at < parts.len() {
        let part = &parts[at].1;
        let end = if depth > 0 { short_end(&parts, at) } else { None };
        if let Some(end) = end {
            push(&mut lines, &parts[at..=end]);
            at = end + 1;
            continue;
        }
        match part.as_str() {
            "{" | "[" => {
                push(&mut lines, &parts[at..=at]);
                depth += 1;
                // An empty one is closed where it stands.
                if !matches!(parts.get(at + 1), Some((_, next)) if next == "}" || next == "]") {
                    new_line(&mut lines, depth);
                }
            }
            "}" | "]" => {
                depth -= 1;
                if !matches!(parts.get(at.wrapping_sub(1)), Some((_, before)) if before == "{" || before == "[") {
                    new_line(&mut lines, depth);
                }
                push(&mut lines, &parts[at..=at]);
            }
            "," => {
                push(&mut lines, &parts[at..=at]);
                new_line(&mut lines, depth);
            }
            _ => push(&mut lines, &parts[at..=at]),
        }
        at += 1;
    }
    Some(lines)
}

fn new_line(lines: &mut Vec<Line>, depth: usize) {
    lines.push(vec![(Role::Text, "  ".repeat(depth))]);
}

/// Writes parts on the last line, with a blank after each colon and comma between them.
fn push(lines: &mut [Line], parts: &[(Role, String)]) {
    let Some(line) = lines.last_mut() else { return };
    for (place, (role, part)) in parts.iter().enumerate() {
        let is_last = place + 1 == parts.len();
        let is_apart = part == ":" || (part == "," && !is_last);
        line.push((*role, if is_apart { format!("{part} ") } else { part.clone() }));
    }
}

/// Where the object or list that begins at `at` ends, if it is short enough for one line and holds something.
fn short_end(parts: &[(Role, String)], at: usize) -> Option<usize> {
    let (mut depth, mut cells) = (0_usize, 0);
    for (place, (_, part)) in parts.iter().enumerate().skip(at) {
        cells += part.chars().count() + 1;
        match part.as_str() {
            "{" | "[" => depth += 1,
            "}" | "]" => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
        if cells > ONE_LINE {
            return None;
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// The parts of a text that is JSON: punctuation, names, strings, and all else, each with its role.
fn parts(text: &str) -> Vec<(Role, String)> {
    let mut parts: Vec<(Role, String)> = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' | '[' | ']' | ',' => parts.push((Role::Dim, character.to_string())),
            ':' => {
                // The string before it was a name.
                if let Some((role, _)) = parts.last_mut() {
                    *role = Role::Focus;
                }
                parts.push((Role::Dim, ":".to_owned()));
            }
            '"' => {
                let mut string = String::from('"');
                let mut is_escaped = false;
                for character in characters.by_ref() {
                    string.push(character);
                    match character {
                        '"' if !is_escaped => break,
                        '\\' => is_escaped = !is_escaped,
                        _ => is_escaped = false,
                    }
                }
                parts.push((Role::Sync, string));
            }
            character if character.is_whitespace() => {}
            character => {
                let mut word = String::from(character);
                while let Some(next) = characters.next_if(|next| !next.is_whitespace() && !",:{}[]\"".contains(*next)) {
                    word.push(next);
                }
                parts.push((Role::Client, word));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let line = |line: &Line| line.iter().map(|(_, part)| part.as_str()).collect::<String>();
        lines(text).map(|lines| lines.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn objects_are_unfolded_in_their_order_and_short_ones_stay() {
        let text = r#"{"z":1,"a":[{"sku":"KB-104","qty":1},{"sku":"a \"b\", {c}","qty":2}],"e":{},"t":true}"#;
        let wanted = "{\n  \"z\": 1,\n  \"a\": [\n    {\"sku\": \"KB-104\", \"qty\": 1},\n    \
                      {\"sku\": \"a \\\"b\\\", {c}\", \"qty\": 2}\n  ],\n  \"e\": {},\n  \"t\": true\n}";
        assert_eq!(told(text).as_deref(), Some(wanted));
        assert_eq!(told("[]").as_deref(), Some("[]"));
        assert_eq!(told("17").as_deref(), Some("17"));
        assert_eq!(told("order 17"), None);
        assert_eq!(told(r#"{"a":"#), None);
    }

    /// Whatever is shown is the same JSON.
    #[test]
    fn it_is_the_same_json_still() {
        for text in [
            r#"{"a":{"b":{"c":[1,2,[3,[4]]]},"long":"0123456789012345678901234567890123456789"},"d":null}"#,
            r#"["\\",{"":-1.5e3}]"#,
        ] {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(value(&told(text).expect("JSON")), value(text));
        }
    }
}

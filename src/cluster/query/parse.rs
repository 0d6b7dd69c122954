//! Reads a condition on records. Errors are a few words that name what could not be read.
//!
//! Invariant: whatever is typed is answered, never a panic.
//!
//! Deliberately not here: what a test means (`query`).

use super::{Operand, Operator, Place, Query, Step, Test};
use crate::cluster::command::values::duration;

const OPERATORS: [(&str, Operator); 8] = [
    ("!=", Operator::NotEqual),
    ("!~", Operator::ContainsNot),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Operator(&'static str, Operator),
}

impl Token {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word))
    }

    fn text(&self) -> &str {
        match self {
            Token::Word(text) | Token::Quoted(text) => text,
            Token::Operator(text, _) => text,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if let Some((word, operator)) = OPERATORS.iter().find(|(word, _)| rest.starts_with(word))
        {
            (Token::Operator(word, *operator), word.len())
        } else if first == '"' {
            let Some(end) = rest[1..].find('"') else { return Err("a quote is not closed".to_owned()) };
            (Token::Quoted(rest[1..=end].to_owned()), end + 2)
        } else {
            let ends = |(at, character): (usize, char)| {
                let is_operator = OPERATORS.iter().any(|(word, _)| rest[at..].starts_with(word));
                (character.is_whitespace() || is_operator).then_some(at)
            };
            let end = rest.char_indices().find_map(ends).unwrap_or(rest.len());
            (Token::Word(rest[..end].to_owned()), end)
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

/// Reads a condition. Times that are told as so long ago are counted back from `now_ms`, times of day are those of the user's clock,
/// `utc_offset_s` ahead of UTC. Empty text is true of every record.
///
/// # Errors
/// A few words that say what could not be read.
pub fn parse(text: &str, now_ms: i64, utc_offset_s: i32) -> Result<Query, String> {
    let tokens = tokens(text)?;
    let mut any = Vec::new();
    let mut all = Vec::new();
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        let (test, after) = one(rest, now_ms, utc_offset_s)?;
        all.push(test);
        rest = after;
        let Some(word) = rest.first() else { break };
        if word.is_word("or") {
            any.push(std::mem::take(&mut all));
        } else if !word.is_word("and") {
            return Err(format!("`{}`: write and, or", word.text()));
        }
        rest = &rest[1..];
        if rest.is_empty() {
            return Err(format!("nothing stands after `{}`", word.text()));
        }
    }
    if !all.is_empty() {
        any.push(all);
    }
    Ok(Query { any })
}

fn one(tokens: &[Token], now_ms: i64, utc_offset_s: i32) -> Result<(Test, &[Token]), String> {
    let (is_negated, tokens) = match tokens {
        [first, rest @ ..] if first.is_word("not") && !rest.is_empty() => (true, rest),
        _ => (false, tokens),
    };
    match tokens {
        [Token::Word(name), Token::Operator(word, operator), rest @ ..] => {
            let place = place(name)?;
            let [operand, rest @ ..] = rest else { return Err(format!("nothing stands after `{word}`")) };
            if let Token::Operator(operand, _) = operand {
                return Err(format!("`{operand}` after `{word}`"));
            }
            let operand = operand_of(&place, operand, now_ms, utc_offset_s)?;
            Ok((Test { is_negated, place, operator: *operator, operand }, rest))
        }
        [Token::Word(text) | Token::Quoted(text), rest @ ..] => {
            let operand = Operand::Text(text.clone());
            Ok((Test { is_negated, place: Place::Anywhere, operator: Operator::Contains, operand }, rest))
        }
        [other, ..] => Err(format!("nothing stands before `{}`", other.text())),
        [] => Err("nothing to test".to_owned()),
    }
}

fn place(name: &str) -> Result<Place, String> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (root, path) = name.split_at(end);
    match (root, path) {
        ("key", path) => Ok(Place::Key(steps(path)?)),
        ("value", path) => Ok(Place::Value(steps(path)?)),
        ("header" | "headers", path) => match path.strip_prefix('.').filter(|name| !name.is_empty()) {
            Some(name) => Ok(Place::Header(name.to_owned())),
            None => Err("which header? header.NAME".to_owned()),
        },
        ("partition", "") => Ok(Place::Partition),
        ("offset", "") => Ok(Place::Offset),
        ("time", "") => Ok(Place::Time),
        _ => Err(format!("{name}: write key, value.PATH, header.NAME, partition, offset or time")),
    }
}

/// `.items[0].sku`
fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return Err(format!("a name is missing after `{}`", &path[..path.len() - after.len()]));
            }
            steps.push(Step::Field(after[..end].to_owned()));
            rest = &after[end..];
        } else {
            let end = rest.find(']').ok_or_else(|| format!("`{rest}` is not closed"))?;
            let index = rest[1..end].parse().map_err(|_| format!("{} is no index", &rest[..=end]))?;
            steps.push(Step::Index(index));
            rest = &rest[end + 1..];
            if !rest.is_empty() && !rest.starts_with(['.', '[']) {
                return Err(format!("`{rest}` after an index"));
            }
        }
    }
    Ok(steps)
}

fn operand_of(place: &Place, token: &Token, now_ms: i64, utc_offset_s: i32) -> Result<Operand, String> {
    let text = token.text();
    match (place, token) {
        (Place::Time, _) => moment(text, now_ms, utc_offset_s).map(|ms| Operand::Number(ms as f64)),
        (Place::Partition | Place::Offset, _) => {
            let number = text.replace(',', "").parse::<i64>().map_err(|_| format!("`{text}` is no number"))?;
            Ok(Operand::Number(number as f64))
        }
        (_, Token::Quoted(text)) => Ok(Operand::Text(text.clone())),
        (_, _) if text == "null" => Ok(Operand::Null),
        _ => {
            // `nan` and `inf` are words.
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            Ok(number.map_or_else(|| Operand::Text(text.to_owned()), Operand::Number))
        }
    }
}

/// A moment, in milliseconds since 1970: so long ago (`-10m`), a time of the day that was last (`12:04:31.5`), or the milliseconds.
///
/// # Errors
/// Text that is none.
pub fn moment(text: &str, now_ms: i64, utc_offset_s: i32) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no time: write -10m, 12:04:31");
    let ago = text.strip_prefix('-').or_else(|| text.strip_prefix('−'));
    if let Some(ago) = ago {
        let ago = duration(ago).map_err(|_| wrong())?;
        return Ok(now_ms.saturating_sub(i64::try_from(ago.as_millis()).map_err(|_| wrong())?));
    }
    if !text.contains(':') {
        return text.parse().map_err(|_| wrong());
    }
    let mut parts = text.split(':');
    let mut whole = |below: i64| {
        let part = parts.next().unwrap_or("0");
        part.parse::<i64>().ok().filter(|number| (0..below).contains(number)).ok_or_else(wrong)
    };
    let (hours, minutes) = (whole(24)?, whole(60)?);
    let seconds: f64 = parts.next().unwrap_or("0").parse().map_err(|_| wrong())?;
    if !(0.0..60.0).contains(&seconds) || parts.next().is_some() {
        return Err(wrong());
    }
    const DAY_MS: i64 = 86_400_000;
    let of_day = hours * 3_600_000 + minutes * 60_000 + (seconds * 1_000.0).round() as i64;
    let shift_ms = i64::from(utc_offset_s) * 1_000;
    let local_now = now_ms.saturating_add(shift_ms);
    let today = local_now - local_now.rem_euclid(DAY_MS) + of_day - shift_ms;
    Ok(if today > now_ms { today - DAY_MS } else { today })
}

//! From a Markdown file to a [`Demo`].
//!
//! A demo begins with its facts between `---` (title, teaches, needs, seed, live). Headings begin scenes. A code block tagged `kafkarium`
//! holds one command a line, with `! ` before one that has to be refused; after `----` stands what the last one has to answer. A quote
//! that begins with `[!PREDICT]` is a question; its list has the choices, `[x]` before what is right, and after a choice's first line what
//! is said about it. A code span of the text
//! that is a predicate is a claim.
//!
//! Invariants: whatever is wrong is found here, before anything starts, and told with the line.
//!
//! Deliberately not here: Markdown's own grammar (`pulldown-cmark`) and the command language's.

use super::story::{Action, Block, Choice, Demo, Expected, Line, Paragraph, Part, Question, Scene, Span};
use crate::cluster::command::values::{Speed, duration};
use crate::cluster::command::{Command, ParseError, Predicate, parse_line};
use pulldown_cmark::{CodeBlockKind, Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use std::ops::Range;
use std::str::FromStr;

/// The tag of a block of commands.
const TAG: &str = "kafkarium";
/// What stands between commands and their answer.
const RULE: &str = "----";
/// What stands before a command that has to be refused.
const REFUSED: &str = "! ";
/// How a question begins.
const PREDICT: &str = "[!PREDICT]";

/// What is wrong with a demo, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Demo {
    /// Reads a demo. `file` is how it is named in mistakes; its last part without `.md` is the demo's name.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(file: &str, source: &str) -> Result<Demo, Mistake> {
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let demo = Demo {
            name: name.strip_suffix(".md").unwrap_or(name).to_owned(),
            file: file.to_owned(),
            title: String::new(),
            teaches: String::new(),
            brokers: 3,
            seed: 1,
            is_live: false,
            scenes: Vec::new(),
            source: source.to_owned(),
        };
        let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_TASKLISTS;
        let events = Parser::new_ext(source, options).into_offset_iter().peekable();
        let mut reader = Reader { source, events, demo };
        reader.read().map_err(|(at, reason)| Mistake { file: file.to_owned(), line: line_of(source, at), reason })?;
        Ok(reader.demo)
    }
}

/// A mistake at a byte of the source.
type Wrong = (usize, String);

struct Reader<'a, I: Iterator<Item = (Event<'a>, Range<usize>)>> {
    source: &'a str,
    events: std::iter::Peekable<I>,
    demo: Demo,
}

/// The line of a byte, from 1.
fn line_of(source: &str, at: usize) -> usize {
    source[..at.min(source.len())].matches('\n').count() + 1
}

impl<'a, I: Iterator<Item = (Event<'a>, Range<usize>)>> Reader<'a, I> {
    fn read(&mut self) -> Result<(), Wrong> {
        match self.events.peek() {
            Some((Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)), _)) => self.facts()?,
            _ => return Err((0, "a demo begins with its facts: title, teaches, needs and seed between `---`".into())),
        }
        self.demo.scenes.push(Scene { title: self.demo.title.clone(), parts: Vec::new() });
        let mut item_depth = 0_u32;
        while let Some((event, range)) = self.events.next() {
            match event {
                Event::Start(Tag::Heading { .. }) => {
                    let title = self.spans(TagEndKind::Heading)?;
                    let title = title.iter().map(Span::text).collect();
                    self.demo.scenes.push(Scene { title, parts: Vec::new() });
                }
                Event::Start(Tag::Paragraph) => self.told(&range, item_depth > 0)?,
                Event::Start(Tag::List(_)) => {}
                Event::Start(Tag::Item) => {
                    item_depth += 1;
                    // A tight list has its text without paragraphs.
                    let is_tight = !matches!(self.events.peek(), Some((Event::Start(_), _)));
                    if is_tight {
                        let line = line_of(self.source, range.start);
                        let spans = self.spans(TagEndKind::Item)?;
                        self.push(Part::Told(Paragraph { line, is_item: true, spans }));
                        item_depth -= 1;
                    }
                }
                Event::End(TagEnd::Item) => item_depth -= 1,
                Event::End(_) => {}
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(tag))) if tag.as_ref() == TAG => {
                    let block = self.block(&range)?;
                    self.push(Part::Done(block));
                }
                Event::Start(Tag::BlockQuote(_)) => {
                    let question = self.question(&range)?;
                    self.push(Part::Asked(question));
                }
                _ => return Err((range.start, "only text, lists, questions and blocks of commands are told".into())),
            }
        }
        self.demo.scenes.retain(|scene| !scene.parts.is_empty());
        if self.demo.lines().next().is_none() {
            return Err((self.source.len(), format!("nothing happens: no block is tagged `{TAG}`")));
        }
        Ok(())
    }

    fn push(&mut self, part: Part) {
        self.demo.scenes.last_mut().expect("the first scene was opened").parts.push(part);
    }

    /// What stands between the `---` at the beginning.
    fn facts(&mut self) -> Result<(), Wrong> {
        self.events.next();
        let mut at = 0;
        for (event, range) in self.events.by_ref() {
            match event {
                Event::Text(text) => {
                    at = range.start;
                    for line in text.split_inclusive('\n') {
                        fact(&mut self.demo, line.trim()).map_err(|reason| (at, reason))?;
                        at += line.len();
                    }
                }
                Event::End(TagEnd::MetadataBlock(_)) => break,
                _ => {}
            }
        }
        let missing = [("title", self.demo.title.is_empty()), ("teaches", self.demo.teaches.is_empty())];
        match missing.iter().find(|(_, is_missing)| *is_missing) {
            Some((key, _)) => Err((at, format!("`{key}:` is missing"))),
            None => Ok(()),
        }
    }

    fn told(&mut self, range: &Range<usize>, is_item: bool) -> Result<(), Wrong> {
        let spans = self.spans(TagEndKind::Paragraph)?;
        self.push(Part::Told(Paragraph { line: line_of(self.source, range.start), is_item, spans }));
        Ok(())
    }

    /// The text up to the end of a tag.
    fn spans(&mut self, end: TagEndKind) -> Result<Vec<Span>, Wrong> {
        let mut spans: Vec<Span> = Vec::new();
        let mut is_strong = false;
        for (event, range) in self.events.by_ref() {
            let plain = match event {
                Event::End(tag) if end.is(tag) => break,
                Event::Start(Tag::Strong | Tag::Emphasis) => {
                    is_strong = true;
                    continue;
                }
                Event::End(TagEnd::Strong | TagEnd::Emphasis) => {
                    is_strong = false;
                    continue;
                }
                Event::Code(text) => {
                    let claim = Predicate::from_str(&text).ok().map(|claim| Span::Claim(claim, text.to_string()));
                    spans.push(claim.unwrap_or_else(|| Span::Code(text.to_string())));
                    continue;
                }
                Event::Text(text) => text.to_string(),
                Event::SoftBreak => " ".to_owned(),
                // Links are their text.
                Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link) => continue,
                _ => return Err((range.start, "only plain, `code` and **strong** text is told".to_owned())),
            };
            match (spans.last_mut(), is_strong) {
                (Some(Span::Plain(before)), false) | (Some(Span::Strong(before)), true) => before.push_str(&plain),
                (_, true) => spans.push(Span::Strong(plain)),
                (_, false) => spans.push(Span::Plain(plain)),
            }
        }
        Ok(spans)
    }

    /// A block of commands and what they answer.
    fn block(&mut self, whole: &Range<usize>) -> Result<Block, Wrong> {
        let mut block = Block::default();
        let mut end = whole.start;
        for (event, range) in self.events.by_ref() {
            match event {
                Event::End(TagEnd::CodeBlock) => break,
                _ => end = range.end,
            }
        }
        let fence = &self.source[whole.start..end];
        let mut at = whole.start + fence.find('\n').map_or(fence.len(), |newline| newline + 1);
        while at < end {
            let rest = &self.source[at..end];
            let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
            let text = rest[..length].trim();
            if text == RULE {
                let range = at + length..end;
                let answer = self.source[range.clone()].trim_end().to_owned();
                block.expected = Some(Expected { line: line_of(self.source, range.start), range, text: answer });
                break;
            }
            if !text.is_empty() && !text.starts_with('#') {
                let refused = text.strip_prefix(REFUSED);
                let action = action(refused.unwrap_or(text)).map_err(|reason| (at, reason))?;
                let is_refused = refused.is_some();
                if is_refused && !matches!(action, Action::Command(_)) {
                    return Err((at, format!("`{text}`: only a command can be refused")));
                }
                block.lines.push(Line { number: line_of(self.source, at), text: text.to_owned(), is_refused, action });
            }
            at += length;
        }
        if block.lines.is_empty() {
            return Err((whole.start, "a block without commands".to_owned()));
        }
        Ok(block)
    }

    /// A question and its choices.
    fn question(&mut self, whole: &Range<usize>) -> Result<Question, Wrong> {
        let line = line_of(self.source, whole.start);
        let mut question = Question { line, text: String::new(), choices: Vec::new() };
        let mut is_right = None;
        let mut lines: Vec<String> = vec![String::new()];
        for (event, range) in self.events.by_ref() {
            match event {
                Event::End(TagEnd::BlockQuote(_)) => break,
                Event::Start(Tag::Item) => {
                    lines = vec![String::new()];
                    is_right = None;
                }
                Event::TaskListMarker(is_checked) => is_right = Some(is_checked),
                Event::Text(text) | Event::Code(text) => lines.last_mut().expect("a line").push_str(&text),
                Event::SoftBreak | Event::HardBreak => lines.push(String::new()),
                Event::End(TagEnd::Paragraph) if question.text.is_empty() => question.text = lines.join(" "),
                Event::End(TagEnd::Item) => {
                    let Some(is_right) = is_right else {
                        return Err((range.start, "a choice begins with `[ ]` or `[x]`".to_owned()));
                    };
                    let text = lines[0].trim().to_owned();
                    let sentence = lines[1..].iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
                    if !is_right && sentence.is_empty() {
                        return Err((range.start, format!("`{text}` is wrong: say why on the next line")));
                    }
                    question.choices.push(Choice { text, is_right, sentence });
                }
                _ => {}
            }
        }
        let Some(text) = question.text.strip_prefix(PREDICT) else {
            return Err((whole.start, format!("a quote is a question: it begins with `{PREDICT}`")));
        };
        question.text = text.trim().to_owned();
        let right = question.choices.iter().filter(|choice| choice.is_right).count();
        if question.text.is_empty() || right != 1 || question.choices.len() < 2 {
            return Err((whole.start, "a question needs its text, two choices at least, and one that is right".into()));
        }
        Ok(question)
    }
}

/// Where text ends.
#[derive(Clone, Copy)]
enum TagEndKind {
    Heading,
    Paragraph,
    Item,
}

impl TagEndKind {
    fn is(self, end: TagEnd) -> bool {
        matches!(
            (self, end),
            (TagEndKind::Heading, TagEnd::Heading(_))
                | (TagEndKind::Paragraph, TagEnd::Paragraph)
                | (TagEndKind::Item, TagEnd::Item)
        )
    }
}

/// One fact: `seed: 7`.
fn fact(demo: &mut Demo, line: &str) -> Result<(), String> {
    if line.is_empty() {
        return Ok(());
    }
    let Some((key, value)) = line.split_once(':') else { return Err(format!("`{line}` is no fact: write `seed: 7`")) };
    let value = value.trim();
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
    match key.trim() {
        "title" => demo.title = value.to_owned(),
        "teaches" => demo.teaches = value.to_owned(),
        "seed" => demo.seed = number(value)?,
        "live" => demo.is_live = value.parse().map_err(|_| format!("live is true or false, not `{value}`"))?,
        "needs" => {
            let count = value.split_whitespace().next().unwrap_or_default();
            demo.brokers = u8::try_from(number(count)?)
                .ok()
                .filter(|brokers| (1..=9).contains(brokers))
                .ok_or("a cluster has 1 to 9 brokers: needs: 3 brokers")?;
        }
        other => return Err(format!("`{other}` is no fact of a demo: title, teaches, needs, seed, live")),
    }
    Ok(())
}

/// One line of a block.
fn action(text: &str) -> Result<Action, String> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    match verb {
        // A lesson's time passes only while something is done, so running until something is waiting for it.
        "run" if !rest.is_empty() && !rest.starts_with("until") => duration(rest).map(Action::Pass),
        "run" | "pause" | "step" | "rewind" | "branch" if !rest.starts_with("until") => {
            Err(format!("`{verb}` is the reader's, not the demo's: write `run 2s`"))
        }
        "pace" => Speed::from_str(rest).map(|speed| Action::Pace(speed.permille)).map_err(|error| error.clone()),
        "focus" if !rest.is_empty() => Ok(Action::Focus(rest.to_owned())),
        "mark" if !rest.is_empty() => Ok(Action::Mark(rest.to_owned())),
        "focus" | "mark" => Err(format!("`{verb}` needs a name")),
        _ => {
            let line = rest.strip_prefix("until ").filter(|_| verb == "run").map(|what| format!("wait {what}"));
            let command = parse_line(line.as_deref().unwrap_or(text)).map_err(|error| match error {
                ParseError::Usage { reason, usage } if !usage.is_empty() => format!("{reason} ({usage})"),
                error => error.to_string(),
            })?;
            if command.is_console_local() {
                return Err(format!("`{verb}` is about a console, not about a cluster"));
            }
            Ok(Action::Command(Box::<Command>::new(command)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: &str = "---\ntitle: The leader dies\nteaches: election\nneeds: 5 brokers\nseed: 7\nlive: true\n---\n";

    fn demo(body: &str) -> Demo {
        Demo::parse("demos/leader-failover.md", &format!("{FACTS}{body}")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn mistake(source: &str) -> String {
        Demo::parse("a.md", source).expect_err("wrong").to_string()
    }

    #[test]
    fn facts_scenes_text_and_commands_are_read_with_their_lines() {
        let demo = demo(
            "Every partition has **one** leader, here `leader orders-0 = 1`.\n\n```kafkarium\n# a comment\nrun 2s\n\
             kill leader of orders-0\n```\n## Again\n- one `acks`\n- two\n\n```kafkarium\nrun until isr orders-0 = 1,2\n\
             broker list\n----\n1 up\n2 up\n```\n",
        );
        assert_eq!((demo.name.as_str(), demo.brokers, demo.seed, demo.is_live), ("leader-failover", 5, 7, true));
        let titles: Vec<&str> = demo.scenes.iter().map(|scene| scene.title.as_str()).collect();
        assert_eq!(titles, ["The leader dies", "Again"]);
        let Part::Told(told) = &demo.scenes[0].parts[0] else { panic!("text") };
        assert_eq!((told.line, told.spans.len()), (8, 5));
        assert!(matches!(&told.spans[3], Span::Claim(Predicate::Leader { .. }, text) if text == "leader orders-0 = 1"));
        let lines: Vec<(usize, &str)> = demo.lines().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(lines[..2], [(12, "run 2s"), (13, "kill leader of orders-0")]);
        let Part::Told(item) = &demo.scenes[1].parts[0] else { panic!("an item") };
        assert!(item.is_item && matches!(&item.spans[1], Span::Code(code) if code == "acks"));
        let expected = demo.blocks().last().and_then(|block| block.expected.clone()).expect("an answer");
        assert_eq!((expected.text.as_str(), expected.line), ("1 up\n2 up", 23));
        assert_eq!(&demo.source[expected.range], "1 up\n2 up\n");
        assert!(matches!(&demo.lines().nth(2).expect("a line").action, Action::Command(wait)
            if matches!(**wait, Command::Wait { .. })));
    }

    #[test]
    fn a_question_has_choices_and_a_sentence_for_each_wrong_one() {
        let demo = demo(
            "> [!PREDICT] What happens\n> to writes?\n> - [ ] They are `lost`.\n>   No: they are\n>   on both.\n\
             > - [x] They are retried.\n\n```kafkarium\nrun 1s\n```\n",
        );
        let Part::Asked(question) = &demo.scenes[0].parts[0] else { panic!("a question") };
        assert_eq!(question.text, "What happens to writes?");
        assert_eq!(question.choices[0].text, "They are lost.");
        assert_eq!(question.choices[0].sentence, "No: they are on both.");
        assert_eq!(question.choices.iter().map(|choice| choice.is_right).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_the_nearest_verb() {
        assert!(mistake("Hello.\n").starts_with("a.md:1: a demo begins with its facts"));
        assert_eq!(
            mistake("---\ntitle: a\nteaches: b\ncolour: red\n---\n"),
            "a.md:4: `colour` is no fact of a demo: title, teaches, needs, seed, live"
        );
        assert_eq!(mistake("---\ntitle: a\n---\n"), "a.md:3: `teaches:` is missing");
        let told = mistake(&format!("{FACTS}```kafkarium\nrun 1s\nkil 2\n```\n"));
        assert_eq!(told, "a.md:10: no verb `kil`: did you mean `kill`?");
        assert!(mistake(&format!("{FACTS}Text only.\n")).contains("nothing happens"));
        assert!(mistake(&format!("{FACTS}> [!PREDICT] Who?\n> - [ ] I.\n> - [x] You.\n")).contains("say why"));
        assert!(mistake(&format!("{FACTS}> Just so.\n")).contains("begins with `[!PREDICT]`"));
        assert!(mistake(&format!("{FACTS}```kafkarium\nquit\n```\n")).contains("about a console"));
        assert!(mistake(&format!("{FACTS}```kafkarium\n! run 2s\n```\n")).contains("only a command can be refused"));
    }
}

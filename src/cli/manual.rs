//! `kafkarium man` and `kafkarium completions`: made from the same grammar as `--help`.
//!
//! Invariant: nothing is written by hand that the grammar, the catalogue or the list of exit codes already says.
//!
//! Deliberately not here: installing what is written.

use super::exit::{Exit, Failure, Outcome};
use crate::cluster::command::catalogue;
use clap::Args;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Writes the script to standard output.
    pub fn run(&self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::grammar(), "kafkarium", &mut script);
        io::stdout().lock().write_all(&script).map_err(Failure::from)
    }
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Manual {
    /// Write a page for every verb into this folder, instead of the main one to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Manual {
    /// Writes the page, or all of them.
    pub fn run(&self) -> Outcome {
        match &self.dir {
            None => io::stdout().lock().write_all(&page()?).map_err(Failure::from),
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                clap_mangen::generate_to(super::grammar(), folder)?;
                std::fs::write(folder.join("kafkarium.1"), page()?).map_err(Failure::from)
            }
        }
    }
}

/// The main page.
fn page() -> Result<Vec<u8>, Failure> {
    let manual = clap_mangen::Man::new(super::grammar());
    let mut page = Vec::new();
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    manual.render_synopsis_section(&mut page)?;
    manual.render_description_section(&mut page)?;
    manual.render_options_section(&mut page)?;
    manual.render_subcommands_section(&mut page)?;
    page.extend_from_slice(language().as_bytes());
    page.extend_from_slice(exit_status().as_bytes());
    page.extend_from_slice(surroundings().as_bytes());
    manual.render_version_section(&mut page)?;
    Ok(page)
}

fn language() -> String {
    let mut text = String::from(".SH \"COMMAND LANGUAGE\"\n");
    text.push_str("The same at the console's prompt and after \\fBkafkarium ctl\\fR.\n");
    for doc in catalogue() {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}. ", roff(&doc.usage), roff(&doc.summary));
        for paragraph in doc.long.split("\n\n").take(1) {
            let _ = writeln!(text, "{}", roff(paragraph));
        }
        let _ = write!(text, ".br\nExample: \\fI{}\\fR\n", roff(&doc.example));
    }
    text
}

fn exit_status() -> String {
    let mut text = String::from(".SH \"EXIT STATUS\"\n");
    for (_, code, meaning) in Exit::ALL {
        let _ = write!(text, ".TP\n{code}\n{}\n", roff(meaning));
    }
    text
}

fn surroundings() -> String {
    let rows = [
        (
            "ENVIRONMENT",
            &[
                ("KAFKARIUM_DATA", "The data folder, as --data."),
                ("KAFKARIUM_SOCKET", "The control socket, as --socket."),
                ("NO_COLOR", "If it is not empty: no colours."),
            ][..],
        ),
        (
            "FILES",
            &[
                ("$XDG_DATA_HOME/kafkarium", "Data and control socket."),
                ("$XDG_RUNTIME_DIR/kafkarium", "The folders of --ephemeral."),
            ][..],
        ),
    ];
    let mut text = String::new();
    for (section, entries) in rows {
        let _ = writeln!(text, ".SH {section}");
        for (name, meaning) in entries {
            let _ = write!(text, ".TP\n{}\n{}\n", roff(name), roff(meaning));
        }
    }
    text
}

/// Text that roff prints as it is.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    // A dot or a quote at the start of a line would be a request.
    match escaped.chars().next() {
        Some('.' | '\'') => format!("\\&{escaped}"),
        _ => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_every_verb_and_every_exit_code() {
        let page = String::from_utf8(page().unwrap_or_else(|failure| panic!("{}", failure.reason))).expect("UTF-8");
        for doc in catalogue() {
            assert!(page.contains(&format!("\\fB{}\\fR", roff(&doc.usage))), "{}", doc.usage);
        }
        for (_, code, meaning) in Exit::ALL {
            assert!(page.contains(&format!(".TP\n{code}\n{}\n", roff(meaning))), "{code}");
        }
    }

    #[test]
    fn roff_takes_nothing_for_a_request() {
        assert_eq!((roff(".TH").as_str(), roff("a\\b --c").as_str()), ("\\&.TH", "a\\eb \\-\\-c"));
    }
}

//! Parse and run.

use std::process::ExitCode;

fn main() -> ExitCode {
    kafkarium::cli::run()
}

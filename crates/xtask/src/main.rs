//! The checks: `cargo xtask test` runs every one of them, `cargo xtask list` names them.
//!
//! A check that lacks a tool fetches it into `target/`; where it cannot, it says so and what
//! stays unproved. Nothing outside the project's folder is changed.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

mod check;
mod checks;
mod command;
mod hostile;
mod outcome;
mod run;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask test [--only NAME]...   run every check, or those named
       cargo xtask list                    name the checks
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => run::list(),
        ["test", options @ ..] => match selection(options) {
            Ok(names) => run::run(&names),
            Err(message) => misuse(&message),
        },
        _ => misuse("a subcommand is missing or unknown"),
    }
}

/// The names that `--only` gives; none means every check.
fn selection(options: &[&str]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let name = match option.split_once('=') {
            Some(("--only", name)) => name,
            None if *option == "--only" => rest.next().copied().unwrap_or_default(),
            _ => return Err(format!("{option} is not an option")),
        };
        if !checks::ALL.iter().any(|check| check.name == name) {
            return Err(format!("--only {name:?} names no check"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn misuse(message: &str) -> ExitCode {
    eprint!("{message}\n{USAGE}");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_takes_both_spellings_and_refuses_what_it_does_not_know() {
        assert_eq!(selection(&[]), Ok(vec![]));
        assert_eq!(
            selection(&["--only", "format", "--only=docs"]),
            Ok(vec!["format".to_owned(), "docs".to_owned()])
        );
        assert!(selection(&["--only"]).is_err());
        assert!(selection(&["--only", "nonsense"]).is_err());
        assert!(selection(&["--all"]).is_err());
    }
}

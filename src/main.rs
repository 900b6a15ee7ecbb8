//! The ffwarden binary: parse, set up logging, call one verb, turn its result into an exit code.

use std::io::{IsTerminal, Write};

use clap::Parser;
use clap::error::ErrorKind;
use ffwarden::batch::output::CLEAR;
use ffwarden::cli;
use ffwarden::cli::args::{Cli, Color, Options, Verb};
use ffwarden::job::verdict::{FAILED, Verdict, die};

fn main() {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let shown = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // Nothing can be done about a stdout or stderr that is gone.
            let _gone = error.print();
            std::process::exit(if shown { 0 } else { FAILED });
        }
    };
    set_up_logging(&said(&cli), matches!(cli.verb, Verb::Batch(_)));
    let verdict = cli::run(cli).unwrap_or_else(|error| {
        log::error!("{}", cli::with_cause(&error));
        Verdict::Exit(FAILED)
    });
    die(verdict)
}

/// The options as typed before or behind the verb.
fn said(cli: &Cli) -> Options {
    match &cli.verb {
        Verb::Run(verb) => cli.options.overridden_by(verb.options.clone()),
        Verb::Batch(verb) => cli.options.overridden_by(verb.options.clone()),
        Verb::Plan(verb) => cli.options.overridden_by(verb.options.clone()),
        _ => cli.options.clone(),
    }
}

/// Our own messages: on stderr, each behind `ffwarden:`; none with `-q`, details with `-v`. A batch has progress lines
/// on a terminal, which a message takes the place of, and honours `LOG_LEVEL`.
fn set_up_logging(options: &Options, batch: bool) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => log::LevelFilter::Off,
        (false, 0) if batch => cli::log_level().unwrap_or(log::LevelFilter::Info),
        (false, 0) => log::LevelFilter::Info,
        (false, 1) => log::LevelFilter::Debug,
        (false, _) => log::LevelFilter::Trace,
    };
    let replaces = batch && std::io::stderr().is_terminal();
    let paint = !replaces || cli::wants_color(options.color);
    let style = match options.color {
        _ if replaces => env_logger::WriteStyle::Always,
        Some(Color::Always) => env_logger::WriteStyle::Always,
        Some(Color::Never) => env_logger::WriteStyle::Never,
        Some(Color::Auto) | None => env_logger::WriteStyle::Auto,
    };
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Off)
        .filter_module("ffwarden", level)
        .write_style(style)
        .format(move |buffer, record| {
            if replaces {
                write!(buffer, "{CLEAR}")?;
            }
            let style = buffer.default_level_style(record.level());
            match record.level() {
                log::Level::Error | log::Level::Warn if paint => {
                    writeln!(buffer, "{style}ffwarden:{style:#} {}", record.args())
                }
                _ => writeln!(buffer, "ffwarden: {}", record.args()),
            }
        })
        .init();
}

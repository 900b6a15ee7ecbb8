//! The ffwarden binary: parse, set up logging, call one verb, turn its result into an exit code.

use std::io::Write;

use clap::Parser;
use clap::error::ErrorKind;
use ffwarden::child::{self, Verdict};
use ffwarden::cli::args::{Cli, Color, Options, Verb};
use ffwarden::cli::{self, FAILED};

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
    set_up_logging(&said(&cli));
    let verdict = cli::run(cli).unwrap_or_else(|error| {
        log::error!("{error}");
        Verdict::Exit(FAILED)
    });
    child::die(verdict)
}

/// The options as typed before or behind the verb.
fn said(cli: &Cli) -> Options {
    match &cli.verb {
        Verb::Run(verb) => cli.options.overridden_by(verb.options.clone()),
        Verb::Plan(verb) => cli.options.overridden_by(verb.options.clone()),
        _ => cli.options.clone(),
    }
}

/// Our own messages: on stderr, each behind `ffwarden:`; none with `-q`, details with `-v`.
fn set_up_logging(options: &Options) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => log::LevelFilter::Off,
        (false, 0) => log::LevelFilter::Info,
        (false, 1) => log::LevelFilter::Debug,
        (false, _) => log::LevelFilter::Trace,
    };
    let style = match options.color {
        Some(Color::Always) => env_logger::WriteStyle::Always,
        Some(Color::Never) => env_logger::WriteStyle::Never,
        Some(Color::Auto) | None => env_logger::WriteStyle::Auto,
    };
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Off)
        .filter_module("ffwarden", level)
        .write_style(style)
        .format(|buffer, record| {
            let style = buffer.default_level_style(record.level());
            match record.level() {
                log::Level::Error | log::Level::Warn => {
                    writeln!(buffer, "{style}ffwarden:{style:#} {}", record.args())
                }
                _ => writeln!(buffer, "ffwarden: {}", record.args()),
            }
        })
        .init();
}

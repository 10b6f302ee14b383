//! The command line: one file a command, the options that all of them have here.

mod demo;
mod push;
mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use jobs_driver::config::{File, GoDuration, LoadOptions};

use crate::failure::Failure;
use crate::output;

/// Exit code for a command line that cannot be understood.
const USAGE: u8 = 2;

/// Runs background jobs over AMQP 1.0: worker processes in PHP or any other language, on RabbitMQ, on any other AMQP 1.0
/// broker, or on the broker inside.
#[derive(Parser)]
#[command(
    name = "rr-jobs",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  rr-jobs demo                                   see it all, nothing to set up
  rr-jobs serve -c .rr.yaml                      run the workers of a configuration
  rr-jobs push -c .rr.yaml mail send '{\"to\":1}'  push a job to the pipeline \"mail\"

Every command has a --help of its own."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    configuration: Configuration,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Push(push::Push),
}

/// Where the configuration is. Overrides may hold a password, so this is never shown.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Configuration {
    /// The configuration file, YAML or JSON, as RoadRunner has it
    #[arg(short, long, global = true, value_name = "FILE", default_value = ".rr.yaml")]
    config: PathBuf,
    /// The working directory [default: the folder of the configuration file]
    #[arg(short, long, global = true, value_name = "DIR", alias = "WorkDir")]
    workdir: Option<PathBuf>,
    #[arg(
        short = 'o',
        long = "override",
        global = true,
        value_name = "KEY=VALUE",
        help = "Replace a value of the file, for example -o jobs.pool.num_workers=4 (repeatable)"
    )]
    overrides: Vec<String>,
    /// A file with NAME=VALUE lines that the configuration may refer to
    #[arg(long, global = true, value_name = "FILE")]
    dotenv: Option<PathBuf>,
}

impl Configuration {
    /// Loads the file, then changes to the working directory, so that relative paths in the file are found.
    fn load(&self) -> Result<File, Failure> {
        let mut options = LoadOptions { overrides: self.overrides.clone(), ..LoadOptions::default() };
        if let Some(path) = &self.dotenv {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
            options.environment.add_dotenv(&text);
        }
        let file = File::load(&self.config, &options)?;
        let directory = match &self.workdir {
            Some(directory) => directory.clone(),
            None => file.directory().to_owned(),
        };
        change_to(&directory)?;
        Ok(file)
    }
}

fn change_to(directory: &Path) -> Result<(), Failure> {
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    std::env::set_current_dir(directory).map_err(|error| {
        Failure::new(format!("cannot change to the folder {}: {error}", directory.display()))
    })
}

/// Reads the command line. The exit code is for what ends here: help, version, mistakes.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody reads any more: nothing to do about it.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // As above.
            let _ = error.print();
            ExitCode::from(USAGE)
        }
        _ => {
            output::error_line(&usage_error(&error.to_string()));
            ExitCode::from(USAGE)
        }
    })
}

/// clap explains a mistake in several paragraphs; the first says what is wrong.
fn usage_error(text: &str) -> String {
    let what = text.split("\n\n").next().unwrap_or(text);
    let what = output::one_line(what.strip_prefix("error: ").unwrap_or(what));
    let command = std::env::args().nth(1).filter(|word| ["demo", "serve", "push"].contains(&word.as_str()));
    let command = command.map_or_else(String::new, |word| format!(" {word}"));
    format!("{what}; see rr-jobs{command} --help")
}

impl Cli {
    /// Runs the command to its end.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Demo(demo) => demo.run().await,
            Command::Serve(serve) => serve.run(&self.configuration).await,
            Command::Push(push) => push.run(&self.configuration).await,
        }
    }
}

/// A duration as in the configuration (`300ms`, `1h30m`); a bare number is seconds here, since that is what people type.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => text.parse().map(|GoDuration(duration)| duration),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn configuration_options_work_on_both_sides_of_the_command() {
        for line in [["rr-jobs", "-c", "x.yaml", "serve"], ["rr-jobs", "serve", "-c", "x.yaml"]] {
            assert_eq!(Cli::parse_from(line).configuration.config, Path::new("x.yaml"));
        }
    }

    #[test]
    fn bare_numbers_are_seconds() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("soon").is_err());
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        let error = Cli::try_parse_from(["rr-jobs", "push"]).err().unwrap().to_string();
        let line = usage_error(&error);
        assert!(line.contains("<PIPELINE>") && !line.contains('\n'), "{line}");
    }
}

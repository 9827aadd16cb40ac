//! `leasehold completions SHELL`: what the shell needs to complete our command line.

use clap_complete::Shell;

use crate::{
    exit::{Exit, Failure},
    help, output,
};

/// Which shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  leasehold completions bash > /etc/bash_completion.d/leasehold
  leasehold completions zsh  > ~/.zfunc/_leasehold
  leasehold completions fish > ~/.config/fish/completions/leasehold.fish")]
pub struct Args {
    /// The shell to write them for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the script to stdout.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "leasehold", &mut script);
    output::bytes(&script).map(|()| Exit::OK)
}

//! `leasehold man`: manual pages, one for each command.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap_mangen::{Man, roff};

use crate::{
    exit::{self, Exit, Failure},
    help, output, say,
};

/// Where to.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  leasehold man | man -l -                       read it
  leasehold man --dir /usr/local/share/man/man1  install every page")]
pub struct Args {
    /// Write one page for each command into this folder, instead of the first page to stdout
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// If stdout or the folder cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut command = help::command();
    command.build();
    match &args.dir {
        None => output::bytes(&page(command)?)?,
        Some(dir) => {
            fs::create_dir_all(dir).map_err(|e| cannot_write(dir, &e))?;
            let pages = write_all(dir, &command)?;
            say!("wrote {pages} manual pages to {}", dir.display());
        }
    }
    Ok(Exit::OK)
}

fn write_all(dir: &Path, command: &clap::Command) -> Result<usize, Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let path = dir.join(format!("{name}.1"));
    fs::write(&path, page(command.clone().name(name))?).map_err(|e| cannot_write(&path, &e))?;
    let mut pages = 1;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages += write_all(dir, sub)?;
    }
    Ok(pages)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let man = Man::new(command).manual("leasehold manual");
    let mut exits = roff::Roff::new();
    exits.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in exit::TABLE {
        exits.control("TP", []).text([roff::bold(*status)]).text([roff::roman(*meaning)]);
    }
    man.render(&mut out)
        .and_then(|()| exits.to_writer(&mut out))
        .map_err(|e| Failure::new("cannot write the manual page").because_of(&e))?;
    Ok(out)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}", path.display()))
        .because_of(error)
        .remedy("name a folder you may write to: --dir DIR")
}

//! What the programs do besides running inputs that libFuzzer makes: write seeds, replay files.

use crate::{Run, Seeds};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

/// Writes seeds into the directory that `XENOCRYST_SEEDS` names, if it does.
///
/// # Panics
/// If they cannot be written.
pub fn seed(seeds: Seeds) {
    if let Some(directory) = env::var_os("XENOCRYST_SEEDS").map(PathBuf::from) {
        let written = fs::create_dir_all(&directory).and_then(|()| {
            (0..).zip(seeds()).try_for_each(|(number, seed): (u32, _)| {
                fs::write(directory.join(format!("seed-{number:03}")), seed)
            })
        });
        if let Err(error) = written {
            panic!("{}: {error}", directory.display());
        }
    }
}

/// Replays the files named on the command line through `run`.
#[must_use]
pub fn replay(run: Run) -> ExitCode {
    let files: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let result = files.iter().try_for_each(|file| {
        println!("{}", file.display());
        fs::read(file).map(|data| run(&data))
    });
    let result = match files.is_empty() {
        true => Err(io::Error::other("name the files to replay")),
        false => result,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! The program `host`; everything it does is in `campanile::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    campanile::cli::main()
}

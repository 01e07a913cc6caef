//! A program that knows nothing of Campanile: it ends in the way that its first argument says.

use std::io::Read;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let word = arguments.get(1).map_or("tell", String::as_str);
    match word {
        "return-badly" => {
            eprintln!("this did not go well");
            return ExitCode::FAILURE;
        }
        "exit-0" => std::process::exit(0),
        "exit-3" => {
            eprintln!("three");
            std::process::exit(3);
        }
        "panic" => panic!("no way out"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        _ => tell(&arguments),
    }
    ExitCode::SUCCESS
}

/// Writes what it was given to standard output, a line for each.
fn tell(arguments: &[String]) {
    for argument in arguments {
        println!("argument {argument}");
    }
    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("variable {name}={value}");
    }
    let mut input = String::new();
    match std::io::stdin().read_to_string(&mut input) {
        Ok(_) => println!("input {input}"),
        Err(error) => println!("no input: {error}"),
    }
}

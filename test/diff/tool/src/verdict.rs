// Modules, generated and mutated, with the verdict of wasm-tools' validator.
use std::{fs, io, io::Write, path::Path};

use arbitrary::Unstructured;
use wasmparser::{Validator, WasmFeatures};

use crate::{record::Out, rng::Rng};

fn features() -> WasmFeatures {
    WasmFeatures::WASM3 | WasmFeatures::LEGACY_EXCEPTIONS
}

fn collect(folder: &Path, into: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut paths: Vec<_> = fs::read_dir(folder)?.filter_map(|e| e.ok()).map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "wasm") {
            let bytes = fs::read(&path)?;
            if bytes.len() < 20_000 {
                into.push(bytes);
            }
        }
    }
    Ok(())
}

fn generate(rng: &mut Rng) -> Vec<u8> {
    let config = wasm_smith::Config {
        allow_invalid_funcs: rng.chance(6),
        compact_imports_enabled: false,
        export_everything: rng.chance(2),
        generate_custom_sections: rng.chance(2),
        max_funcs: 8,
        max_imports: 8,
        max_instructions: 60,
        max_memories: 3,
        max_tables: 3,
        max_types: 20,
        min_data_segments: rng.below(3),
        min_element_segments: rng.below(3),
        min_funcs: 1 + rng.below(6),
        min_globals: rng.below(3),
        min_types: rng.below(8),
        wide_arithmetic_enabled: false,
        ..wasm_smith::Config::default()
    };
    let n = 1000 + rng.below(15_000);
    let noise = rng.bytes(n);
    wasm_smith::Module::new(config, &mut Unstructured::new(&noise))
        .map(|m| m.to_bytes())
        .unwrap_or_else(|_| b"\0asm\x01\0\0\0".to_vec())
}

// One to four small changes. Most keep the length, so that the sections still fit.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    const INTERESTING: [u8; 24] = [
        0x00, 0x01, 0x02, 0x05, 0x0b, 0x10, 0x1a, 0x20, 0x40, 0x41, 0x5f, 0x60, 0x63, 0x64, 0x6e, 0x6f, 0x70, 0x7b,
        0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0xff,
    ];
    for _ in 0..1 + rng.below(4) {
        if bytes.len() < 9 {
            return;
        }
        let at = if rng.chance(50) { rng.below(8) } else { 8 + rng.below(bytes.len() - 8) };
        match rng.below(12) {
            0..=2 => bytes[at] ^= 1 << rng.below(8),
            3..=4 => bytes[at] = rng.next() as u8,
            5..=7 => bytes[at] = INTERESTING[rng.below(INTERESTING.len())],
            8 => bytes[at] = bytes[at].wrapping_add(1),
            9 => bytes[at] = bytes[at].wrapping_sub(1),
            10 => {
                let from = 8 + rng.below(bytes.len() - 8);
                bytes.swap(at, from);
            }
            _ => match rng.below(8) {
                0 => bytes.insert(at, rng.next() as u8),
                1 => {
                    bytes.remove(at);
                }
                2 => bytes.truncate(at),
                _ => {
                    let from = rng.below(bytes.len());
                    let n = rng.below(8).min(bytes.len() - from).min(bytes.len() - at);
                    bytes.copy_within(from..from + n, at);
                }
            },
        }
    }
}

// Instructions moved, doubled, dropped or added in one function, with the sizes of body and section put right: what is left to find is a
// matter of types. None when the module cannot be taken apart.
fn mutate_code(rng: &mut Rng, bytes: &[u8]) -> Option<Vec<u8>> {
    const SHORT: [&[u8]; 14] = [
        b"\x00", b"\x01", b"\x0b", b"\x05", b"\x1a", b"\x1b", b"\x41\x00", b"\x42\x00", b"\x0c\x00", b"\x0d\x00", b"\x0f",
        b"\xd0\x70", b"\xd0\x6e", b"\x02\x40",
    ];
    let mut bodies = Vec::new(); // bytes before the first instruction, then the instructions
    let slice = |r: std::ops::Range<u64>| &bytes[r.start as usize..r.end as usize];
    let mut sections = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        let payload = payload.ok()?;
        if let wasmparser::Payload::CodeSectionEntry(body) = &payload {
            let mut reader = body.get_operators_reader().ok()?;
            let mut ops = vec![slice(body.range().start..reader.original_position())];
            while !reader.eof() {
                let from = reader.original_position();
                reader.read().ok()?;
                ops.push(slice(from..reader.original_position()));
            }
            bodies.push(ops);
        } else if let Some((id, range)) = payload.as_section() {
            sections.push((id, range));
        }
    }
    let full: Vec<usize> = (0..bodies.len()).filter(|i| bodies[*i].len() > 2).collect();
    if full.is_empty() {
        return None;
    }
    for _ in 0..1 + rng.below(3) {
        let (to, from) = (full[rng.below(full.len())], full[rng.below(full.len())]);
        let donor = bodies[from][1 + rng.below(bodies[from].len() - 1)];
        let short = SHORT[rng.below(SHORT.len())];
        let ops = &mut bodies[to];
        if ops.len() < 3 {
            continue;
        }
        let at = 1 + rng.below(ops.len() - 1);
        match rng.below(6) {
            0 | 1 => ops[at] = donor,
            2 => ops[at] = short,
            3 => ops.insert(at, donor),
            4 => ops.insert(at, short),
            _ => {
                ops.remove(at);
            }
        }
    }
    let mut out = wasm_encoder::Module::new();
    for (id, range) in sections {
        if id == wasm_encoder::SectionId::Code as u8 {
            let mut code = wasm_encoder::CodeSection::new();
            bodies.iter().for_each(|ops| {
                code.raw(&ops.concat());
            });
            out.section(&code);
        } else {
            out.section(&wasm_encoder::RawSection { id, data: slice(range) });
        }
    }
    Some(out.finish())
}

pub fn run<W: Write>(n: u64, seed: u64, folder: Option<&str>, out: &mut Out<W>) -> io::Result<()> {
    let mut seeds = Vec::new();
    if let Some(folder) = folder {
        collect(Path::new(folder), &mut seeds)?;
    }
    let mut rng = Rng::new(seed);
    let mut bytes = Vec::new();
    for i in 0..n {
        // A new module, then a few children of it.
        if i % 8 == 0 {
            bytes = match seeds.len() {
                0 => generate(&mut rng),
                len if rng.chance(2) => seeds[rng.below(len)].clone(),
                _ => generate(&mut rng),
            };
        }
        let mut child = bytes.clone();
        if i % 8 != 0 {
            match rng.chance(2).then(|| mutate_code(&mut rng, &child)).flatten() {
                Some(m) => child = m,
                None => mutate(&mut rng, &mut child),
            }
        }
        let verdict = Validator::new_with_features(features()).validate_all(&child);
        out.u8(b'V')?;
        out.u8(verdict.is_ok() as u8)?;
        out.bytes(&child)?;
        out.bytes(verdict.err().map(|e| e.to_string()).unwrap_or_default().as_bytes())?;
    }
    Ok(())
}

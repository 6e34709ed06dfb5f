// Modules alone, many functions in each, for diff-tiers: it has two tiers to compare.
use std::io::{self, Write};

use arbitrary::Unstructured;

use crate::{exec, record::Out, rng::Rng};

fn config(rng: &mut Rng) -> wasm_smith::Config {
    wasm_smith::Config {
        canonicalize_nans: true,
        compact_imports_enabled: false,
        disallow_traps: !rng.chance(3),
        export_everything: true,
        gc_enabled: rng.chance(2),
        max_data_segments: 10,
        max_element_segments: 10,
        max_exports: 1000,
        max_funcs: 60,
        max_globals: 20,
        max_imports: 0,
        max_instructions: 120,
        max_memories: 3,
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_table_elements: 100,
        max_tables: 3,
        max_types: 30,
        memory64_enabled: rng.chance(3),
        memory_max_size_required: true,
        min_funcs: 30,
        simd_enabled: !rng.chance(3),
        table_max_size_required: true,
        threads_enabled: false, // waits would block
        wide_arithmetic_enabled: false,
        ..wasm_smith::Config::default()
    }
}

fn generate(rng: &mut Rng) -> Option<Vec<u8>> {
    let c = config(rng);
    let n = 10_000 + rng.below(40_000);
    let noise = rng.bytes(n);
    let mut m = wasm_smith::Module::new(c, &mut Unstructured::new(&noise)).ok()?;
    let fuel = m.ensure_termination(exec::FUEL).ok()?;
    exec::export_global(&m.to_bytes(), fuel)
}

pub fn run<W: Write>(n: u64, seed: u64, out: &mut Out<W>) -> io::Result<()> {
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while done < n {
        if let Some(bytes) = generate(&mut rng) {
            out.bytes(&bytes)?;
            done += 1;
        }
    }
    Ok(())
}

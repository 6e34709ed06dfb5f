// Valid modules of any bytes, for fuzz_run.c: the generator of test/diff/tool behind a C function. The interface is smith.h.
use std::{panic, slice};

use arbitrary::Unstructured;

const FUEL: u32 = 1;
const NO_TRAPS: u32 = 2;
const NO_IMPORTS: u32 = 4;

// Loops and calls before a module made with FUEL stops itself.
const FUEL_UNITS: u32 = 2000;

fn config(flags: u32) -> wasm_smith::Config {
    wasm_smith::Config {
        compact_imports_enabled: false,
        disallow_traps: flags & NO_TRAPS != 0,
        export_everything: true,
        max_data_segments: 10,
        max_element_segments: 10,
        max_exports: 1000,
        max_funcs: 12,
        max_globals: 20,
        max_imports: if flags & NO_IMPORTS != 0 { 0 } else { 12 },
        max_instructions: 250,
        max_memories: 3,
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_table_elements: 100,
        max_tables: 3,
        max_tags: 5,
        max_types: 30,
        memory_max_size_required: true,
        min_funcs: 3,
        table_max_size_required: true,
        wide_arithmetic_enabled: false,
        ..wasm_smith::Config::default()
    }
}

fn make(noise: &[u8], flags: u32) -> Option<Vec<u8>> {
    let mut m = wasm_smith::Module::new(config(flags), &mut Unstructured::new(noise)).ok()?;
    if flags & FUEL != 0 {
        m.ensure_termination(FUEL_UNITS).ok()?;
    }
    Some(m.to_bytes())
}

/// # Safety
/// `noise` has `len` bytes, `ret` has room for `cap`.
#[no_mangle]
pub unsafe extern "C" fn ssvm_smith(noise: *const u8, len: usize, flags: u32, ret: *mut u8, cap: usize) -> usize {
    let noise = unsafe { slice::from_raw_parts(noise, len) };
    let Ok(Some(bytes)) = panic::catch_unwind(|| make(noise, flags)) else {
        return 0;
    };
    if bytes.len() > cap {
        return 0;
    }
    unsafe { ret.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    bytes.len()
}

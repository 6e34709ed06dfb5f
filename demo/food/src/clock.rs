//! Time. wasm32-unknown-unknown has no clock in its standard library; WASI's is there in every ssvm.

const MONOTONIC: u32 = 1;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn clock_time_get(id: u32, precision_ns: u64, ret: *mut u64) -> u32;
}

/// Since some moment in the past; 0 when the host has no clock.
pub fn milliseconds() -> f64 {
    let mut ns = 0;

    // SAFETY: ret is eight writable bytes of our memory.
    if unsafe { clock_time_get(MONOTONIC, 1000, &mut ns) } != 0 {
        return 0.0;
    }
    ns as f64 / 1e6
}

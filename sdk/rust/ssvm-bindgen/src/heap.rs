//! What the host calls to place arguments, and to free results; and the start of a module without `main`.
use std::alloc::{alloc, dealloc, realloc, Layout};

/// # Safety
/// Called by the host.
#[no_mangle]
pub unsafe extern "C" fn __wbindgen_malloc(size: usize, align: usize) -> *mut u8 {
    match Layout::from_size_align(size, align) {
        Ok(layout) if size > 0 => {
            let p = alloc(layout);
            if p.is_null() {
                std::alloc::handle_alloc_error(layout);
            }
            p
        }
        Ok(_) => align as *mut u8,
        Err(_) => std::process::abort(),
    }
}

/// # Safety
/// Called by the host, with what `__wbindgen_malloc` or a result gave.
#[no_mangle]
pub unsafe extern "C" fn __wbindgen_realloc(p: *mut u8, old: usize, new: usize, align: usize) -> *mut u8 {
    match Layout::from_size_align(old, align) {
        Ok(layout) if old > 0 && new > 0 => realloc(p, layout, new),
        _ => __wbindgen_malloc(new, align),
    }
}

/// # Safety
/// Called by the host, with what `__wbindgen_malloc` or a result gave.
#[no_mangle]
pub unsafe extern "C" fn __wbindgen_free(p: *mut u8, size: usize, align: usize) {
    if let (Ok(layout), true) = (Layout::from_size_align(size, align), size > 0) {
        dealloc(p, layout);
    }
}

#[cfg(all(feature = "reactor", target_os = "wasi"))]
extern "C" {
    fn __wasm_call_ctors();
}

/// The host calls it once, before anything else. That it calls the constructors keeps the linker from doing so around every export.
///
/// # Safety
/// Called by the host.
#[cfg(all(feature = "reactor", target_os = "wasi"))]
#[no_mangle]
pub unsafe extern "C" fn _initialize() {
    __wasm_call_ctors();
}

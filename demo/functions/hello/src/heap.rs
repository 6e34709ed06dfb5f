//! The heap of a function that lives for one call: takes memory in order and frees only what was taken last.
//!
//! A module's memory has room behind its data (`__heap_base` to the end of the last page). The standard allocator leaves it unused
//! and grows the memory at its first use; growing costs a system call and a page fault, more than the whole greeting.
use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::Cell;

const PAGE: usize = 65536;

pub struct Heap {
    next: Cell<usize>, // 0 = not used yet
}

// A module without threads has one thread.
unsafe impl Sync for Heap {}

extern "C" {
    static __heap_base: u8;
}

impl Heap {
    pub const fn new() -> Self {
        Heap { next: Cell::new(0) }
    }

    /// Make `end` the first free byte; false when the memory cannot hold it.
    fn take_until(&self, end: usize) -> bool {
        let have = memory_size(0) * PAGE;
        if end > have && memory_grow(0, (end - have).div_ceil(PAGE)) == usize::MAX {
            return false;
        }
        self.next.set(end);
        true
    }
}

unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let next = match self.next.get() {
            0 => &raw const __heap_base as usize,
            n => n,
        };
        let at = next.next_multiple_of(layout.align());
        match at.checked_add(layout.size()) {
            Some(end) if self.take_until(end) => at as *mut u8,
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if p as usize + layout.size() == self.next.get() {
            self.next.set(p as usize);
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if p as usize + layout.size() == self.next.get() {
            return match (p as usize).checked_add(size) {
                Some(end) if self.take_until(end) => p,
                _ => std::ptr::null_mut(),
            };
        }
        let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !new.is_null() {
            std::ptr::copy_nonoverlapping(p, new, layout.size().min(size));
        }
        new
    }
}

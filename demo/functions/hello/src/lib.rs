//! The first function: a greeting.
mod heap;

use wasm_bindgen::prelude::*;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

/// Called as POST /f/hello/say with the name as the body, or GET /f/hello/say?name=NAME.
#[wasm_bindgen]
pub fn say(name: String) -> String {
    let name = name.trim();
    if name.is_empty() {
        return String::from("hello, whoever you are");
    }
    let mut greeting = String::with_capacity(name.len() + 7);
    greeting.push_str("hello, ");
    greeting.push_str(name);
    greeting
}

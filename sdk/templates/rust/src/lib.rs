use wasm_bindgen::prelude::*;

/// At /greet, and at /f/@NAME@/greet: the request's body is the argument, the result is the answer.
#[wasm_bindgen]
pub fn greet(name: &str) -> String {
    let name = if name.is_empty() { "world" } else { name };
    format!("Hello, {name}!\n")
}

//! `#[wasm_bindgen]` for functions, without JavaScript and on every WebAssembly target. The README has the use of it.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod abi;
#[cfg(target_family = "wasm")]
mod heap;
mod value;

pub use ssvm_bindgen_macro::wasm_bindgen;
pub use value::{Clamped, JsError, JsValue};

/// What sources for wasm-bindgen begin with.
pub mod prelude {
    pub use crate::{wasm_bindgen, JsError, JsValue};
}

/// Ends the call with an error of this text.
pub fn throw_str(text: &str) -> ! {
    // SAFETY: the host reads the text, which lives through the call.
    unsafe { value::throw(text) }
}

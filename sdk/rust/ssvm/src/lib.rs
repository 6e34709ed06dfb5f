#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[cfg(feature = "function")]
#[doc(hidden)]
pub mod abi;
#[macro_use]
mod import;
pub mod meter;
pub mod process;
pub mod socket;
pub mod storage;

pub use ssvm_state::{call, http, kv, queue, secret, sql, Code, Error};

/// Lets the host call a function with strings, bytes, numbers and JSON: from the command line, HTTP and C.
///
/// | The type, as it is written | Carried as |
/// |---|---|
/// | `i8` to `u64`, `isize`, `usize`, `f32`, `f64`, `bool`, `char` | itself |
/// | `String`; of arguments `&str`, of results `&'static str` | text |
/// | `Vec<T>`, `Box<[T]>`; of arguments `&[T]` and `&mut [T]`, which the caller has back; T a number | bytes where T is `u8`, else an array |
/// | `Vec<String>` | an array |
/// | `Option<T>` | `None` is what was left out, or null |
/// | `()` as a result | nothing |
/// | `Result<T, E>` as a result | T, or the caller's error with the text of E, which implements `Display` |
/// | any other: tuples, arrays, maps, your own types | JSON, by serde's `Serialize` and `Deserialize`; an argument may be behind `&` |
///
/// An argument that is no such JSON is the caller's error, and the function is not called.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Order {
///     item: String,
///     count: u32,
/// }
///
/// #[derive(Serialize)]
/// struct Receipt {
///     total: u32,
/// }
///
/// #[ssvm::function]
/// pub fn place(order: Order, note: Option<&str>) -> Result<Receipt, String> {
///     if order.count == 0 {
///         return Err(format!("no {}? {}", order.item, note.unwrap_or("")));
///     }
///     Ok(Receipt { total: 3 * order.count })
/// }
/// ```
///
/// `name = "other"` exports it under another name; `crate = path` says where this crate is, if it is not `::ssvm`.
#[cfg(feature = "function")]
pub use ssvm_bindgen_macro::function;

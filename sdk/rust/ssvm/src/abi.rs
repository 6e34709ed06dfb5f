//! What the attribute makes calls: the ABI, and JSON. Not for people.
use serde::{de::DeserializeOwned, Serialize};
use std::fmt::Display;

pub use ssvm_bindgen::abi::*;
pub use ssvm_bindgen::JsValue;

/// An argument of the function; `number` counts from 1, `name` may be empty.
pub fn from_json<T: DeserializeOwned>(text: JsonText, function: &str, number: usize, name: &str) -> Result<T, JsValue> {
    serde_json::from_str(&text.0).map_err(|e| {
        let name = if name.is_empty() { String::new() } else { format!(", '{name}',") };
        JsValue::from(format!("argument {number}{name} of '{function}' is not what it takes: {e}"))
    })
}

/// Nothing, or null, is None.
pub fn from_option<T>(
    text: Option<JsonText>,
    read: fn(JsonText, &str, usize, &str) -> Result<T, JsValue>,
    function: &str,
    number: usize,
    name: &str,
) -> Result<Option<T>, JsValue> {
    match text {
        Some(text) if text.0.trim() != "null" => read(text, function, number, name).map(Some),
        _ => Ok(None),
    }
}

pub fn to_json<T: Serialize>(value: &T) -> Result<JsonText, JsValue> {
    serde_json::to_string(value).map(JsonText).map_err(|e| JsValue::from(format!("the result is no JSON: {e}")))
}

/// The text of an error; the longer one, where it has two.
pub fn error<E: Display>(e: &E) -> JsValue {
    JsValue::from(format!("{e:#}"))
}

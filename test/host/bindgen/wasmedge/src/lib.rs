//! Functions with the wasmedge-bindgen ABI, for the tests of typed calls.
#[allow(unused_imports)]
use wasmedge_bindgen::*;
use wasmedge_bindgen_macro::*;

#[wasmedge_bindgen]
pub fn say(s: String) -> String {
    format!("hello {s}")
}
#[wasmedge_bindgen]
pub fn reverse(v: Vec<u8>) -> Vec<u8> {
    v.into_iter().rev().collect()
}
#[wasmedge_bindgen]
pub fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}
#[wasmedge_bindgen]
pub fn mul(a: i64, b: f64) -> f64 {
    a as f64 * b
}
#[wasmedge_bindgen]
pub fn pair(s: String, n: u32) -> (u32, String) {
    (n + 1, s + "!")
}
#[wasmedge_bindgen]
pub fn check(n: i32) -> Result<i32, String> {
    if n < 0 {
        Err("negative".to_string())
    } else {
        Ok(n * 2)
    }
}

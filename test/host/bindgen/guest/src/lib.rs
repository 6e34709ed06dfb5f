//! One function for each kind of type that a typed call can carry. Built against several versions of wasm-bindgen by build.sh;
//! the answers that the tests expect follow from the bodies below.
use wasm_bindgen::prelude::*;
use wasm_bindgen::Clamped;

#[wasm_bindgen]
pub fn say(name: String) -> String {
    format!("hello {name}")
}
#[wasm_bindgen]
pub fn shout(text: &str) -> String {
    text.to_uppercase()
}
#[wasm_bindgen]
pub fn reverse(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}
#[wasm_bindgen]
pub fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}
#[wasm_bindgen]
pub fn invert(a: u32) -> u32 {
    !a
}
#[wasm_bindgen]
pub fn add64(a: i64, b: i64) -> i64 {
    a.wrapping_add(b)
}
#[wasm_bindgen]
pub fn invert64(a: u64) -> u64 {
    !a
}
#[wasm_bindgen]
pub fn small(a: i8, b: u8, c: i16, d: u16) -> i16 {
    (a as i32 + b as i32 + c as i32 + d as i32) as i16
}
#[wasm_bindgen]
pub fn low8(a: i32) -> i8 {
    a as i8
}
#[wasm_bindgen]
pub fn half(x: f64) -> f64 {
    x / 2.0
}
#[wasm_bindgen]
pub fn half32(x: f32) -> f32 {
    x / 2.0
}
#[wasm_bindgen]
pub fn not(b: bool) -> bool {
    !b
}
#[wasm_bindgen]
pub fn next_char(c: char) -> char {
    char::from_u32(c as u32 + 1).unwrap()
}
#[wasm_bindgen]
pub fn prefix_sums(v: Vec<i32>) -> Vec<f64> {
    v.iter()
        .scan(0.0, |s, x| {
            *s += *x as f64;
            Some(*s)
        })
        .collect()
}
#[wasm_bindgen]
pub fn total(v: &[f64]) -> f64 {
    v.iter().sum()
}
#[wasm_bindgen]
pub fn wide(v: Vec<u64>) -> Vec<u64> {
    v.iter().map(|x| !x).collect()
}
#[wasm_bindgen]
pub fn narrow(v: &[i16]) -> Vec<i8> {
    v.iter().map(|x| *x as i8).collect()
}
#[wasm_bindgen]
pub fn floats(v: Vec<f32>) -> Box<[f32]> {
    v.iter().map(|x| x * 2.0).collect()
}
#[wasm_bindgen]
pub fn clamp(v: Clamped<Vec<u8>>) -> Clamped<Vec<u8>> {
    Clamped(v.0.iter().map(|x| x.saturating_add(100)).collect())
}
#[wasm_bindgen]
pub fn fill(v: &mut [u8], with: u8) {
    v.fill(with)
}
#[wasm_bindgen]
pub fn scale(v: &mut [i32], by: i32) -> i32 {
    v.iter_mut().for_each(|x| *x *= by);
    v.iter().sum()
}
#[wasm_bindgen]
pub fn opt_u32(a: Option<u32>) -> Option<u32> {
    a.and_then(|x| x.checked_add(1))
}
#[wasm_bindgen]
pub fn opt_i32(a: Option<i32>) -> Option<i32> {
    a.map(|x| -x)
}
#[wasm_bindgen]
pub fn opt_f32(a: Option<f32>) -> Option<f32> {
    a.map(|x| x * 2.0)
}
#[wasm_bindgen]
pub fn opt_f64(a: Option<f64>) -> Option<f64> {
    a.map(|x| x * 2.0)
}
#[wasm_bindgen]
pub fn opt_i64(a: Option<i64>) -> Option<i64> {
    a.map(|x| -x)
}
#[wasm_bindgen]
pub fn opt_bool(a: Option<bool>) -> Option<bool> {
    a.map(|x| !x)
}
#[wasm_bindgen]
pub fn opt_char(a: Option<char>) -> Option<char> {
    a.filter(|c| *c != 'x')
}
#[wasm_bindgen]
pub fn opt_i8(a: Option<i8>) -> Option<i8> {
    a.map(|x| x / 2)
}
#[wasm_bindgen]
pub fn opt_string(a: Option<String>) -> Option<String> {
    a.filter(|s| s != "none")
}
#[wasm_bindgen]
pub fn opt_bytes(a: Option<Vec<u8>>) -> Option<Vec<u8>> {
    a.map(|v| v.into_iter().rev().collect())
}
#[wasm_bindgen]
pub fn res_string(s: String) -> Result<String, JsValue> {
    if s.is_empty() {
        Err(JsValue::from_str("empty text"))
    } else {
        Ok(s + "!")
    }
}
#[wasm_bindgen]
pub fn res_u32(a: i32) -> Result<u32, JsValue> {
    u32::try_from(a).map_err(|_| JsValue::from_str("negative"))
}
#[wasm_bindgen]
pub fn res_f64(a: f64) -> Result<f64, JsValue> {
    if a < 0.0 {
        Err(JsValue::from_str("no root"))
    } else {
        Ok(a * a)
    }
}
#[wasm_bindgen]
pub fn res_unit(good: bool) -> Result<(), JsValue> {
    good.then_some(()).ok_or(JsValue::from_str("not good"))
}
#[wasm_bindgen]
pub fn res_error(a: u32) -> Result<u32, JsError> {
    if a > 9 {
        Err(JsError::new("more than nine"))
    } else {
        Ok(a)
    }
}
#[wasm_bindgen]
pub fn res_opt(a: i32) -> Result<Option<String>, JsValue> {
    match a {
        0 => Ok(None),
        1 => Ok(Some("one".into())),
        _ => Err(JsValue::from_str("only 0 and 1")),
    }
}
#[wasm_bindgen]
pub fn res_null(null: bool) -> Result<u32, JsValue> {
    Err(if null { JsValue::NULL } else { JsValue::UNDEFINED })
}
#[wasm_bindgen]
pub fn nothing() {}
#[wasm_bindgen]
pub fn boom(n: usize) -> u8 {
    [1u8, 2, 3][n]
}
#[wasm_bindgen]
pub fn fail_with(text: &str) {
    wasm_bindgen::throw_str(text)
}
#[cfg(not(no_classes))]
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Color {
    Red = 1,
    Green = 2,
    Blue = 5,
}
#[cfg(not(no_classes))]
#[wasm_bindgen]
pub fn color(c: Color) -> Color {
    match c {
        Color::Red => Color::Green,
        Color::Green => Color::Blue,
        Color::Blue => Color::Red,
    }
}
#[cfg(not(no_classes))]
#[wasm_bindgen]
pub struct Counter {
    n: u32,
}
#[cfg(not(no_classes))]
#[wasm_bindgen]
impl Counter {
    #[wasm_bindgen(constructor)]
    pub fn new(n: u32) -> Counter {
        Counter { n }
    }
    pub fn inc(&mut self, by: u32) -> u32 {
        self.n += by;
        self.n
    }
}
#[wasm_bindgen]
pub fn js_text(s: &str) -> JsValue {
    JsValue::from_str(s)
}
#[wasm_bindgen]
pub fn js_kind(v: JsValue) -> bool {
    v.is_null()
}
#[wasm_bindgen]
pub fn js_number(v: JsValue) -> Option<f64> {
    v.as_f64()
}
#[wasm_bindgen]
pub fn join(v: Vec<String>) -> String {
    v.join("+")
}
#[wasm_bindgen]
pub fn split(s: &str) -> Vec<String> {
    s.split(',').map(String::from).collect()
}
#[cfg(not(no_classes))]
#[wasm_bindgen]
pub fn opt_color(c: Option<Color>) -> Option<Color> {
    c.map(color)
}
#[cfg(not(no_classes))]
#[wasm_bindgen]
pub fn opt_counter(n: Option<u32>) -> Option<Counter> {
    n.map(Counter::new)
}

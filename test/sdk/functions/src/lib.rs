//! One function for each way in which `#[ssvm::function]` carries a type; the answers that run.py expects follow from the bodies.
#![deny(warnings)]
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize, Serialize)]
pub struct Point {
    x: i32,
    y: i32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    Red,
    Green,
}

pub struct Trouble(u32);
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trouble {}", self.0)
    }
}

// ---- What the ABI has of itself ----

#[ssvm::function]
pub fn say(name: String) -> String {
    format!("hello {name}")
}
#[ssvm::function]
fn shout(text: &str) -> String {
    text.to_uppercase()
}
#[ssvm::function]
pub fn reverse(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}
#[ssvm::function]
pub fn add(a: i64, b: u8, c: f64, d: bool) -> f64 {
    a as f64 + f64::from(b) + c + f64::from(u8::from(d))
}
#[ssvm::function]
pub fn scale(values: &mut [i32], by: i32) {
    values.iter_mut().for_each(|v| *v *= by);
}
#[ssvm::function]
pub fn words(text: String) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}
#[ssvm::function]
pub fn fixed(which: bool) -> &'static str {
    if which { "yes" } else { "no" }
}
#[ssvm::function]
pub fn maybe(text: Option<&str>, number: Option<u32>) -> Option<String> {
    text.map(|t| t.repeat(number.unwrap_or(1) as usize))
}
#[ssvm::function]
pub fn nothing() {}

// ---- Errors ----

#[ssvm::function]
pub fn root(x: f64) -> Result<f64, String> {
    if x < 0.0 { Err(format!("no root of {x}")) } else { Ok(x.sqrt()) }
}
#[ssvm::function]
pub fn check(n: u32) -> Result<(), Trouble> {
    if n > 2 { Err(Trouble(n)) } else { Ok(()) }
}
#[ssvm::function]
pub fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}
#[ssvm::function]
pub fn parse(text: &str) -> Result<i32, Box<dyn std::error::Error>> {
    Ok(text.parse()?)
}

// ---- JSON ----

#[ssvm::function]
pub fn mirror(p: Point) -> Point {
    Point { x: -p.x, y: -p.y }
}
#[ssvm::function]
pub fn far(from: &Point, points: &[Point]) -> Option<Point> {
    points.iter().max_by_key(|p| (p.x - from.x).abs() + (p.y - from.y).abs()).map(|p| Point { x: p.x, y: p.y })
}
#[ssvm::function]
pub fn pair(p: (i32, String)) -> (String, i32) {
    (p.1, p.0)
}
#[ssvm::function]
pub fn count(words: Vec<String>) -> BTreeMap<String, u32> {
    words.into_iter().fold(BTreeMap::new(), |mut all, word| {
        *all.entry(word).or_default() += 1;
        all
    })
}
#[ssvm::function]
pub fn other(color: Color) -> Result<Color, Trouble> {
    match color {
        Color::Red => Ok(Color::Green),
        Color::Green => Err(Trouble(1)),
    }
}
#[ssvm::function]
pub fn moved(p: Option<Point>, by: [i32; 2]) -> Point {
    let p = p.unwrap_or(Point { x: 0, y: 0 });
    Point { x: p.x + by[0], y: p.y + by[1] }
}
#[ssvm::function]
pub fn bad_keys() -> BTreeMap<(u8, u8), u8> {
    BTreeMap::from([((1, 2), 3)])
}
#[ssvm::function]
pub fn inside(pattern @ (a, b): (i32, i32)) -> Vec<(i32, i32)> {
    vec![pattern, (b, a)]
}

// ---- Names ----

#[ssvm::function(name = "another-name")]
pub fn named() -> u32 {
    7
}
#[ssvm::function]
pub fn r#match(value: u32) -> u32 {
    value
}
#[ssvm::function]
pub fn export(e: u32) -> Result<u32, String> {
    describe(e).checked_sub(1).ok_or_else(|| "below 0".into())
}
#[ssvm::function]
pub fn describe(value: u32) -> u32 {
    value
}

mod elsewhere {
    pub use ssvm as renamed;
    #[renamed::function(crate = crate::elsewhere::renamed)]
    pub fn from_elsewhere(result: Vec<Vec<u32>>) -> u32 {
        result.iter().flatten().sum()
    }
}

/// The standard library is started once, not around each call.
#[ssvm::function]
pub fn uses_wasi() -> String {
    println!("to the output");
    std::env::var("NAME").unwrap_or_default()
}

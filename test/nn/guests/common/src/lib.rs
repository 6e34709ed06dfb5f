//! What all guests do the same way: arguments, files, the network's names, how answers are printed.
use std::fmt::Display;

pub const INPUT: &str = "input";
pub const OUTPUT: &str = "MobilenetV2/Predictions/Softmax";
pub const CLASSES: usize = 61;
pub const SIDES: [usize; 4] = [1, 224, 224, 3];

/// The name of the call to make, and what stands behind it.
pub fn args() -> (String, Vec<String>) {
    let mut args = std::env::args().skip(1);
    (args.next().expect("the name of a call"), args.collect())
}

pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(name).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A file of 224 by 224 by 3 bytes as the numbers that the network takes.
pub fn picture(name: &str) -> Vec<f32> {
    file(name).iter().map(|byte| f32::from(*byte) / 255.).collect()
}

/// "1 0.872227": the likeliest class. "none": there are no numbers.
pub fn print_top(probabilities: &[f32]) {
    match probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) {
        Some((class, p)) => println!("{class} {p:.6}"),
        None => println!("none"),
    }
}

pub fn print_all<T: Display>(values: &[T]) {
    let texts: Vec<String> = values.iter().map(T::to_string).collect();
    println!("{}", if texts.is_empty() { "none".into() } else { texts.join(" ") });
}

/// As they are, for the test to compare.
pub fn print_pixels(bytes: &[u8]) {
    use std::io::Write;
    std::io::stdout().write_all(bytes).expect("standard output");
}

pub fn print_floats(values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    print_pixels(&bytes);
}

pub fn unknown(call: &str) -> ! {
    panic!("no call '{call}'")
}

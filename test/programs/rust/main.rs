//! A Rust program as a guest: collections, formatting, closures, errors, files, big numbers.
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};

fn collatz(mut n: u64) -> u32 {
    let mut steps = 0;
    while n != 1 {
        n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    println!("args {:?}", args);
    let longest = (1..30000u64).max_by_key(|&n| collatz(n)).unwrap();
    println!("collatz {} {}", longest, collatz(longest));

    let mut count: HashMap<char, usize> = HashMap::new();
    for c in "hello webassembly".chars() {
        *count.entry(c).or_default() += 1;
    }
    let ordered: BTreeMap<_, _> = count.into_iter().collect();
    println!("{:?}", ordered);
    println!("{:>8.3}|{:<6}|{:#x}|{:+e}", std::f64::consts::E, "ab", 255, 12345.678f32);
    println!("{:?} {:?}", "12x".parse::<i32>(), u8::try_from(300i32).is_err());
    println!("{}", (1..=30u128).product::<u128>());

    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    println!("stdin {} bytes, {} lines", input.len(), input.lines().count());

    let mut file = fs::File::create(&args[0])?;
    for i in 0..1000 {
        writeln!(file, "line {i}")?;
    }
    drop(file);
    let lines = BufReader::new(fs::File::open(&args[0])?).lines().count();
    println!("lines {lines} size {}", fs::metadata(&args[0])?.len());
    println!("missing {:?}", fs::read("/does/not/exist").unwrap_err().kind());
    let mut sorted: Vec<u32> = (0..50000u32).map(|i| i.wrapping_mul(2654435761)).collect();
    sorted.sort_unstable();
    println!("sorted {} {} {}", sorted[0], sorted[25000], sorted[49999]);
    std::process::exit(7)
}

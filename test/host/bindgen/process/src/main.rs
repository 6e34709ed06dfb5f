//! The command line tool of wasm-bindgen as a library: process IN.wasm OUTFOLDER [strip]. With `strip` the name section goes first.
use std::fs;

fn leb(b: &[u8], mut i: usize) -> (usize, usize) {
    let (mut v, mut shift) = (0, 0);
    loop {
        v |= ((b[i] & 127) as usize) << shift;
        shift += 7;
        i += 1;
        if b[i - 1] < 128 {
            return (v, i);
        }
    }
}

fn without_names(b: &[u8]) -> Vec<u8> {
    let mut out = b[..8].to_vec();
    let mut i = 8;
    while i < b.len() {
        let (len, at) = leb(b, i + 1);
        if !(b[i] == 0 && b[at..].starts_with(b"\x04name")) {
            out.extend(&b[i..at + len]);
        }
        i = at + len;
    }
    out
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut input = args[1].clone();
    if args.len() > 3 {
        let bytes = without_names(&fs::read(&input).unwrap());
        input = format!("{}/in.wasm", args[2]);
        fs::write(&input, bytes).unwrap();
    }
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(&input)
        .out_name("out")
        .nodejs(true)
        .unwrap()
        .typescript(false)
        .generate(&args[2])
        .unwrap();
}

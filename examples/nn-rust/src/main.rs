//! What is on the picture? The host decodes it and runs the model; here are the names and the numbers.
//!
//!     cargo build --release --target wasm32-wasip1
//!     ssvm run --nn auto --image --dir . nn-rust.wasm MODEL LABELS PICTURE
use ssvm_tensorflow::picture::{decode_f32, Order};
use ssvm_tensorflow::{Graph, Tensor};
use std::error::Error;
use std::fs;

const SIDE: u32 = 224;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [model, labels, picture] = files.as_slice() else {
        return Err("usage: nn-rust MODEL LABELS PICTURE".into());
    };
    let (model, labels) = (fs::read(model)?, fs::read_to_string(labels)?);

    let pixels = decode_f32(&fs::read(picture)?, SIDE, SIDE, Order::Rgb)?;
    let input = Tensor::new(&[1, SIDE as i64, SIDE as i64, 3], &pixels)?;
    let graph = Graph::load(&model)?;
    let scores: Vec<f32> = graph.run().input("input", input)?.fetch("MobilenetV2/Predictions/Softmax")?;

    let mut best: Vec<(f32, &str)> = scores.into_iter().zip(labels.lines()).collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, label) in best.iter().take(3) {
        println!("{:3.0} % {label}", score * 100.0);
    }
    Ok(())
}

use ssvm_tensorflow::picture::{decode_f32, Order};
use ssvm_tensorflow::{Error, Graph, Tensor};

/// What was there for lunch? Put another model and its labels here; the names are those of its tensors.
const MODEL: &[u8] = include_bytes!("../model/food.tflite");
const LABELS: &str = include_str!("../model/labels.txt");
const SIDE: u32 = 224;
const INPUT: &str = "input";
const OUTPUT: &str = "MobilenetV2/Predictions/Softmax";

/// At /classify, and at /f/@NAME@/classify: a picture (JPEG or PNG) in, its label and how sure the model is.
#[ssvm::function]
pub fn classify(picture: &[u8]) -> Result<String, Error> {
    let pixels = decode_f32(picture, SIDE, SIDE, Order::Rgb)?;
    let input = Tensor::new(&[1, SIDE as i64, SIDE as i64, 3], &pixels)?;
    let scores: Vec<f32> = Graph::load(MODEL)?.run().input(INPUT, input)?.fetch(OUTPUT)?;
    let (label, score) = LABELS.lines().zip(&scores).max_by(|a, b| a.1.total_cmp(b.1)).ok_or(Error::Run)?;

    Ok(format!("{label}, {:.0} %\n", score * 100.0))
}

//! The network and its labels: those inside the module, or those that were given. Running it, with a sentence for what fails.
use ssvm_tensorflow_interface::{ModelType, Session};
use std::sync::OnceLock;

use crate::graph;

pub const SIDE: u32 = 224;
pub const SHAPE: [i64; 4] = [1, SIDE as i64, SIDE as i64, 3];
pub const INPUT: &str = "input";
pub const OUTPUT: &str = "MobilenetV2/Predictions/Softmax";

#[cfg(not(feature = "tflite"))]
const MODEL: &[u8] = include_bytes!("../model/food_mobilenet_v2_224_frozen.pb");
#[cfg(feature = "tflite")]
const MODEL: &[u8] = include_bytes!("../model/food_mobilenet_v2_224.tflite");
const LABELS: &str = include_str!("../model/food_labels.txt");

pub struct Model {
    pub model_data: &'static [u8],
    pub labels: &'static str,
    pub model_type: ModelType,
}

static GIVEN: OnceLock<(Vec<u8>, String)> = OnceLock::new();

pub fn current() -> Model {
    let (model_data, labels) = match GIVEN.get() {
        Some((model, labels)) => (model.as_slice(), labels.as_str()),
        None => (MODEL, LABELS),
    };
    let model_type = if graph::is_tflite(model_data) { ModelType::TensorFlowLite } else { ModelType::TensorFlow };
    Model { model_data, labels, model_type }
}

pub fn is_given() -> bool {
    GIVEN.get().is_some()
}

/// Checks what can be known without running it.
pub fn replace(model: Vec<u8>, labels: String) -> Result<(), String> {
    if labels.lines().count() < 2 {
        return Err("the labels are one a line, two or more".into());
    }
    graph::check(&model, INPUT, OUTPUT)?;
    GIVEN.set((model, labels)).map_err(|_| "this instance has been given a model before".to_string())
}

pub fn run(tensor: &[f32]) -> Result<Vec<f32>, String> {
    let Model { model_data, labels, model_type } = current();
    let mut session = Session::new(model_data, model_type);
    session.add_input(INPUT, tensor, &SHAPE).add_output(OUTPUT).run();
    let probabilities: Vec<f32> = session.get_output(OUTPUT);
    let wanted = labels.lines().count();

    if probabilities.is_empty() {
        return Err(format!(
            "the model gave no answer: its input must be '{INPUT}', {SIDE} by {SIDE} pixels of three numbers, and its output \
             '{OUTPUT}'; the host's log says what failed"
        ));
    }
    if probabilities.len() != wanted {
        return Err(format!("the model knows {} classes and there are {wanted} labels", probabilities.len()));
    }
    if !probabilities.iter().all(|p| (0.0..=1.001).contains(p)) {
        return Err(format!("what '{OUTPUT}' gives are not probabilities"));
    }
    Ok(probabilities)
}

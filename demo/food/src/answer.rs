//! From probabilities to what people read.
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::model;
use crate::picture::Picture;

const SHOWN: usize = 5;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
}

/// Let the host know what a panic says; without it the trap is a bare `unreachable`.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|info| error(&info.to_string())));
}

/// The first of the greatest. As in the talk, of nothing it is index 0.
pub fn likeliest(probabilities: &[f32]) -> (usize, f32) {
    let mut best = (0, -1.0);

    for (i, p) in probabilities.iter().enumerate() {
        if *p > best.1 {
            best = (i, *p);
        }
    }
    best
}

/// The talk's words.
pub fn confidence(probability: f32) -> &'static str {
    if probability > 0.75 {
        "very high"
    } else if probability > 0.5 {
        "high"
    } else if probability > 0.2 {
        "medium"
    } else {
        "low"
    }
}

fn sentence(label: &str, confidence: &str) -> String {
    let article = if label.starts_with(|c: char| "aeiouAEIOU".contains(c)) { "an" } else { "a" };
    let likely = match confidence {
        "very high" => "is very likely",
        "high" => "is likely",
        "medium" => "could be",
        _ => return "It is hard to say what is in the picture".into(),
    };
    if label == "background" {
        return format!("It {likely} that there is no food in the picture");
    }
    format!("It {likely} {article} {label} in the picture")
}

pub fn to_json(picture: &Picture, probabilities: &[f32], decode_ms: f64, run_ms: f64) -> String {
    let labels: Vec<&str> = model::current().labels.lines().collect();
    let (best, probability) = likeliest(probabilities);
    let mut order: Vec<usize> = (0..probabilities.len()).collect();

    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let top: Vec<_> = order
        .iter()
        .take(SHOWN)
        .map(|i| json!({"index": i, "label": labels[*i], "probability": probabilities[*i]}))
        .collect();
    let confidence = confidence(probability);
    json!({
        "label": labels[best],
        "probability": probability,
        "confidence": confidence,
        "sentence": sentence(labels[best], confidence),
        "top": top,
        "ms": {"decode": decode_ms, "run": run_ms, "total": decode_ms + run_ms},
        "picture": {"width": picture.width, "height": picture.height, "orientation": picture.orientation},
        "model": {"classes": labels.len(), "shipped": !model::is_given()},
    })
    .to_string()
}

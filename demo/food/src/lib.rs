//! What is for lunch? A picture in, what is on it out: `infer` is the talk's function, the others serve the page.
//!
//! `infer(picture)` answers `["Pancake","very high"]`. `classify(picture)` answers JSON with the five likeliest labels, honours the
//! camera's orientation, and has a sentence for every picture that it cannot take. `use_model(model, labels)` puts another network in
//! the place of the one inside (README.md).
mod answer;
mod clock;
mod graph;
mod model;
mod orientation;
mod picture;

use ssvm_tensorflow_interface::Session;
use wasm_bindgen::prelude::*;

/// The talk's function. As there, bad input ends it with a trap (here one that says why: `tell_panics`).
#[wasm_bindgen]
pub fn infer(image_data: &[u8]) -> String {
    answer::tell_panics();
    #[allow(deprecated)] // to_rgb8 is its name by now
    let img = image::load_from_memory(image_data).unwrap().to_rgb();
    let resized = image::imageops::thumbnail(&img, model::SIDE, model::SIDE);
    let mut flat_img: Vec<f32> = Vec::new();
    for rgb in resized.pixels() {
        flat_img.push(rgb[0] as f32 / 255.);
        flat_img.push(rgb[1] as f32 / 255.);
        flat_img.push(rgb[2] as f32 / 255.);
    }

    // There the two files are included here; `use_model` can replace them.
    let model::Model { model_data, labels, model_type } = model::current();
    let mut session = Session::new(model_data, model_type);
    session.add_input(model::INPUT, &flat_img, &model::SHAPE).add_output(model::OUTPUT).run();
    let probabilities: Vec<f32> = session.get_output(model::OUTPUT);

    let (index, best) = answer::likeliest(&probabilities);
    let label = labels.lines().nth(index).unwrap();
    serde_json::to_string(&(label, answer::confidence(best))).unwrap()
}

/// For the page: the five likeliest labels, a sentence, and the time it took. An error is text for people.
#[wasm_bindgen]
pub fn classify(picture: &[u8]) -> Result<String, JsValue> {
    answer::tell_panics();
    classified(picture).map_err(|text| JsValue::from_str(&text))
}

fn classified(bytes: &[u8]) -> Result<String, String> {
    let start = clock::milliseconds();
    let picture = picture::decode(bytes)?;
    let tensor = picture::to_tensor(&picture.pixels, model::SIDE);
    let decoded = clock::milliseconds();
    let probabilities = model::run(&tensor)?;
    let done = clock::milliseconds();

    Ok(answer::to_json(&picture, &probabilities, decoded - start, done - decoded))
}

/// Another network and its labels (one a line) for all calls to come. Whoever calls it keeps the instance, or a snapshot of it.
#[wasm_bindgen]
pub fn use_model(model: Vec<u8>, labels: String) -> Result<(), JsValue> {
    model::replace(model, labels).map_err(|text| JsValue::from_str(&text))
}

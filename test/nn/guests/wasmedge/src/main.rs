//! wasmedge_tensorflow_interface 0.3.0, every function of it. What fails panics with the host's error number.
use common::*;
use wasmedge_tensorflow_interface as tf;
use wasmedge_tensorflow_interface::{TFLiteSession, TFSession};

const SHAPE: [u64; 4] = [1, 224, 224, 3];

fn classify(model: &str, input: &str, output: &str, pixels: &[f32], shape: &[u64]) {
    if model.ends_with(".tflite") {
        let mut session = TFLiteSession::new(file(model));
        session.add_input(input, pixels).run();
        return print_top(&session.get_output::<f32>(output));
    }
    let mut session = TFSession::new(file(model));
    session.add_input(input, pixels, shape).add_output(output).run();
    print_top(&session.get_output::<f32>(output));
}

fn again(model: &str, first: &str, second: &str) {
    let mut session = TFSession::new(file(model));
    session.add_input(INPUT, &picture(first), &SHAPE).add_output(OUTPUT).run();
    print_top(&session.get_output::<f32>(OUTPUT));
    session.clear_input().add_input(INPUT, &picture(second), &SHAPE).run();
    print_top(&session.get_output::<f32>(OUTPUT));
    session.clear_output().add_output(OUTPUT).run();
    print_top(&session.get_output::<f32>(OUTPUT));
}

fn load(pixels: &str, a: &[String]) {
    let (bytes, w, h) = (file(&a[0]), a[1].parse().unwrap(), a[2].parse().unwrap());
    match pixels {
        "jpg-rgb8" => print_pixels(&tf::load_jpg_image_to_rgb8(&bytes, w, h)),
        "jpg-bgr8" => print_pixels(&tf::load_jpg_image_to_bgr8(&bytes, w, h)),
        "jpg-rgb32f" => print_floats(&tf::load_jpg_image_to_rgb32f(&bytes, w, h)),
        "jpg-bgr32f" => print_floats(&tf::load_jpg_image_to_bgr32f(&bytes, w, h)),
        "png-rgb8" => print_pixels(&tf::load_png_image_to_rgb8(&bytes, w, h)),
        "png-bgr8" => print_pixels(&tf::load_png_image_to_bgr8(&bytes, w, h)),
        "png-rgb32f" => print_floats(&tf::load_png_image_to_rgb32f(&bytes, w, h)),
        "png-bgr32f" => print_floats(&tf::load_png_image_to_bgr32f(&bytes, w, h)),
        _ => unknown(pixels),
    }
}

fn main() {
    let (call, a) = args();
    match call.as_str() {
        "classify" => classify(&a[0], INPUT, OUTPUT, &picture(&a[1]), &SHAPE),
        "indexed" => classify(&a[0], "input:0", "MobilenetV2/Predictions/Softmax:0", &picture(&a[1]), &SHAPE),
        "again" => again(&a[0], &a[1], &a[2]),
        "saved-model" => drop(TFSession::new_from_saved_model(&a[0], &["serve"])),
        "unknown-input" => classify(&a[0], "no_such_input", OUTPUT, &picture(&a[1]), &SHAPE),
        "unknown-output" => classify(&a[0], INPUT, "no_such_output", &picture(&a[1]), &SHAPE),
        "wrong-shape" => classify(&a[0], INPUT, OUTPUT, &[0.5; 30000], &[1, 100, 100, 3]),
        "load" => load(&a[0], &a[1..]),
        _ => unknown(&call),
    }
}

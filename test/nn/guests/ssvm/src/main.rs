//! ssvm_tensorflow_interface 0.1.4, every function of it. Usage: guest CALL MODEL|PICTURE ...
use common::*;
use ssvm_tensorflow_interface as tf;
use ssvm_tensorflow_interface::{ModelType, Session, TensorType};
use std::fmt::Display;

const SHAPE: [i64; 4] = [1, 224, 224, 3];

fn model_type(name: &str) -> ModelType {
    if name.ends_with(".tflite") { ModelType::TensorFlowLite } else { ModelType::TensorFlow }
}

fn classify(model: &str, input: &str, output: &str, pixels: &[f32], shape: &[i64]) {
    let mut session = Session::new(file(model), model_type(model));
    session.add_input(input, pixels, shape).add_output(output).run();
    print_top(&session.get_output::<f32>(output));
}

/// A graph that gives its input back.
fn echo<T: TensorType + Display>(model: &str, values: &[T], shape: &[i64]) {
    let mut session = Session::new(file(model), model_type(model));
    session.add_input("x", values, shape).add_output("y").run();
    print_all(&session.get_output::<T>("y"));
}

fn echo_type(name: &str, model: &str) {
    match name {
        "f32" => echo(model, &[1.5f32, -2.0], &[2]),
        "f64" => echo(model, &[1.5f64, -2.0], &[2]),
        "i32" => echo(model, &[i32::MIN, 7], &[2]),
        "u8" => echo(model, &[255u8, 7], &[2]),
        "i16" => echo(model, &[i16::MIN, 7], &[2]),
        "i8" => echo(model, &[i8::MIN, 7], &[2]),
        "i64" => echo(model, &[i64::MIN, 7], &[2]),
        "bool" => echo(model, &[true, false], &[2]),
        "u16" => echo(model, &[u16::MAX, 7], &[2]),
        "u32" => echo(model, &[u32::MAX, 7], &[2]),
        "u64" => echo(model, &[u64::MAX, 7], &[2]),
        "scalar" => echo(model, &[2.5f32], &[]),
        "empty" => echo::<f32>(model, &[], &[0]),
        "matrix" => echo(model, &[1f32, 2., 3., 4., 5., 6.], &[2, 3]),
        _ => unknown(name),
    }
}

/// What was appended stays for the next run, until it is cleared.
fn again(model: &str, first: &str, second: &str) {
    let mut session = Session::new(file(model), model_type(model));
    session.add_input(INPUT, &picture(first), &SHAPE).add_output(OUTPUT).run();
    print_top(&session.get_output::<f32>(OUTPUT));
    session.run();
    print_top(&session.get_output::<f32>(OUTPUT));
    session.clear_input().add_input(INPUT, &picture(second), &SHAPE).run();
    print_top(&session.get_output::<f32>(OUTPUT));
    session.clear_output().run();
    print_top(&session.get_output::<f32>(OUTPUT));
    session.add_output(OUTPUT).run();
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
    let pixels = |i: usize| picture(&a[i]);
    match call.as_str() {
        "classify" => classify(&a[0], INPUT, OUTPUT, &pixels(1), &SHAPE),
        "indexed" => classify(&a[0], "input:0", "MobilenetV2/Predictions/Softmax:0", &pixels(1), &SHAPE),
        "again" => again(&a[0], &a[1], &a[2]),
        "two-sessions" => {
            // At once, of one model; the second ends first.
            let mut one = Session::new(file(&a[0]), model_type(&a[0]));
            one.add_input(INPUT, &pixels(1), &SHAPE).add_output(OUTPUT);
            classify(&a[0], INPUT, OUTPUT, &pixels(2), &SHAPE);
            one.run();
            print_top(&one.get_output::<f32>(OUTPUT));
        }
        "unknown-input" => classify(&a[0], "no_such_input", OUTPUT, &pixels(1), &SHAPE),
        "unknown-output" => classify(&a[0], INPUT, "no_such_output", &pixels(1), &SHAPE),
        "index-out-of-range" => classify(&a[0], INPUT, "MobilenetV2/Predictions/Softmax:7", &pixels(1), &SHAPE),
        "wrong-shape" => classify(&a[0], INPUT, OUTPUT, &pixels(1)[..3 * 100 * 100], &[1, 100, 100, 3]),
        "shape-without-data" => classify(&a[0], INPUT, OUTPUT, &[0.5], &SHAPE),
        "negative-shape" => classify(&a[0], INPUT, OUTPUT, &pixels(1), &[-1, 224, 224, 3]),
        "huge-shape" => classify(&a[0], INPUT, OUTPUT, &pixels(1), &[i64::MAX, i64::MAX, 8, 3]),
        "wrong-type" => {
            let wide: Vec<f64> = pixels(1).iter().map(|v| f64::from(*v)).collect();
            let mut session = Session::new(file(&a[0]), model_type(&a[0]));
            session.add_input(INPUT, &wide, &SHAPE).add_output(OUTPUT).run();
            print_top(&session.get_output::<f32>(OUTPUT));
        }
        "no-input" => {
            let mut session = Session::new(file(&a[0]), model_type(&a[0]));
            session.add_output(OUTPUT).run();
            print_top(&session.get_output::<f32>(OUTPUT));
        }
        "not-run" => {
            let mut session = Session::new(file(&a[0]), model_type(&a[0]));
            session.add_input(INPUT, &pixels(1), &SHAPE).add_output(OUTPUT);
            print_top(&session.get_output::<f32>(OUTPUT));
        }
        "echo" => echo_type(&a[0], &a[1]),
        "load" => load(&a[0], &a[1..]),
        _ => unknown(&call),
    }
}

//! Our own crate: both of its ways.
use common::*;
use ssvm_tensorflow::picture::{decode_f32, decode_u8, Order};
use ssvm_tensorflow::{Error, Graph, ModelType, Session, Tensor};

const SHAPE: [i64; 4] = [1, 224, 224, 3];

fn graph(model: &str, input: &str, output: &str, pixels: &[f32], shape: &[i64]) -> Result<(), Error> {
    let model = file(model);
    let graph = Graph::load(&model)?;
    print_top(&graph.run().input(input, Tensor::new(shape, pixels)?)?.fetch::<f32>(output)?);
    Ok(())
}

fn session(model: &str, pixels: &[f32]) {
    let kind = if model.ends_with(".tflite") { ModelType::TensorFlowLite } else { ModelType::TensorFlow };
    let mut session = Session::new(file(model), kind);
    session.add_input(INPUT, pixels, &SHAPE).add_output(OUTPUT).run();
    print_top(&session.get_output::<f32>(OUTPUT));
    // 61 floats are no whole number of doubles: the last half is dropped.
    println!("{}", session.get_output::<f64>(OUTPUT).len());
}

fn decode(kind: &str, a: &[String]) -> Result<(), Error> {
    let (bytes, w, h) = (file(&a[0]), a[1].parse().unwrap(), a[2].parse().unwrap());
    match kind {
        "rgb8" => print_pixels(&decode_u8(&bytes, w, h, Order::Rgb)?),
        "bgr8" => print_pixels(&decode_u8(&bytes, w, h, Order::Bgr)?),
        "rgb32f" => print_floats(&decode_f32(&bytes, w, h, Order::Rgb)?),
        "bgr32f" => print_floats(&decode_f32(&bytes, w, h, Order::Bgr)?),
        _ => unknown(kind),
    }
    Ok(())
}

fn main() {
    let (call, a) = args();
    let result = match call.as_str() {
        "classify" => graph(&a[0], INPUT, OUTPUT, &picture(&a[1]), &SHAPE),
        "unknown-input" => graph(&a[0], "no_such_input", OUTPUT, &picture(&a[1]), &SHAPE),
        "unknown-output" => graph(&a[0], INPUT, "no_such_output", &picture(&a[1]), &SHAPE),
        "wrong-shape" => graph(&a[0], INPUT, OUTPUT, &[0.5; 30000], &[1, 100, 100, 3]),
        "shape-without-data" => graph(&a[0], INPUT, OUTPUT, &[0.5], &SHAPE),
        "session" => {
            session(&a[0], &picture(&a[1]));
            Ok(())
        }
        "decode" => decode(&a[0], &a[1..]),
        _ => unknown(&call),
    };
    if let Err(e) = result {
        println!("error: {e}");
    }
}

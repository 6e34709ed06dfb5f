//! wasmedge-wasi-nn 0.8.0: what it adds to wasi-nn, and that the rest works.
use common::*;
use wasmedge_wasi_nn::{Error, ExecutionTarget, GraphBuilder, GraphEncoding, TensorType};

fn builder(model: &str) -> GraphBuilder {
    let encoding = match model.rsplit('.').next() {
        Some("onnx") => GraphEncoding::Onnx,
        Some("tflite") => GraphEncoding::TensorflowLite,
        _ => GraphEncoding::Tensorflow,
    };
    GraphBuilder::new(encoding, ExecutionTarget::CPU)
}

fn classify(model: &str, pixels: &[f32], twice: bool) -> Result<(), Error> {
    let graph = builder(model).build_from_bytes([file(model)])?;
    let mut context = graph.init_execution_context()?;
    let mut out = [0f32; CLASSES];
    context.set_input(0, TensorType::F32, &SIDES, pixels)?;
    context.compute()?;
    context.get_output(0, &mut out)?;
    print_top(&out);
    graph.unload()?;
    // A number that was given back is no graph.
    if twice {
        graph.unload()?;
    }
    Ok(())
}

fn streaming(model: &str, pixels: &[f32]) -> Result<(), Error> {
    let graph = builder(model).build_from_bytes([file(model)])?;
    let mut context = graph.init_execution_context()?;
    let mut out = [0f32; CLASSES];
    context.set_input(0, TensorType::F32, &SIDES, pixels)?;
    context.compute_single()?;
    context.get_output_single(0, &mut out)?;
    print_top(&out);
    context.fini_single()
}

fn main() {
    let (call, a) = args();
    let result = match call.as_str() {
        "classify" => classify(&a[0], &picture(&a[1]), false),
        "unload-twice" => classify(&a[0], &picture(&a[1]), true),
        "by-name" => builder(&a[0]).build_from_cache(&a[0]).map(|graph| println!("{graph}")),
        "by-name-with-config" => {
            builder(&a[0]).config("{}".into()).build_from_cache(&a[0]).map(|graph| println!("{graph}"))
        }
        "streaming" => streaming(&a[0], &picture(&a[1])),
        _ => unknown(&call),
    };
    if let Err(e) = result {
        println!("error: {e}");
    }
}

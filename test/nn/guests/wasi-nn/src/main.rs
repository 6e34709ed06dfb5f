//! wasi-nn 0.6.0. What fails is printed as an error.
use common::*;
use wasi_nn::{Error, ExecutionTarget, GraphBuilder, GraphEncoding, TensorType};

fn encoding(model: &str) -> GraphEncoding {
    match model.rsplit('.').next() {
        Some("onnx") => GraphEncoding::Onnx,
        Some("tflite") => GraphEncoding::TensorflowLite,
        _ => GraphEncoding::Tensorflow,
    }
}

struct Call<'a> {
    model: &'a str,
    encoding: GraphEncoding,
    target: ExecutionTarget,
    pixels: Vec<f32>,
    sides: &'a [usize],
    kind: TensorType,
    input: usize,
    output: usize,
    room: usize,
}

impl Call<'_> {
    fn run(self) -> Result<(), Error> {
        let graph = GraphBuilder::new(self.encoding, self.target).build_from_bytes([file(self.model)])?;
        let mut context = graph.init_execution_context()?;
        context.set_input(self.input, self.kind, self.sides, &self.pixels)?;
        context.compute()?;
        let mut out = vec![0f32; self.room];
        let len = context.get_output(self.output, &mut out)?;
        println!("{len} bytes");
        print_top(&out);
        Ok(())
    }
}

fn files(model: &str, pixels: &[f32]) -> Result<(), Error> {
    let graph = GraphBuilder::default().encoding(encoding(model)).cpu().build_from_files([model])?;
    let mut context = graph.init_execution_context()?;
    context.set_input(0, TensorType::F32, &SIDES, pixels)?;
    context.compute()?;
    let mut out = [0f32; CLASSES];
    context.get_output(0, &mut out)?;
    print_top(&out);
    Ok(())
}

fn main() {
    let (name, a) = args();
    let mut call = Call {
        model: &a[0],
        encoding: encoding(&a[0]),
        target: ExecutionTarget::CPU,
        pixels: a.get(1).map(|f| picture(f)).unwrap_or_default(),
        sides: &SIDES,
        kind: TensorType::F32,
        input: 0,
        output: 0,
        room: CLASSES,
    };
    match name.as_str() {
        "classify" => (),
        "autodetect" => call.encoding = GraphEncoding::Autodetec,
        "wrong-encoding" => call.encoding = GraphEncoding::Pytorch,
        "gpu" => call.target = ExecutionTarget::GPU,
        "wrong-shape" => call.sides = &[1, 100, 100, 3],
        "wrong-type" => call.kind = TensorType::I32,
        "input-out-of-range" => call.input = 9,
        "output-out-of-range" => call.output = 9,
        "no-room" => call.room = 3,
        "files" | "by-name" => {
            let result = match name.as_str() {
                "files" => files(call.model, &call.pixels),
                _ => GraphBuilder::default().build_from_cache(call.model).map(|graph| println!("{graph}")),
            };
            return if let Err(e) = result { println!("error: {e}") };
        }
        _ => unknown(&name),
    }
    if let Err(e) = call.run() {
        println!("error: {e}");
    }
}

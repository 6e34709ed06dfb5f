//! tract MODEL.onnx RUNS PICTURE...: milliseconds of decoding and of the run, medians, as JSON; and the class with its probability.
use std::time::Instant;
use tract_onnx::prelude::*;

const SIDE: u32 = 224;

fn tensor(picture: &[u8]) -> Vec<f32> {
    let img = image::load_from_memory(picture).unwrap().to_rgb8();
    let small = image::imageops::thumbnail(&img, SIDE, SIDE);
    small.iter().map(|byte| f32::from(*byte) / 255.).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> TractResult<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let start = Instant::now();
    let shape = [1, SIDE as usize, SIDE as usize, 3];
    let mut model = tract_onnx::onnx().model_for_path(&args[0])?;
    model.set_input_fact(0, f32::fact(shape).into())?;
    let model = model.into_optimized()?.into_runnable()?;
    let ready = start.elapsed().as_secs_f64() * 1e3;
    let runs: usize = args[1].parse()?;

    for file in &args[2..] {
        let picture = std::fs::read(file)?;
        let (mut decode, mut run) = (Vec::new(), Vec::new());
        let mut best = (0, 0f32);
        for _ in 0..runs {
            let start = Instant::now();
            let input = Tensor::from_shape(&shape, &tensor(&picture))?;
            decode.push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            let output = model.run(tvec!(input.into()))?;
            run.push(start.elapsed().as_secs_f64() * 1e3);
            let scores = output[0].to_plain_array_view::<f32>()?;
            best = scores.iter().copied().enumerate().fold((0, -1.), |b, s| if s.1 > b.1 { s } else { b });
        }
        let first = run[0];
        println!(
            "{{\"ready_ms\": {ready:.1}, \"first_ms\": {:.2}, \"decode_ms\": {:.3}, \"run_ms\": {:.3}, \"class\": {}, \"probability\": {:.6}}}",
            first, median(decode), median(run), best.0, best.1
        );
    }
    Ok(())
}

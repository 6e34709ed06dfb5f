// Generated modules with what wasmtime made of them: every exported function called once, then the globals, memories and tables.
use std::io::{self, Write};

use arbitrary::Unstructured;
use wasmtime::{
    Config, Engine, Extern, ExternType, HeapType, Instance, Module, OptLevel, Store, ThrownException, Trap, Val,
    ValType,
};

use crate::{
    record::{hash, Out, Outcome, Value},
    rng::Rng,
};

// Loops and calls before a generated module stops itself; the global with what is left is exported, and filled again before each call.
pub const FUEL: u32 = 2000;
const FUEL_NAME: &str = "ssvm-fuel";

// The module with one more export, of global `index`.
pub fn export_global(bytes: &[u8], index: u32) -> Option<Vec<u8>> {
    let mut out = wasm_encoder::Module::new();
    let mut exports = wasm_encoder::ExportSection::new();
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        let payload = payload.ok()?;
        if let wasmparser::Payload::ExportSection(section) = &payload {
            for e in section.clone() {
                let e = e.ok()?;
                exports.export(e.name, e.kind.try_into().ok()?, e.index);
            }
            exports.export(FUEL_NAME, wasm_encoder::ExportKind::Global, index);
            out.section(&exports);
        } else if let Some((id, range)) = payload.as_section() {
            out.section(&wasm_encoder::RawSection { id, data: &bytes[range.start as usize..range.end as usize] });
        }
    }
    (!exports.is_empty()).then(|| out.finish())
}

pub fn engine() -> Engine {
    let mut c = Config::new();
    c.cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::None)
        .max_wasm_stack(1 << 20)
        .memory_guard_size(0)
        .memory_reservation(0)
        .memory_reservation_for_growth(0)
        .gc_heap_guard_size(0)
        .gc_heap_reservation(0)
        .wasm_backtrace_max_frames(None)
        .wasm_exceptions(true)
        .wasm_function_references(true)
        .wasm_gc(true)
        .wasm_memory64(true)
        .wasm_multi_memory(true)
        .wasm_tail_call(true)
        .wasm_threads(true);
    Engine::new(&c).expect("a valid configuration")
}

pub fn generate(rng: &mut Rng) -> Option<Vec<u8>> {
    let config = wasm_smith::Config {
        compact_imports_enabled: false,
        disallow_traps: !rng.chance(3),
        export_everything: true,
        max_exports: 1000,
        max_funcs: 12,
        max_imports: 0,
        max_instructions: 250,
        max_memories: 3,
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_table_elements: 100,
        max_tables: 3,
        max_types: 30,
        memory64_enabled: rng.chance(3),
        memory_max_size_required: true,
        min_funcs: 5,
        relaxed_simd_enabled: false, // the other engine fuses multiply and add
        simd_enabled: !rng.chance(3),
        table_max_size_required: true,
        threads_enabled: false, // waits would block
        wide_arithmetic_enabled: false,
        gc_enabled: rng.chance(2),
        ..wasm_smith::Config::default()
    };
    let n = 3000 + rng.below(20_000);
    let noise = rng.bytes(n);
    let mut m = wasm_smith::Module::new(config, &mut Unstructured::new(&noise)).ok()?;
    let fuel = m.ensure_termination(FUEL).ok()?;
    export_global(&m.to_bytes(), fuel)
}

// Numbers of trap.def.
fn trap_code(t: Trap) -> Option<u8> {
    Some(match t {
        Trap::UnreachableCodeReached => 1,
        Trap::MemoryOutOfBounds => 2,
        Trap::TableOutOfBounds => 3,
        Trap::ArrayOutOfBounds => 4,
        Trap::IndirectCallToNull => 6,
        Trap::BadSignature => 7,
        Trap::IntegerDivisionByZero => 8,
        Trap::IntegerOverflow => 9,
        Trap::BadConversionToInteger => 10,
        Trap::NullReference => 12,
        Trap::CastFailure => 18,
        Trap::HeapMisaligned => 19,
        Trap::AtomicWaitNonSharedMemory => 20,
        _ => return None, // stack, allocation sizes: limits
    })
}

pub fn outcome_of<T>(r: &wasmtime::Result<T>) -> Outcome {
    match r {
        Ok(_) => Outcome::Ok,
        Err(e) if e.is::<ThrownException>() => Outcome::Exception,
        Err(e) => match e.downcast_ref::<Trap>().and_then(|t| trap_code(*t)) {
            Some(code) => Outcome::Trap(code),
            None => Outcome::Unknown,
        },
    }
}

const INTS: [u64; 12] = [
    0, 1, 2, 7, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000, 0xffff_ffff_ffff_ffff,
];
const FLOATS: [f64; 10] = [0.0, -0.0, 1.0, -1.5, 0.5, 1e10, -3e38, 1e300, f64::INFINITY, f64::NEG_INFINITY];

// An argument of the type; None for references that cannot be null.
fn argument(rng: &mut Rng, ty: &ValType) -> Option<Val> {
    let int = if rng.chance(3) { rng.next() } else { INTS[rng.below(INTS.len())] };
    let float = FLOATS[rng.below(FLOATS.len())];
    Some(match ty {
        ValType::I32 => Val::I32(int as i32),
        ValType::I64 => Val::I64(int as i64),
        ValType::F32 => Val::F32((float as f32).to_bits()),
        ValType::F64 => Val::F64(float.to_bits()),
        ValType::V128 => Val::V128((u128::from(rng.next()) << 64 | u128::from(int)).into()),
        ValType::Ref(r) if r.is_nullable() => match r.heap_type().top() {
            HeapType::Func => Val::FuncRef(None),
            HeapType::Extern => Val::ExternRef(None),
            HeapType::Any => Val::AnyRef(None),
            HeapType::Exn => Val::ExnRef(None),
            _ => return None,
        },
        ValType::Ref(_) => return None,
    })
}

pub fn value(v: &Val) -> Value {
    match v {
        Val::I32(x) => Value::Bits(b'i', u128::from(*x as u32)),
        Val::I64(x) => Value::Bits(b'I', u128::from(*x as u64)),
        Val::F32(x) => Value::Bits(b'f', u128::from(*x)),
        Val::F64(x) => Value::Bits(b'F', u128::from(*x)),
        Val::V128(x) => Value::Bits(b'v', x.as_u128()),
        Val::FuncRef(r) => Value::Ref(r.is_none()),
        Val::ExternRef(r) => Value::Ref(r.is_none()),
        Val::AnyRef(r) => Value::Ref(r.is_none()),
        Val::ExnRef(r) => Value::Ref(r.is_none()),
        Val::ContRef(_) => Value::Ref(true),
    }
}

pub enum Call {
    Skipped, // no argument can be made
    Done(Outcome),
}

// Call export `name`.
pub fn call<W: Write>(
    store: &mut Store<()>,
    instance: &Instance,
    name: &str,
    rng: &mut Rng,
    out: &mut Out<W>,
) -> io::Result<Call> {
    let f = instance.get_func(&mut *store, name).expect("an exported function");
    let ty = f.ty(&*store);
    let Some(args) = ty.params().map(|t| argument(rng, &t)).collect::<Option<Vec<Val>>>() else {
        return Ok(Call::Skipped);
    };
    let mut results = vec![Val::I32(0); ty.results().len()];
    let fuel = instance.get_global(&mut *store, FUEL_NAME).expect("the fuel");
    fuel.set(&mut *store, Val::I32(FUEL as i32)).expect("a mutable global");
    let r = f.call(&mut *store, &args, &mut results);
    let o = outcome_of(&r);
    if o == Outcome::Exception {
        store.take_pending_exception();
    }
    out.u8(b'c')?;
    out.bytes(name.as_bytes())?;
    out.values(&args.iter().map(value).collect::<Vec<_>>())?;
    out.outcome(o)?;
    if o == Outcome::Ok {
        out.values(&results.iter().map(value).collect::<Vec<_>>())?;
    }
    Ok(Call::Done(o))
}

fn state<W: Write>(store: &mut Store<()>, e: &Extern, name: &str, out: &mut Out<W>) -> io::Result<()> {
    match e {
        Extern::Global(g) => {
            out.u8(b'g')?;
            out.bytes(name.as_bytes())?;
            let v = g.get(&mut *store);
            out.value(&value(&v))
        }
        Extern::Memory(m) => {
            out.u8(b'm')?;
            out.bytes(name.as_bytes())?;
            out.u64(m.data_size(&*store) as u64)?;
            out.u64(hash(m.data(&*store)))
        }
        Extern::Table(t) => {
            out.u8(b't')?;
            out.bytes(name.as_bytes())?;
            out.u64(t.size(&*store))
        }
        _ => Ok(()),
    }
}

fn one<W: Write>(engine: &Engine, rng: &mut Rng, bytes: &[u8], out: &mut Out<W>) -> io::Result<()> {
    let module = match Module::new(engine, bytes) {
        Ok(m) => m,
        Err(e) => {
            eprintln!("not compiled: {e:#}");
            return Ok(());
        }
    };
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]);
    let o = outcome_of(&instance);
    out.u8(b'X')?;
    out.bytes(bytes)?;
    out.outcome(o)?;
    let Ok(instance) = instance else {
        return out.u8(0);
    };
    for e in module.exports() {
        if !matches!(e.ty(), ExternType::Func(_)) {
            continue;
        }
        if let Call::Done(Outcome::Unknown) = call(&mut store, &instance, e.name(), rng, out)? {
            return out.u8(0);
        }
    }
    for e in module.exports() {
        let x = instance.get_export(&mut store, e.name()).expect("an export");
        state(&mut store, &x, e.name(), out)?;
    }
    out.u8(0)
}

pub fn run<W: Write>(n: u64, seed: u64, out: &mut Out<W>) -> io::Result<()> {
    let engine = engine();
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while done < n {
        if let Some(bytes) = generate(&mut rng) {
            one(&engine, &mut rng, &bytes, out)?;
            done += 1;
        }
    }
    Ok(())
}

// Counters for gas, injected into modules by the documented rule (doc/internals/interp.md) and run in another engine. The prices are
// read from opcode.def; where blocks begin, and what bulk operations cost beyond that, is written down here a second time on purpose.
use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::Path,
};

use wasm_encoder::{reencode::Reencode, Encode, Instruction as I};
use wasmparser::{BinaryReader, Operator as O, Payload};
use wasmtime::{Engine, ExternType, Instance, Module, Store, Val};

use crate::{
    exec::{self, Call},
    record::{Out, Outcome},
    rng::Rng,
};

const GAS_NAME: &str = "ssvm-gas";
const BYTES_PER_GAS: u32 = 6; // as a shift: one unit per 64 bytes or part of them
const GAS_PER_PAGE: i64 = 64;

// Price of every opcode: byte, or prefix << 16 | number.
pub fn prices(opcode_def: &str) -> HashMap<u32, i64> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.strip_prefix("OP(")?.split(',').map(str::trim).collect();
        let code = u32::from_str_radix(fields[1].strip_prefix("0x")?, 16).ok()?;
        Some((code, fields.last()?.trim_end_matches(')').parse().ok()?))
    };
    opcode_def.lines().filter_map(row).collect()
}

fn code_of(bytes: &[u8]) -> u32 {
    match bytes[0] {
        prefix @ (0xfb..=0xfe) => {
            u32::from(prefix) << 16 | BinaryReader::new(&bytes[1..], 0).read_var_u32().unwrap_or(0)
        }
        byte => u32::from(byte),
    }
}

// Does a new basic block begin after this instruction?
fn ends_block(op: &O<'_>) -> bool {
    matches!(
        op,
        O::Loop { .. }
            | O::If { .. }
            | O::Else
            | O::End
            | O::Br { .. }
            | O::BrIf { .. }
            | O::BrTable { .. }
            | O::BrOnNull { .. }
            | O::BrOnNonNull { .. }
            | O::BrOnCast { .. }
            | O::BrOnCastFail { .. }
            | O::Return
            | O::ReturnCall { .. }
            | O::ReturnCallIndirect { .. }
            | O::ReturnCallRef { .. }
            | O::Throw { .. }
            | O::ThrowRef
            | O::Unreachable
    )
}

// What an operation costs by the size of its work.
enum Extra {
    None,
    Bytes { wide: bool, size: i64 }, // the length is on top of the stack, in things of `size` bytes
    Fixed(i64),
    Elems { wide: bool },
    GrowPages { wide: bool }, // delta on top, result -1 on failure
    GrowElems { wide: bool },
}

#[derive(Default)]
struct Types {
    memory64: Vec<bool>,
    table64: Vec<bool>,
    params: Vec<u32>,    // of every type
    functions: Vec<u32>, // type of every function, imports first
    element: Vec<i64>,   // bytes of an element, of every type; 0 for others than arrays
    imported_functions: usize,
    globals: u32,
}

fn units(bytes: i64) -> i64 {
    (bytes + (1 << BYTES_PER_GAS) - 1) >> BYTES_PER_GAS
}

fn size_of(t: wasmparser::StorageType) -> i64 {
    match t {
        wasmparser::StorageType::I8 => 1,
        wasmparser::StorageType::I16 => 2,
        wasmparser::StorageType::Val(v) => match v {
            wasmparser::ValType::I32 | wasmparser::ValType::F32 => 4,
            wasmparser::ValType::V128 => 16,
            _ => 8,
        },
    }
}

impl Types {
    fn extra(&self, op: &O<'_>) -> Extra {
        let memory = |m: u32| self.memory64[m as usize];
        let table = |t: u32| self.table64[t as usize];
        let array = |t: u32| Extra::Bytes { wide: false, size: self.element[t as usize] };
        match *op {
            O::MemoryFill { mem } => Extra::Bytes { wide: memory(mem), size: 1 },
            O::MemoryCopy { dst_mem, src_mem } => Extra::Bytes { wide: memory(dst_mem) && memory(src_mem), size: 1 },
            O::MemoryInit { .. } => Extra::Bytes { wide: false, size: 1 },
            O::TableInit { .. } => Extra::Elems { wide: false },
            O::TableFill { table: t } => Extra::Elems { wide: table(t) },
            O::TableCopy { dst_table, src_table } => Extra::Elems { wide: table(dst_table) && table(src_table) },
            O::MemoryGrow { mem } => Extra::GrowPages { wide: memory(mem) },
            O::TableGrow { table: t } => Extra::GrowElems { wide: table(t) },
            O::ArrayNew { array_type_index: t }
            | O::ArrayNewDefault { array_type_index: t }
            | O::ArrayNewData { array_type_index: t, .. }
            | O::ArrayNewElem { array_type_index: t, .. }
            | O::ArrayFill { array_type_index: t }
            | O::ArrayCopy { array_type_index_dst: t, .. }
            | O::ArrayInitData { array_type_index: t, .. }
            | O::ArrayInitElem { array_type_index: t, .. } => array(t),
            O::ArrayNewFixed { array_type_index: t, array_size } => {
                Extra::Fixed(units(self.element[t as usize] * i64::from(array_size)))
            }
            _ => Extra::None,
        }
    }

    // What evaluating a constant expression costs: its arrays. None when a length is more than a sum of constants.
    fn const_cost(&self, e: &wasmparser::ConstExpr<'_>) -> Option<i64> {
        let mut stack: Vec<Option<i64>> = Vec::new();
        let mut cost = 0;
        for op in e.get_operators_reader() {
            match op.ok()? {
                O::I32Const { value } => stack.push(Some(i64::from(value as u32))),
                O::I32Add => {
                    let (b, a) = (stack.pop()??, stack.pop()??);
                    stack.push(Some((a + b) & 0xffff_ffff));
                }
                O::I32Sub => {
                    let (b, a) = (stack.pop()??, stack.pop()??);
                    stack.push(Some((a - b) & 0xffff_ffff));
                }
                O::I32Mul => {
                    let (b, a) = (stack.pop()??, stack.pop()??);
                    stack.push(Some((a as u32).wrapping_mul(b as u32).into()));
                }
                O::ArrayNew { array_type_index } | O::ArrayNewDefault { array_type_index } => {
                    cost += units(stack.pop()?? * self.element[array_type_index as usize]);
                    stack.clear(); // whatever it was made of is not a length any more
                    stack.push(None);
                }
                O::ArrayNewFixed { array_type_index, array_size } => {
                    cost += units(i64::from(array_size) * self.element[array_type_index as usize]);
                    stack.push(None);
                }
                _ => stack.push(None),
            }
        }
        Some(cost)
    }

    // Everything that instantiation pays for, but the start function.
    fn start_cost(&self, module: &[u8]) -> Option<i64> {
        let mut cost = 0;
        for payload in wasmparser::Parser::new(0).parse_all(module) {
            match payload.ok()? {
                Payload::GlobalSection(r) => {
                    for g in r {
                        cost += self.const_cost(&g.ok()?.init_expr)?;
                    }
                }
                Payload::TableSection(r) => {
                    for t in r {
                        if let wasmparser::TableInit::Expr(e) = t.ok()?.init {
                            cost += self.const_cost(&e)?;
                        }
                    }
                }
                Payload::ElementSection(r) => {
                    for e in r {
                        let e = e.ok()?;
                        let n = match e.items {
                            wasmparser::ElementItems::Functions(f) => i64::from(f.count()),
                            wasmparser::ElementItems::Expressions(_, x) => {
                                let n = i64::from(x.count());
                                for item in x {
                                    cost += self.const_cost(&item.ok()?)?;
                                }
                                n
                            }
                        };
                        if let wasmparser::ElementKind::Active { .. } = e.kind {
                            cost += n;
                        }
                    }
                }
                Payload::DataSection(r) => {
                    for d in r {
                        let d = d.ok()?;
                        if let wasmparser::DataKind::Active { .. } = d.kind {
                            cost += units(d.data.len() as i64);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(cost)
    }
}

fn emit(out: &mut Vec<u8>, list: &[I<'_>]) {
    list.iter().for_each(|i| i.encode(out));
}

struct Scratch {
    gas: u32, // global
    n32: u32, // locals
    n64: u32,
    r32: u32,
    r64: u32,
}

fn before(out: &mut Vec<u8>, s: &Scratch, extra: &Extra) {
    match extra {
        Extra::None | Extra::Fixed(_) => {}
        Extra::Bytes { wide, .. } | Extra::Elems { wide } | Extra::GrowPages { wide } | Extra::GrowElems { wide } => {
            emit(out, &[I::LocalTee(if *wide { s.n64 } else { s.n32 })]);
        }
    }
}

fn after(out: &mut Vec<u8>, s: &Scratch, extra: &Extra) {
    let (wide, grows) = match extra {
        Extra::None => return,
        Extra::Fixed(n) => return emit(out, &[I::GlobalGet(s.gas), I::I64Const(*n), I::I64Add, I::GlobalSet(s.gas)]),
        Extra::Bytes { wide, .. } | Extra::Elems { wide } => (*wide, false),
        Extra::GrowPages { wide } | Extra::GrowElems { wide } => (*wide, true),
    };
    if grows && wide {
        emit(out, &[I::LocalTee(s.r64), I::LocalGet(s.r64), I::I64Const(-1), I::I64Ne]);
    } else if grows {
        emit(out, &[I::LocalTee(s.r32), I::LocalGet(s.r32), I::I32Const(-1), I::I32Ne]);
    }
    if grows {
        emit(out, &[I::If(wasm_encoder::BlockType::Empty)]);
    }
    emit(out, &[I::GlobalGet(s.gas)]);
    if wide {
        emit(out, &[I::LocalGet(s.n64)]);
    } else {
        emit(out, &[I::LocalGet(s.n32), I::I64ExtendI32U]);
    }
    match extra {
        Extra::Bytes { size, .. } => {
            let round = (1i64 << BYTES_PER_GAS) - 1;
            emit(out, &[I::I64Const(*size), I::I64Mul, I::I64Const(round), I::I64Add, I::I64Const(BYTES_PER_GAS.into()), I::I64ShrU]);
        }
        Extra::GrowPages { .. } => emit(out, &[I::I64Const(GAS_PER_PAGE), I::I64Mul]),
        _ => {}
    }
    emit(out, &[I::I64Add, I::GlobalSet(s.gas)]);
    if grows {
        emit(out, &[I::End]);
    }
}

struct Op<'a> {
    op: O<'a>,
    bytes: &'a [u8],
}

fn body(
    types: &Types,
    prices: &HashMap<u32, i64>,
    function: &wasmparser::FunctionBody<'_>,
    params: u32,
    module: &[u8],
) -> Option<Vec<u8>> {
    let mut locals: Vec<(u32, wasm_encoder::ValType)> = Vec::new();
    let mut reencode = wasm_encoder::reencode::RoundtripReencoder;
    let mut first = params;
    for l in function.get_locals_reader().ok()? {
        let (n, ty) = l.ok()?;
        locals.push((n, reencode.val_type(ty).ok()?));
        first += n;
    }
    let s = Scratch { gas: types.globals, n32: first, n64: first + 1, r32: first + 2, r64: first + 3 };
    use wasm_encoder::ValType::{I32, I64};
    locals.extend([(1, I32), (1, I64), (1, I32), (1, I64)]);
    let mut out = Vec::new();
    locals.len().encode(&mut out);
    for (n, ty) in &locals {
        n.encode(&mut out);
        ty.encode(&mut out);
    }

    let mut reader = function.get_operators_reader().ok()?;
    let mut ops = Vec::new();
    while !reader.eof() {
        let from = reader.original_position() as usize;
        let op = reader.read().ok()?;
        ops.push(Op { op, bytes: &module[from..reader.original_position() as usize] });
    }
    let mut block_begins = true;
    for (i, Op { op, bytes }) in ops.iter().enumerate() {
        if block_begins {
            // All of the block is paid at its first instruction.
            let n = ops[i..].iter().position(|o| ends_block(&o.op)).map_or(ops.len(), |k| i + k + 1);
            let cost: i64 = ops[i..n].iter().map(|o| prices.get(&code_of(o.bytes)).copied().unwrap_or(1)).sum();
            // A closing `end` of the function, or `else`, must stay where it is: nothing can be put before them in dead code, but that
            // is valid wasm all the same.
            if cost != 0 {
                emit(&mut out, &[I::GlobalGet(s.gas), I::I64Const(cost), I::I64Add, I::GlobalSet(s.gas)]);
            }
        }
        let extra = types.extra(op);
        before(&mut out, &s, &extra);
        out.extend_from_slice(bytes);
        after(&mut out, &s, &extra);
        block_begins = ends_block(op);
    }
    Some(out)
}

fn types_of(module: &[u8]) -> Option<Types> {
    let mut types = Types::default();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::TypeSection(r) => {
                for group in r {
                    for t in group.ok()?.into_types() {
                        let (params, element) = match &t.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(f) => (f.params().len() as u32, 0),
                            wasmparser::CompositeInnerType::Array(a) => (0, size_of(a.0.element_type)),
                            _ => (0, 0),
                        };
                        types.params.push(params);
                        types.element.push(element);
                    }
                }
            }
            Payload::ImportSection(r) => {
                for i in r.into_imports() {
                    match i.ok()?.ty {
                        wasmparser::TypeRef::Func(t) => {
                            types.functions.push(t);
                            types.imported_functions += 1;
                        }
                        wasmparser::TypeRef::Memory(m) => types.memory64.push(m.memory64),
                        wasmparser::TypeRef::Table(t) => types.table64.push(t.table64),
                        wasmparser::TypeRef::Global(_) => types.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(r) => {
                for t in r {
                    types.functions.push(t.ok()?);
                }
            }
            Payload::MemorySection(r) => {
                for m in r {
                    types.memory64.push(m.ok()?.memory64);
                }
            }
            Payload::TableSection(r) => {
                for t in r {
                    types.table64.push(t.ok()?.ty.table64);
                }
            }
            Payload::GlobalSection(r) => types.globals += r.count(),
            _ => {}
        }
    }
    Some(types)
}

// The module with counters, which are exported as GAS_NAME. None when it does something that this tool does not price.
pub fn inject(module: &[u8], prices: &HashMap<u32, i64>) -> Option<Vec<u8>> {
    let types = types_of(module)?;
    let at_start = types.start_cost(module)?;
    let mut out = wasm_encoder::Module::new();
    let mut code = wasm_encoder::CodeSection::new();
    let mut left = 0;
    let mut has_globals = false;
    let mut function = 0;
    let gas_type = wasm_encoder::GlobalType { val_type: wasm_encoder::ValType::I64, mutable: true, shared: false };
    let raw = |range: std::ops::Range<u64>| &module[range.start as usize..range.end as usize];
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let payload = payload.ok()?;
        match &payload {
            Payload::GlobalSection(r) => {
                has_globals = true;
                // The old globals as they are, one more at the end.
                let mut data = Vec::new();
                (r.count() + 1).encode(&mut data);
                let old = raw(r.range());
                let mut skip = BinaryReader::new(old, 0);
                skip.read_var_u32().ok()?;
                data.extend_from_slice(&old[skip.original_position() as usize..]);
                gas_type.encode(&mut data);
                emit(&mut data, &[I::I64Const(at_start), I::End]);
                out.section(&wasm_encoder::RawSection { id: 6, data: &data });
            }
            Payload::ExportSection(r) => {
                if !has_globals {
                    let mut globals = wasm_encoder::GlobalSection::new();
                    globals.global(gas_type, &wasm_encoder::ConstExpr::i64_const(at_start));
                    out.section(&globals);
                    has_globals = true;
                }
                let mut exports = wasm_encoder::ExportSection::new();
                for e in r.clone() {
                    let e = e.ok()?;
                    exports.export(e.name, e.kind.try_into().ok()?, e.index);
                }
                exports.export(GAS_NAME, wasm_encoder::ExportKind::Global, types.globals);
                out.section(&exports);
            }
            Payload::CodeSectionEntry(f) => {
                let index = types.imported_functions + function;
                let params = types.params[types.functions[index] as usize];
                code.raw(&body(&types, prices, f, params, module)?);
                function += 1;
                left -= 1;
                if left == 0 {
                    out.section(&code);
                }
            }
            Payload::CodeSectionStart { count, .. } => left = *count,
            Payload::CustomSection(_) => {}
            p => {
                if let Some((id, range)) = p.as_section() {
                    out.section(&wasm_encoder::RawSection { id, data: raw(range) });
                }
            }
        }
    }
    Some(out.finish())
}

fn gas_of(store: &mut Store<()>, instance: &Instance) -> u64 {
    let gas = instance.get_global(&mut *store, GAS_NAME).expect("the counter").get(&mut *store);
    match gas {
        Val::I64(n) => n as u64,
        _ => 0,
    }
}

fn one<W: Write>(engine: &Engine, rng: &mut Rng, bytes: &[u8], counted: &[u8], out: &mut Out<W>) -> io::Result<()> {
    let module = match Module::new(engine, counted) {
        Ok(m) => m,
        Err(e) => {
            eprintln!("the injected module is wrong: {e:#}");
            return Ok(());
        }
    };
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]);
    let o = exec::outcome_of(&instance);
    out.u8(b'X')?;
    out.bytes(bytes)?;
    out.outcome(o)?;
    let Ok(instance) = instance else {
        return out.u8(0);
    };
    for e in module.exports().filter(|e| matches!(e.ty(), ExternType::Func(_))) {
        match exec::call(&mut store, &instance, e.name(), rng, out)? {
            Call::Skipped => {}
            Call::Done(Outcome::Unknown) => return out.u8(0),
            Call::Done(_) => {
                out.u8(b'$')?;
                out.u64(gas_of(&mut store, &instance))?;
            }
        }
    }
    out.u8(0)
}

// Beside N generated modules: `inject OPCODE.DEF IN OUT` in `files` writes the module with counters.
pub fn run<W: Write>(n: u64, seed: u64, files: &[String], out: &mut Out<W>) -> io::Result<()> {
    let Some(opcode_def) = files.first() else {
        return Err(io::Error::other("gas N SEED OPCODE.DEF [IN OUT]"));
    };
    let prices = prices(&fs::read_to_string(opcode_def)?);
    if let [_, from, to] = files {
        let counted = inject(&fs::read(from)?, &prices).ok_or_else(|| io::Error::other("cannot be priced"))?;
        return fs::write(Path::new(to), counted);
    }
    let engine = exec::engine();
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while done < n {
        let Some(bytes) = exec::generate(&mut rng) else {
            continue;
        };
        if let Some(counted) = inject(&bytes, &prices) {
            one(&engine, &mut rng, &bytes, &counted, out)?;
            done += 1;
        }
    }
    Ok(())
}

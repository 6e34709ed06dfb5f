(module
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "three") (result i32 f64 i64) (i32.const 1) (f64.const 2.5) (i64.const -3))
  (func (export "halve") (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5)))
  (func (export "none"))
  (func (export "pair") (param i32 i32)))

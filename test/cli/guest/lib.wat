;; A library: functions to name, a reactor's initialiser, traps and loops.
(module
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 1)))
  (func (export "ready") (result i32) (global.get $ready))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $inner unreachable)
  (func (export "trap") (call $inner))
  (func (export "loop") (loop $l (br $l)))
  (func $deep (export "deep") (call $deep))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (result i32) (i32.load (i32.const 65533))))

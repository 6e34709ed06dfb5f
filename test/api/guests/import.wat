;; One import of each kind.
(module
  (import "lib" "add" (func $add (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1 4))
  (import "lib" "table" (table 4 10 funcref))
  (import "lib" "var" (global $var (mut i64)))
  (func (export "add3") (param i32 i32 i32) (result i32)
    (call $add (call $add (local.get 0) (local.get 1)) (local.get 2)))
  (func (export "poke") (i32.store8 (i32.const 5) (i32.const 77)) (global.set $var (i64.const 99)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect (param i32 i32) (result i32) (i32.const 20) (i32.const 22) (local.get 0))))

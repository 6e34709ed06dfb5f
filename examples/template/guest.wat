;; Counts its calls: a fresh instance always answers 1.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
  (global $calls (mut i32) (i32.const 0))
  (memory (export "memory") 1)
  (func (export "call") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls)))

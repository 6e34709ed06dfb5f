;; Prints its environment, one variable a line.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $i i32) (local $len i32)
    (drop (call $sizes (i32.const 32) (i32.const 36)))
    (drop (call $get (i32.const 1024) (i32.const 4096)))
    (local.set $len (i32.load (i32.const 36)))
    (loop $l
      (if (i32.lt_u (local.get $i) (local.get $len)) (then
        (if (i32.eqz (i32.load8_u offset=4096 (local.get $i))) (then (i32.store8 offset=4096 (local.get $i) (i32.const 10))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $l))))
    (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))

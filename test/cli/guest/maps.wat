;; Copies the file `self/maps` of the first preopened folder (/proc) to standard output. `check` traps unless the data that the test
;; puts behind the module are there: 128 KiB of 'A' from 64 KiB on.
(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func $check (export "check") (local $i i32)
    (local.set $i (i32.const 65536))
    (loop $next
      (if (i32.ne (i32.load8_u (local.get $i)) (i32.const 65)) (then unreachable))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 196608))))
    (i32.store8 (i32.const 65536) (i32.const 66)))
  (func (export "_start")
    (call $check)
    (i32.store (i32.const 0) (i32.const 0x666c6573)) ;; self/maps
    (i32.store (i32.const 4) (i32.const 0x70616d2f))
    (i32.store8 (i32.const 8) (i32.const 115))
    (if (call $open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16))
      (then unreachable))
    (i32.store (i32.const 32) (i32.const 1024))
    (loop $more
      (i32.store (i32.const 36) (i32.const 4096))
      (if (call $read (i32.load (i32.const 16)) (i32.const 32) (i32.const 1) (i32.const 24)) (then unreachable))
      (i32.store (i32.const 36) (i32.load (i32.const 24)))
      (if (i32.load (i32.const 24))
        (then
          (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 28)))
          (br $more))))))

;; Calls of the host, and back.
(module
  (import "host" "sum" (func $sum (param i32 i64 f32 f64) (result f64)))
  (import "host" "ref" (func $ref (param externref funcref) (result externref)))
  (import "host" "fail" (func $fail (param i32)))
  (import "host" "again" (func $again (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sum") (result f64)
    (call $sum (i32.const 1) (i64.const 2) (f32.const 3.5) (f64.const 4.25)))
  (func $self (export "ref") (param externref) (result externref)
    (call $ref (local.get 0) (ref.null func)))
  (func (export "fail") (param i32) (call $fail (local.get 0)))
  ;; down(n): n levels of guest and host in turn
  (func (export "down") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $again (i32.sub (local.get 0) (i32.const 1)))))))
  (func (export "trap") (param i32) (result i32) (unreachable)))

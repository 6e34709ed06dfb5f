;; Asks the meter (doc/format/meter.md). Costs are 1 for each instruction, 10 and 20 for the calls.
(module
  (import "ssvm_meter" "gas_used" (func $gas_used (result i64)))
  (import "ssvm_meter" "gas_left" (func $gas_left (result i64)))
  (import "ssvm_meter" "cpu_used" (func $cpu_used (result i64)))
  (import "ssvm_meter" "cpu_left" (func $cpu_left (result i64)))
  (import "ssvm_meter" "wall_used" (func $wall_used (result i64)))
  (import "ssvm_meter" "wall_left" (func $wall_left (result i64)))
  (import "ssvm_meter" "memory_used" (func $memory_used (result i64)))
  (import "ssvm_meter" "memory_peak" (func $memory_peak (result i64)))
  (import "ssvm_meter" "memory_limit" (func $memory_limit (result i64)))
  (memory 1)
  (export "gas_left" (func $left))
  (export "cpu_left" (func $cpu_left))
  (export "wall_left" (func $wall_left))
  (export "memory_limit" (func $memory_limit))
  (func $left (result i64) (call $gas_left)) ;; 1 and 10
  ;; 10 for the second call.
  (func (export "second") (result i64)
    (i64.sub (i64.sub (i64.const 0) (call $gas_used)) (i64.sub (i64.const 0) (call $gas_used))))
  ;; What was used and what is left, the second call between them.
  (func (export "sum") (result i64) (i64.add (call $gas_used) (call $gas_left)))
  ;; i turns, and the gas of all.
  (func (export "turns") (param $i i32) (result i64)
    (loop $more
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (br_if $more (local.get $i)))
    (call $gas_used))
  ;; A copy and a fill, and the gas of all: five instructions, ten for the call, and the bytes.
  (func (export "copied") (param $to i32) (param $n i32) (result i64)
    (memory.copy (local.get $to) (i32.const 0) (local.get $n))
    (call $gas_used))
  (func (export "filled") (param $to i32) (param $n i32) (result i64)
    (memory.fill (local.get $to) (i32.const 7) (local.get $n))
    (call $gas_used))
  ;; Stops by itself when less than so much is left; the number of turns.
  (func (export "until") (param $left i64) (result i64)
    (local $n i64)
    (loop $more
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $more (i64.ge_u (call $gas_left) (local.get $left))))
    (local.get $n))
  (func (export "memory") (result i64 i64 i64)
    (call $memory_used)
    (drop (memory.grow (i32.const 3)))
    (call $memory_used)
    (call $memory_peak))
  ;; ns that a loop of i turns took, as both clocks say.
  (func (export "time") (param $i i32) (result i64 i64)
    (local $cpu i64) (local $wall i64)
    (local.set $cpu (call $cpu_used))
    (local.set $wall (call $wall_used))
    (loop $more
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (br_if $more (i64.lt_u (i64.sub (call $wall_used) (local.get $wall)) (i64.const 20000000))))
    (i64.sub (call $cpu_used) (local.get $cpu))
    (i64.sub (call $wall_used) (local.get $wall)))
)

;; Two functions that work, one nine times as much as the other.
(module
  (memory 1)
  (global $sum (mut i32) (i32.const 1))
  (func $hot (param $n i32)
    (loop $again
      (global.set $sum (i32.add (i32.mul (global.get $sum) (i32.const 1103515245)) (i32.const 12345)))
      (i32.store (i32.and (global.get $sum) (i32.const 0xfffc)) (local.get $n))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $cool (param $n i32)
    (loop $again
      (global.set $sum (i32.xor (i32.mul (global.get $sum) (i32.const 69069)) (i32.const 1)))
      (i32.store (i32.and (global.get $sum) (i32.const 0xfffc)) (local.get $n))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $main (export "work") (param $rounds i32) (result i32)
    (loop $again
      (call $hot (i32.const 900))
      (call $cool (i32.const 100))
      (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (global.get $sum))
  (func (export "deep") (param $depth i32) (param $n i32)
    (if (local.get $depth)
      (then (call 3 (i32.sub (local.get $depth) (i32.const 1)) (local.get $n)))
      (else (call $hot (local.get $n)))))
  (func $odd____12345 (export "odd") (param $n i32) (call $hot (local.get $n)))
  (func (export "trap") (call $hot (i32.const 30000000)) unreachable))

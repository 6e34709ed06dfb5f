;; Long runs of one frame, for going over to native code: `switch` in the middle of a loop with operands below it, parameters, vectors;
;; functions by each kind of call; a recursion that is under way. $n is about the number of turns.
(module
  (type $unary (func (param i64) (result i64)))
  (memory 1)
  (table (export "table") 2 funcref)
  (elem (i32.const 0) $mix $mix2)
  (global $calls (mut i64) (i64.const 0))
  (func $mix (param $x i64) (result i64) (local $i i32)
    (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
    (loop $l
      (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 20))))
    (local.get $x))
  (func $mix2 (export "mix2") (param $x i64) (result i64) (i64.xor (call $mix (local.get $x)) (i64.const 7)))
  (func $pair (param i64) (result i64 i64) (call $mix (local.get 0)) (i64.rotl (local.get 0) (i64.const 3)))

  ;; Three operands of three types lie below, two parameters go round.
  (func (export "loop") (param $n i64) (result i64) (local $v v128) (local $sum i64) (local $f f64)
    (f64.const 0.5)
    (i64.const 1000)
    (v128.const i32x4 1 2 3 4)
    (i64.const 1) (local.get $n)
    (loop $l (param i64 i64) (result i64)
      (local.set $n)
      (i64.add (i64.mul (i64.const 3935559000370003845)) (i64.const 2691343689449507681))
      (local.set $sum)
      (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $sum))))
      (local.set $f (f64.add (local.get $f) (f64.convert_i64_u (i64.and (local.get $n) (i64.const 3)))))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (local.get $sum) (local.get $n)
      (br_if $l (i64.ne (local.get $n) (i64.const 0)))
      (drop))
    (local.set $sum)
    (local.set $v (i64x2.add (local.get $v)))
    (local.set $sum (i64.add (local.get $sum)))
    (local.set $f (f64.add (local.get $f)))
    (i64.add (local.get $sum)
      (i64.add (i64.xor (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))
        (i64.trunc_f64_u (local.get $f)))))

  ;; The loop that runs is the inner one of two, and the outer one goes on from there.
  (func (export "nested") (param $n i64) (result i64) (local $i i64) (local $j i64) (local $sum i64)
    (loop $outer
      (local.set $j (i64.const 0))
      (i64.const 17)
      (loop $inner
        (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.xor (local.get $i) (local.get $j))))
        (local.set $j (i64.add (local.get $j) (i64.const 1)))
        (br_if $inner (i64.lt_u (local.get $j) (i64.div_u (local.get $n) (i64.const 2)))))
      (local.set $sum (i64.add (local.get $sum)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $outer (i64.lt_u (local.get $i) (i64.const 2))))
    (local.get $sum))

  (func (export "calls") (param $n i64) (result i64) (local $x i64)
    (local.set $n (i64.div_u (local.get $n) (i64.const 80)))
    (loop $l
      (local.set $x (call $mix (local.get $x)))
      (local.set $x (call_indirect (type $unary) (local.get $x) (i32.and (i32.wrap_i64 (local.get $n)) (i32.const 1))))
      (local.set $x (i64.add (call $pair (local.get $x))))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $l (i64.ne (local.get $n) (i64.const 0))))
    (i64.add (local.get $x) (global.get $calls)))

  ;; Interpreted frames wait below while the innermost runs, and go on with loops of their own.
  (func $deep (export "deep") (param $depth i64) (param $n i64) (result i64) (local $x i64) (local $i i64)
    (if (i64.ne (local.get $depth) (i64.const 0)) (then
      (local.set $x (call $deep (i64.sub (local.get $depth) (i64.const 1)) (local.get $n))))
    (else
      (local.set $i (i64.mul (local.get $n) (i64.const 1)))
      (loop $l
        (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 3)) (local.get $i)))
        (local.set $i (i64.sub (local.get $i) (i64.const 1)))
        (br_if $l (i64.ne (local.get $i) (i64.const 0))))))
    (loop $after
      (local.set $x (i64.xor (i64.rotl (local.get $x) (i64.const 5)) (local.get $depth)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $after (i64.lt_u (local.get $i) (i64.const 1000))))
    (local.get $x))

  (func (export "forever") (loop $l (br $l)))
  (func (export "trap") (param $n i64)
    (loop $l
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $l (i64.ne (local.get $n) (i64.const 0))))
    (unreachable)))

;; An initialiser that is given something.
(module
  (global $sum (mut i32) (i32.const 0))
  (memory (export "memory") 1)
  (func (export "add_up") (param i32 i32) (global.set $sum (i32.add (local.get 0) (local.get 1))))
  (func (export "sum") (result i32) (global.get $sum)))

(module
  (import "host" "say" (func $say (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "twenty-one is half of ")
  (func (export "run") (param $n i32) (result i32)
    (i32.mul (call $say (i32.const 0) (i32.const 22)) (local.get $n)))
  (func (export "bad") (result i32)
    (call $say (i32.const 65530) (i32.const 100))))

(module
  (import "env" "mem" (memory 1))
  (import "env" "t" (table 2 funcref))
  (func $s)
  (start $s)
  (elem (i32.const 0) func $s)
  (data (i32.const 8) "in")
  (data (i32.const 65535) "out")
)

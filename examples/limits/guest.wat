(module
  (memory 1)
  (func (export "spin") (loop $again (br $again)))
  (func (export "grow") (result i32) (memory.grow (i32.const 100))))

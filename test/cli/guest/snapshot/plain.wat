;; Initialisers that fail, and modules whose state lies elsewhere.
(module
  (memory (export "m") 1)
  (func (export "nothing"))
  (func (export "stop") unreachable)
  (func (export "takes") (param i32)))

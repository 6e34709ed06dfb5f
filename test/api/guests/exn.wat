;; Exceptions through host frames.
(module
  (import "host" "pass" (func $pass (param i32) (result i32)))
  (tag $t (param i32))
  (func (export "throw") (param i32) (throw $t (local.get 0)))
  (func (export "catch") (param i32) (result i32)
    (try (result i32)
      (do (call $pass (local.get 0)))
      (catch $t))))

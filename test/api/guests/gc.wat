;; References to objects of the garbage collector. gc.wasm is this, assembled by binaryen's wasm-as --all-features.
(module
  (type $box (struct (field (mut i32))))
  (tag $t)
  (func (export "exn") (result exnref)
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (throw $t))
      (unreachable)))
  (func (export "rethrow") (param exnref) (throw_ref (local.get 0)))
  (func (export "new") (param i32) (result anyref) (struct.new $box (local.get 0)))
  (func (export "get") (param anyref) (result i32) (struct.get $box 0 (ref.cast (ref $box) (local.get 0))))
  (func (export "i31") (param i32) (result anyref) (ref.i31 (local.get 0)))
  (func (export "out") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "in") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "churn") (param i32)
    (loop $l
      (drop (struct.new $box (i32.const 7)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $l (local.get 0)))))

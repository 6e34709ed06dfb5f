;; Threads that call the embedder (0), exit (1), wait (2), trap (3); words: 0 how many are done, 64 what nobody wakes.
(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "host" "note" (func $note (param i32) (result i32)))
  (import "env" "memory" (memory 1 4 shared))
  (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $done (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))
  (func $for_ever (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1))))
  (func (export "wasi_thread_start") (param $id i32) (param $what i32) (local $i i32)
    (if (i32.eq (local.get $what) (i32.const 1)) (then (call $exit (i32.const 7))))
    (if (i32.eq (local.get $what) (i32.const 2)) (then (call $for_ever)))
    (if (i32.eq (local.get $what) (i32.const 3)) (then (unreachable)))
    (loop $again
      (if (i32.ne (call $note (local.get $i)) (i32.mul (local.get $i) (i32.const 2))) (then (unreachable)))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
    (call $done))
  (func (export "notes") (param $n i32) (result i32) (local $i i32) (local $have i32)
    (i32.atomic.store (i32.const 0) (i32.const 0))
    (loop $start
      (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then (unreachable)))
      (br_if $start (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (loop $wait
      (local.set $have (i32.atomic.load (i32.const 0)))
      (if (i32.lt_u (local.get $have) (local.get $n))
        (then (drop (memory.atomic.wait32 (i32.const 0) (local.get $have) (i64.const -1))) (br $wait))))
    (local.get $have))
  (func (export "ended") (param $what i32)
    (drop (call $spawn (i32.const 2))) (drop (call $spawn (local.get $what))) (drop (call $note (i32.const -1))) (call $for_ever)))

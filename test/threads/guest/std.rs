//! What Rust's standard library makes of threads: join, locks, channels, scopes, thread-local data, panics.
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

thread_local!(static MINE: Cell<u32> = const { Cell::new(1) });

fn main() {
    let sum = Arc::new(Mutex::new(0u64));
    let threads: Vec<_> = (0..4u64)
        .map(|i| {
            let sum = sum.clone();
            thread::spawn(move || {
                for _ in 0..1000 {
                    *sum.lock().unwrap() += i;
                }
                MINE.with(|m| m.set(m.get() + i as u32));
                MINE.with(|m| m.get())
            })
        })
        .collect();
    let mine: Vec<u32> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    println!("{} {:?} {}", sum.lock().unwrap(), mine, MINE.with(|m| m.get()));

    let (to, from) = mpsc::channel();
    for i in 0..3 {
        let to = to.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            to.send(i).unwrap();
        });
    }
    drop(to);
    let mut got: Vec<i32> = from.iter().collect();
    got.sort();
    println!("{got:?}");

    let mut parts = [1u64, 2, 3, 4];
    let barrier = Barrier::new(4);
    let counted = AtomicU64::new(0);
    thread::scope(|s| {
        for p in &mut parts {
            let (barrier, counted) = (&barrier, &counted);
            s.spawn(move || {
                counted.fetch_add(*p, Ordering::Relaxed);
                barrier.wait();
                *p = counted.load(Ordering::Relaxed);
            });
        }
    });
    println!("{parts:?}");

    let pair = Arc::new((Mutex::new(false), Condvar::new(), RwLock::new(String::new())));
    let other = pair.clone();
    let t = thread::spawn(move || {
        other.2.write().unwrap().push_str("written");
        *other.0.lock().unwrap() = true;
        other.1.notify_one();
    });
    let mut ready = pair.0.lock().unwrap();
    while !*ready {
        ready = pair.1.wait(ready).unwrap();
    }
    println!("{}", pair.2.read().unwrap());
    t.join().unwrap();
    if std::env::args().nth(1).as_deref() == Some("panic") {
        thread::spawn(|| panic!("of a thread")).join().unwrap_err();
    }
    if std::env::args().nth(1).as_deref() == Some("exit") {
        thread::spawn(|| std::process::exit(17));
        thread::sleep(Duration::from_secs(3600));
    }
}

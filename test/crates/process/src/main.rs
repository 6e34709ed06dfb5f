//! Every function of `ssvm_process_interface`, one case each; `run.py` names the case and grants what it needs.
use ssvm_process_interface::{Command, Output};
use std::time::Instant;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check(o: &Output, status: i32, stdout: &str, stderr: &str) {
    assert_eq!((o.status, text(&o.stdout), text(&o.stderr)), (status, stdout.to_string(), stderr.to_string()));
}

fn sh(script: &str) -> Command {
    let mut c = Command::new("sh");
    c.arg("-c").arg(script);
    c
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = args.get(2).cloned().unwrap_or_default();

    match args[1].as_str() {
        "new" => check(&Command::new("echo").output(), 0, "\n", ""),
        "arg" => check(&Command::new("printf").arg("%s|%s").arg("a b").arg("").output(), 0, "a b|", ""),
        "args" => check(&Command::new("printf").args(["%s-", "one", "*", "$HOME", "; ls"]).output(), 0, "one-*-$HOME-; ls-", ""),
        "args_clear" => check(&Command::new("echo").arg("no").args_clear().arg("yes").output(), 0, "yes\n", ""),
        // The guest's own variables come first; the child has no other.
        "env" => {
            let o = Command::new("env").env("TEST_A", "1").env("TEST_A", "2").env("TEST_B", "x=y").output();
            let out = text(&o.stdout);
            let mut lines: Vec<&str> = out.lines().collect();
            lines.sort_unstable();
            assert_eq!((o.status, lines), (0, vec!["OWN=guest's", "TEST_A=2", "TEST_B=x=y"]));
        }
        "envs" => {
            let o = Command::new("env").envs([("TEST_C", "3"), ("TEST_D", "4"), ("LD_PRELOAD", "/tmp/x.so"), ("PATH", "/evil")]).output();
            let out = text(&o.stdout);
            let mut lines: Vec<&str> = out.lines().collect();
            lines.sort_unstable();
            assert_eq!((o.status, lines), (0, vec!["TEST_C=3", "TEST_D=4"]));
        }
        "stdin" => check(&Command::new("cat").stdin("first ").stdin("second").output(), 0, "first second", ""),
        "stdin_u8" => check(&Command::new("cat").stdin_u8(b'a').stdin_u8(0).stdin_u8(b'c').output(), 0, "a\0c", ""),
        "stdin_u8vec" => check(&Command::new("cat").stdin_u8vec([104, 105]).stdin_u8vec(b"!").output(), 0, "hi!", ""),
        // More than any pipe holds, in both directions at once.
        "large" => {
            let input: Vec<u8> = (0..6 << 20).map(|i: u32| (i % 251) as u8).collect();
            let o = Command::new("cat").stdin_u8vec(&input).output();
            assert_eq!((o.status, o.stdout == input, o.stderr.len()), (0, true, 0));
        }
        // A command that reads nothing of a large input.
        "unread" => check(&Command::new("true").stdin_u8vec(vec![7; 4 << 20]).output(), 0, "", ""),
        "output" => check(&sh("echo out; echo err >&2; exit 3").output(), 3, "out\n", "err\n"),
        "status" => {
            for (code, seen) in [(0, 0), (1, 1), (127, 127), (128, -128), (200, -56), (254, -2), (255, -1)] {
                check(&sh(&format!("exit {code}")).output(), seen, "", "");
            }
        }
        "killed" => check(&sh("kill -9 $$").output(), 137 - 256, "", ""),
        "twice" => {
            check(&Command::new("echo").arg("a").output(), 0, "a\n", "");
            check(&Command::new("echo").arg("b").output(), 0, "b\n", "");
        }
        // Milliseconds count, and a timeout is of one run.
        "timeout" => {
            let start = Instant::now();
            let o = sh("echo before; exec sleep 60").timeout(250).output();
            assert!(start.elapsed().as_millis() >= 240, "it took {:?}", start.elapsed());
            check(&o, 110, "before\n", "");
            check(&sh("sleep 0.4; echo after").output(), 0, "after\n", "");
        }
        "deaf" => check(&sh("trap '' TERM INT HUP; echo deaf; while :; do sleep 1; done").timeout(300).output(), 110, "deaf\n", ""),
        // Children of its own, in a session of their own, that ignore signals, and hold the pipes.
        "grandchildren" => {
            let o = sh(&format!("for i in 1 2 3; do setsid sh -c \"trap '' TERM HUP; sleep {value}\" & done; echo started; wait")).timeout(400).output();
            check(&o, 110, "started\n", "");
        }
        "left" => check(&sh(&format!("setsid sleep {value} & sleep {value} & echo done")).output(), 0, "done\n", ""),
        "forever" => {
            sh(&format!("sleep {value}")).timeout(60000).output();
            println!("not cut");
        }
        "path" => check(&Command::new(&value).arg("by its path").output(), 0, "by its path\n", ""),
        "denied" => {
            let o = Command::new(&value).arg("x").output();
            assert_eq!((o.status, text(&o.stdout)), (-1, String::new()));
            print!("{}", text(&o.stderr));
        }
        "too_much" => {
            let o = sh("yes").output();
            assert_eq!(o.status, -1);
            assert!(text(&o.stderr).contains("more than it may"), "{}", text(&o.stderr));
        }
        "descriptors" => check(&Command::new("ls").arg("/proc/self/fd").output(), 0, "0\n1\n2\n3\n", ""),
        "show" => print!("{}", text(&sh(&value).output().stdout)),
        other => panic!("no case {other}"),
    }
}

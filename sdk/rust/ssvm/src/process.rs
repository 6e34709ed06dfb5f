//! Native commands on the host: only those that it allows, without a shell.
//!
//! ```
//! use ssvm::process::Command;
//! use std::time::Duration;
//!
//! let sorted = Command::new("sort").arg("-r").stdin("a\nb\n").timeout(Duration::from_secs(5)).output();
//! assert!(sorted.success());
//! assert_eq!(sorted.stdout, b"b\na\n");
//!
//! let refused = Command::new("shutdown").output();
//! assert!(refused.denied() && refused.text_of_stderr().contains("shutdown"));
//! ```
use std::time::Duration;

mod raw {
    imports! {
        from "ssvm_process", elsewhere -1;
        fn set_prog_name = "ssvm_process_set_prog_name"(name: *const u8, len: u32);
        fn add_arg = "ssvm_process_add_arg"(arg: *const u8, len: u32);
        fn add_env = "ssvm_process_add_env"(key: *const u8, key_len: u32, value: *const u8, value_len: u32);
        fn add_stdin = "ssvm_process_add_stdin"(bytes: *const u8, len: u32);
        fn set_timeout = "ssvm_process_set_timeout"(ms: u32);
        fn run = "ssvm_process_run"() -> i32;
        fn get_stdout_len = "ssvm_process_get_stdout_len"() -> i32;
        fn get_stderr_len = "ssvm_process_get_stderr_len"() -> i32;
        fn get_stdout = "ssvm_process_get_stdout"(to: *mut u8);
        fn get_stderr = "ssvm_process_get_stderr"(to: *mut u8);
    }
}

const TIMED_OUT: i32 = 110; // of the host's run()

/// A command that is to be run: its program, a bare name or a full path, and what it is given. It has no other environment than what is put
/// in here, no files, and no input but these bytes.
#[derive(Clone, Debug, Default)]
pub struct Command {
    program: String,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    stdin: Vec<u8>,
    timeout: Option<Duration>,
}

/// How a command has ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status as a signed byte: 255 is -1, which is also what a command has that could not be run, or is not allowed; `stderr` then says why.
    /// 110 is also that its time was over.
    pub status: i32,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// And to its standard error.
    pub stderr: Vec<u8>,
}

impl Command {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Command {
        Command { program: program.into(), ..Command::default() }
    }
    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
    /// Sets a variable of its environment. The last of a name counts.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        // Of the host, the first of a name would count.
        let name = name.into();
        self.envs.retain(|(n, _)| *n != name);
        self.envs.push((name, value.into()));
        self
    }
    /// Sets variables; of this program's own they are `std::env::vars()`.
    pub fn envs<N: Into<String>, V: Into<String>>(self, vars: impl IntoIterator<Item = (N, V)>) -> Self {
        vars.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }
    /// Adds bytes to its standard input.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin.extend(bytes.as_ref());
        self
    }
    /// For how long it may run; 10 seconds if nothing is said. Then it is killed, with all that it has started.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs it, and waits until it has ended.
    pub fn output(&self) -> Output {
        // SAFETY: the host reads what lives through its calls, and writes as many bytes as it has said before.
        unsafe {
            raw::set_prog_name(self.program.as_ptr(), self.program.len() as u32);
            for arg in &self.args {
                raw::add_arg(arg.as_ptr(), arg.len() as u32);
            }
            for (name, value) in &self.envs {
                raw::add_env(name.as_ptr(), name.len() as u32, value.as_ptr(), value.len() as u32);
            }
            if let Some(timeout) = self.timeout {
                raw::set_timeout(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
            }
            if !self.stdin.is_empty() {
                raw::add_stdin(self.stdin.as_ptr(), self.stdin.len() as u32);
            }
            let status = raw::run();
            let mut stdout = vec![0; raw::get_stdout_len().max(0) as usize];
            raw::get_stdout(stdout.as_mut_ptr());
            let mut stderr = vec![0; raw::get_stderr_len().max(0) as usize];
            raw::get_stderr(stderr.as_mut_ptr());
            Output { status, stdout, stderr }
        }
    }
}

impl Output {
    /// It was run, and has ended with 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }
    /// Its time was over (or its own status is 110).
    pub fn timed_out(&self) -> bool {
        self.status == TIMED_OUT
    }
    /// The host does not allow it, and nothing was run.
    pub fn denied(&self) -> bool {
        self.status == -1 && self.stderr.starts_with(b"Permission denied")
    }
    /// The standard output as text; what is none is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
    /// The same of the standard error.
    pub fn text_of_stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_variable_counts() {
        let c = Command::new("x").args(["a", "b"]).env("A", "1").envs([("B", "2"), ("A", "3")]);
        assert_eq!(c.args, ["a", "b"]);
        assert_eq!(c.envs, [("B".to_string(), "2".to_string()), ("A".to_string(), "3".to_string())]);
    }
}

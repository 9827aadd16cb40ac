//! The wrapped program: started, sent the signals we get, waited for.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{self, SignalKind},
};

use crate::{
    exit::{Exit, Failure},
    output::{COMMAND, paint},
};

/// The program `checkout` runs while it holds the seat.
pub struct Program {
    child: Child,
    name: String,
    signals: Signals,
}

impl Program {
    /// Starts `command` with our own input, output and environment; `signals` go on to it from now on.
    ///
    /// # Errors
    /// If it is not found (127) or cannot be run (126).
    pub fn start(command: &[OsString], signals: Signals) -> Result<Self, Failure> {
        let (program, args) = command.split_first().ok_or_else(|| Failure::usage("no command to run"))?;
        let name = program.to_string_lossy().into_owned();
        let child =
            Command::new(program).args(args).stdin(Stdio::inherit()).spawn().map_err(|e| cannot_run(&name, &e))?;
        Ok(Self { child, name, signals })
    }

    /// Its name as it was typed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for its end and forwards every signal we get meanwhile.
    ///
    /// # Errors
    /// If the system cannot tell how it ended.
    pub async fn ended(&mut self) -> Result<Exit, Failure> {
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    let status = status.map_err(|e| Failure::new(format!("lost track of {}", self.name)).because_of(&e))?;
                    return Ok(exit_of(status));
                }
                signal = self.signals.next() => self.forward(signal),
            }
        }
    }

    /// Asks it to end (SIGTERM). It may take its time to save: nothing harder follows.
    pub fn ask_to_end(&self) {
        self.send(Signal::TERM);
    }

    fn forward(&self, signal: Signal) {
        // Ctrl-C at a terminal reaches every process in the foreground, the program among them: once is enough.
        if (signal == Signal::INT || signal == Signal::QUIT) && terminal_sent_it_to_all() {
            return;
        }
        self.send(signal);
    }

    fn send(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // That it has just ended by itself is no failure.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The signals people send to end or nudge a program.
pub struct Signals {
    streams: [(Signal, unix::Signal); 6],
}

impl Signals {
    /// From here on these signals no longer end us.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let stream = |signal: Signal| {
            unix::signal(SignalKind::from_raw(signal.as_raw()))
                .map(|stream| (signal, stream))
                .map_err(|e| Failure::new("cannot listen for signals").because_of(&e))
        };
        Ok(Self {
            streams: [
                stream(Signal::INT)?,
                stream(Signal::TERM)?,
                stream(Signal::HUP)?,
                stream(Signal::QUIT)?,
                stream(Signal::USR1)?,
                stream(Signal::USR2)?,
            ],
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Whether we are in the foreground of a terminal: its Ctrl-C then went to the whole group.
fn terminal_sent_it_to_all() -> bool {
    let stdin = io::stdin();
    rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp())
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::of_signal(signal),
        (None, None) => Exit::FAILURE,
    }
}

fn cannot_run(name: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("cannot run {name}")).because_of(error);
    if error.kind() == io::ErrorKind::NotFound {
        failure.exit(Exit::NOT_FOUND).remedy(format!(
            "give its path, or check that it is installed: {}",
            paint(COMMAND, format_args!("command -v {name}"))
        ))
    } else {
        failure.exit(Exit::NOT_RUNNABLE).remedy("check that the file is a program and may be executed: ls -l")
    }
}

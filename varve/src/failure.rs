//! How a command ends when it cannot do its job.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::output;

/// What goes to standard error, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The job failed: exit code 1.
    pub(crate) fn error(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: 1,
        }
    }

    /// The command line makes no sense: exit code 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: 2,
        }
    }

    /// The job failed and everything about it has been said already.
    pub(crate) fn silent() -> Self {
        Self::error("")
    }

    /// Says it, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            output::complain(&format!("error: {}", self.message));
        }
        ExitCode::from(self.code)
    }
}

/// Standard output is closed or full. A reader that has seen enough (`| head`) is no failure worth a word.
impl From<varve_tsdb::Error> for Failure {
    fn from(error: varve_tsdb::Error) -> Self {
        Self::error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self {
                message: String::new(),
                code: 0,
            },
            _ => Self::error(format!("cannot write to standard output: {error}")),
        }
    }
}

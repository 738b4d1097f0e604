//! Prepares a call: checks its arguments against the schema, fills in defaults, and builds the command line and standard input.

use crate::cli::manifest::entries::{CommandEntry, ToolEntry};
use crate::cli::manifest::template::ArgumentRefusal;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::schema::path::Subject;

/// What a command is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PreparedCall {
    /// The arguments with the defaults filled in, as JSON.
    pub(crate) arguments: String,
    /// The program first.
    pub(crate) argv: Vec<String>,
    /// What is written to standard input.
    pub(crate) stdin: Option<String>,
}

impl ToolEntry {
    /// Checks arguments against the schema, fills in the defaults, and puts them into the command.
    ///
    /// # Errors
    /// A sentence for the model that chose the arguments: which of them is wrong, and what would be right.
    pub(crate) fn prepare(&self, arguments: JsonRef<'_>) -> Result<PreparedCall, String> {
        self.schema.check(Subject::Argument, arguments).map_err(|mismatch| mismatch.to_string())?;
        self.command.prepare(self.schema.complete(arguments)).map_err(|refusal| refusal.to_string())
    }
}

impl CommandEntry {
    /// Puts arguments, a JSON object, into the command.
    pub(crate) fn prepare(&self, arguments: String) -> Result<PreparedCall, ArgumentRefusal> {
        let mut tape = Tape::new();
        let values = tape.read(&arguments).unwrap_or(JsonRef::NULL);
        let argv = self.argv.expand(values)?;
        let stdin = self.stdin.as_ref().map(|template| template.expand(values)).transpose()?;
        Ok(PreparedCall { arguments, argv, stdin })
    }
}

//! The JSON Schema of manifests, for editors.
//!
//! *Scope:* the text, with the limits of this version. *Not in scope:* reading manifests, which finds more: what refers to
//! something else, in the manifest, the environment or the file system.

use crate::cli::help;
use crate::cli::manifest::Manifest;
use crate::cli::manifest::mcp_server::JSON_SCHEMA;
use crate::json::write::Object;
use crate::limits::Limits;

/// Draft-07, since editors know no later one as well.
const SCHEMA: &str = include_str!("schema.json");

/// Where the entries of `mcpServers` belong.
const NO_MCP_SERVERS: &str = r#""mcpServers": {}"#;

/// What stands for `metrics`, and what a build without the feature `operations` has in its place.
const METRICS: [&str; 2] = [r#""metrics": { "type": "boolean","#, r#""metrics": { "const": false,"#];

/// Where the limits belong.
const NO_LIMITS: &str = r#""properties": {}"#;

impl Manifest {
    /// The JSON Schema of manifests, which editors use to complete and check them. It allows every manifest that
    /// [`load`](Manifest::load) takes.
    ///
    /// ```
    /// let schema = mcp_rill::cli::manifest::Manifest::json_schema();
    /// assert!(schema.contains(r#""sessions_max": {"#));
    /// ```
    pub fn json_schema() -> String {
        let limits: Vec<String> = Limits::NAMES.iter().map(|name| limit(name)).collect();
        let limits = format!("\"properties\": {{\n{}\n          }}", limits.join(",\n"));
        let mcp_servers = format!("\"mcpServers\": {}", JSON_SCHEMA.trim_end());
        let schema = SCHEMA.replacen(NO_LIMITS, &limits, 1).replacen(NO_MCP_SERVERS, &mcp_servers, 1);
        let [has_metrics, no_metrics] = METRICS;
        if cfg!(feature = "operations") { schema } else { schema.replacen(has_metrics, no_metrics, 1) }
    }
}

/// The member for a limit, as a line.
fn limit(name: &str) -> String {
    let default = Limits::DEFAULT.get(name).unwrap_or_default();
    let about = help::limit(name).split_whitespace().collect::<Vec<_>>().join(" ");
    let about = format!("{about} By default {default}.");
    let mut value = Vec::new();
    Object::new(&mut value).str("description", &about).str("$ref", "#/definitions/limit");
    format!("            \"{name}\": {}", String::from_utf8_lossy(&value))
}

//! One revision's schema file, and a validator for each definition of it that is asked for.

use std::collections::HashMap;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Result;

pub(crate) struct Schemas {
    document: Value,
    /// Where the definitions are: draft-07 files and 2020-12 files differ.
    container: &'static str,
    validators: HashMap<String, Validator>,
}

impl Schemas {
    pub(crate) fn load(directory: &str, revision: &str) -> Result<Schemas> {
        let path = Path::new(directory).join(format!("{revision}.json"));
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let document: Value = serde_json::from_str(&text)?;
        let container = if document.get("$defs").is_some() { "$defs" } else { "definitions" };
        Ok(Schemas { document, container, validators: HashMap::new() })
    }

    pub(crate) fn defines(&self, definition: &str) -> bool {
        self.document[self.container].get(definition).is_some()
    }

    /// What is wrong with the value, each complaint with its place.
    pub(crate) fn validate(&mut self, definition: &str, value: &Value) -> Result<Vec<String>> {
        if !self.validators.contains_key(definition) {
            self.validators.insert(definition.to_owned(), self.compile(definition)?);
        }
        let validator = &self.validators[definition];
        Ok(validator
            .iter_errors(value)
            .map(|error| format!("{definition}{}: {error}", error.instance_path()))
            .collect())
    }

    fn compile(&self, definition: &str) -> Result<Validator> {
        if !self.defines(definition) {
            return Err(format!("no definition {definition}").into());
        }
        // The files define names only; the root that makes one of them the schema is added here.
        let mut rooted = self.document.clone();
        rooted["$ref"] = json!(format!("#/{}/{definition}", self.container));
        Ok(jsonschema::options()
            .should_validate_formats(true)
            .build(&rooted)
            .map_err(|error| error.to_string())?)
    }
}

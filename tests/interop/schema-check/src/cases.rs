//! Verdicts of mcp-rill's own checker, compared with those of the `jsonschema` crate.

use serde_json::Value;

use crate::Result;

/// Reads a file of lines such as `{"schema": {…}, "value": 1, "valid": true}`, perhaps with a `name`. Prints a line for each that
/// is judged differently, or how many there are.
pub(crate) fn check_all(path: &str) -> Result<bool> {
    let (mut valid, mut invalid, mut failures) = (0, 0, 0);
    for line in std::fs::read_to_string(path)?.lines() {
        let case: Value = serde_json::from_str(line)?;
        let expected = case["valid"].as_bool().ok_or("a case without a verdict")?;
        let validator = jsonschema::options().build(&case["schema"]).map_err(|error| error.to_string())?;
        let found = validator.is_valid(&case["value"]);
        if found != expected {
            match case["name"].as_str() {
                Some(name) => println!("FAIL {name}: said to be {}", verdict(expected)),
                None => println!(
                    "FAIL {} for {}: said to be {}",
                    case["value"],
                    case["schema"],
                    verdict(expected)
                ),
            }
            failures += 1;
        }
        *(if expected { &mut valid } else { &mut invalid }) += 1;
    }
    if valid == 0 || invalid == 0 {
        return Err("there are no cases".into());
    }
    if failures == 0 {
        println!("ok {valid} valid and {invalid} invalid values are judged alike");
    }
    Ok(failures == 0)
}

fn verdict(valid: bool) -> &'static str {
    if valid { "valid" } else { "invalid" }
}
